/** The gateway itself, its configuration, and the machine that it is to run on. */
import {resolve} from 'node:path';
import {type Command, Option} from 'commander';
import {addCommand, done, type FileOption, positive} from './command-kit.ts';

export function addGatewayCommands(program: Command): void {
  for (const [name, role, what] of [
    ['run', 'all', 'run the gateway'],
    ['supervisor', 'supervisor', 'run the apps and the frontends of mode nat, for edges of their own,'],
    ['edge', 'edge', 'run the other frontends, with the apps of supervisors on this host or others,'],
  ] as const) {
    addCommand(program, name, `${what} in the foreground until SIGTERM or Ctrl-C`)
      .option('--ready-fd <descriptor>', 'write a line there when everything is open', positive)
      .action(async ({file, readyFd}: FileOption & {readyFd: number | undefined}) => done(await (await import('../run.ts')).run(file, {role, readyFd})));
  }
  addCommand(program, 'cleanup', 'remove the processes, namespaces and mounts that a killed gateway left; checkpoints stay').action(
    async (options: FileOption) => done(await (await import('../cleanup.ts')).cleanup(options.file)),
  );
  addCommand(program, 'check', 'check the configuration; exit status 0 if it is valid, else 1')
    .option('-q, --quiet', 'print errors only', false)
    .option('--json', 'print the diagnostics as JSON', false)
    .addOption(new Option('--condition <condition>', 'say whether a condition of .if holds instead: exit status 0 if it does, 1 if not'))
    .action(async (options: FileOption & {quiet: boolean; json: boolean; condition: string | undefined}) => {
      const {check, checkCondition} = await import('../check.ts');
      done(options.condition === undefined ? await check(options.file, options) : checkCondition(options.condition));
    });
  program
    .command('convert')
    .description('what would be different with an existing HAProxy configuration; exit status 0 if it can be taken as it is, else 1')
    .argument('<file...>', 'files and directories, as HAProxy gets them with -f')
    .option('--json', 'print JSON', false)
    .action(async (files: string[], options: {json: boolean}) => done(await (await import('../convert.ts')).convert(files, options)));
  addCommand(program, 'doctor', 'check what this machine offers, and what a missing thing costs')
    .option('--json', 'print JSON', false)
    .addOption(new Option('--csv', 'print comma-separated values').default(false).conflicts('json'))
    .action(async (options: {json: boolean; csv: boolean}) => done(await (await import('../doctor.ts')).doctor(options)));
  addInstallCommands(program);
  program
    .command('demo')
    .description('a real nginx that sleeps and wakes on 127.0.0.1:8080')
    .option('--port <port>', 'where to listen', positive, 8080)
    .action(async (options: {port: number}) => done(await (await import('../demo.ts')).demo(options)));
}

function addInstallCommands(program: Command): void {
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option('--prefix <directory>', 'what stands for /; with another one systemd is not told, and no user is made', '/')
      .option('--dry-run', 'only say what would be done', false);
  command('install', 'set up units for systemd, a user for the edge, and a first configuration').action(async (options: {prefix: string; dryRun: boolean}) =>
    done(await (await import('../install/install.ts')).install({...options, program, prefix: resolve(options.prefix)})),
  );
  command('uninstall', 'remove what install has set up; configuration and state stay')
    .option('--purge', 'remove configuration and state too: all apps with their memory and files', false)
    .option('--yes', 'do not ask', false)
    .action(async (options: {prefix: string; dryRun: boolean; purge: boolean; yes: boolean}) =>
      done(await (await import('../install/install.ts')).uninstall({...options, program, prefix: resolve(options.prefix)})),
    );
}
