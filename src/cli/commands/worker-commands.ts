/** The workers that share the apps. */
import type {Command} from 'commander';
import {addCommand, addListing, done, type FileOption, type JsonOption, type ListOptions, yesOption} from './command-kit.ts';

export function addWorkerCommands(program: Command): void {
  const workers = program.command('workers').description('the workers that share the apps');
  addListing(workers, 'list', 'list the workers, and what runs where', {isDefault: true}).action(async (options: ListOptions) =>
    done(await (await import('../workers.ts')).listWorkers(options.file, options)),
  );
  addCommand(workers, 'forget', 'give up a worker that will not come back, and what only it has')
    .argument('<worker>')
    .addOption(yesOption())
    .action(async (name: string, {file, yes}: FileOption & {yes: boolean}) => done(await (await import('../workers.ts')).forgetWorker(file, name, {yes})));
  addCommand(program, 'drain', 'move all apps of a worker to the others, and wake none there')
    .argument('<worker>')
    .option('--json', 'print JSON', false)
    .addOption(yesOption())
    .action(async (name: string, options: JsonOption & {yes: boolean}) => done(await (await import('../workers.ts')).drain(options.file, name, options)));
  addCommand(program, 'undrain', 'let a worker wake apps again')
    .argument('<worker>')
    .action(async (name: string, {file}: FileOption) => done(await (await import('../workers.ts')).undrain(file, name)));
}
