/** Apps that are added to a running gateway. */
import type {Command} from 'commander';
import type {AppOptions} from '../app-section.ts';
import {addCommand, addListing, done, type FileOption, type ListOptions, yesOption} from './command-kit.ts';

function several(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

export function addAddedAppCommands(program: Command): void {
  const parent = program.command('app').description('apps that are added to a running gateway, beside those of its file');
  addCommand(parent, 'add', 'add an app; it is there after a restart too')
    .argument('<name>')
    .option('--image <image>', 'its root file system: an image of the store, which says what else is missing')
    .option('--rootfs <directory>', 'its root file system: a directory')
    .option('--exec <command>', 'what is started, as the configuration has it')
    .option('--expose <port>', 'a port on which it answers, as tcp:80; may be repeated', several, [])
    .option('--publish <ports>', 'where clients reach it, [ADDRESS:]PORT:APPPORT[/udp]; may be repeated', several, [])
    .option('--memory <size>', 'limit of memory')
    .option('--cpus <number>', 'limit of processor time')
    .option('--pids <number>', 'limit of processes')
    .option('--hibernate-after <time>', 'how long it must be without traffic before it is put to sleep')
    .option('--user <user>', 'who runs the program')
    .option('--workdir <path>', 'where the program is started')
    .option('-e, --env <variable>', 'NAME=VALUE; may be repeated', several, [])
    .option('--volume <volume>', 'SOURCE:DESTINATION[:ro]; may be repeated', several, [])
    .option('--set <line>', 'any other line of a section "app"; may be repeated', several, [])
    .action(async (name: string, options: FileOption & AppOptions) => done(await (await import('../added-app.ts')).addApp(options.file, name, options)));
  addCommand(parent, 'rm', 'remove an app that was added; its checkpoints are kept')
    .alias('remove')
    .argument('<name>')
    .option('--purge', 'remove its checkpoints too, and everything that it has written', false)
    .addOption(yesOption())
    .action(async (name: string, options: FileOption & {yes: boolean; purge: boolean}) =>
      done(await (await import('../added-app.ts')).removeApp(options.file, name, options)),
    );
  addListing(parent, 'list', 'list all apps, and where they come from').action(async (options: ListOptions) =>
    done(await (await import('../added-app.ts')).listApps(options.file, options)),
  );
}
