/** The command line. Each command's module is imported when it is asked for, so that a short command starts quickly. */
import {Command, CommanderError, InvalidArgumentError, Option} from 'commander';
import {parseTime} from '../config/units.ts';
import {errorMessage} from '../core/errors.ts';
import {isHaproxyCommandLine} from './haproxy-arguments.ts';
import {sinceDay} from './since-day.ts';
import {version} from './version.ts';

/** Exit statuses, as HAProxy has them: 1 for what was given to us, 2 when the program cannot do its work. */
const exitStatus = {wrongUse: 1} as const;

interface FileOption {
  readonly file: string[] | undefined;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a positive whole number is needed.');
  return value;
}

/** Milliseconds, of a time as the configuration has it. */
function time(text: string): number {
  const parsed = parseTime(text);
  if (!parsed.ok) throw new InvalidArgumentError(`${parsed.reason}.`);
  if (parsed.value === 0) throw new InvalidArgumentError('more than 0 is needed.');
  return parsed.value;
}

/** Days since 1970. */
function since(text: string): number {
  const day = sinceDay(text, Date.now());
  if (day === undefined) throw new InvalidArgumentError('a date such as 2026-11-01, or a time such as 7d, is needed.');
  return day;
}

function build(): Command {
  const program = new Command('picogate')
    .description('An edge gateway that puts idle servers to sleep and wakes them on the first packet.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(picogate --help shows the commands)');
  const collect = (file: string, before: string[] | undefined): string[] => [...(before ?? []), file];
  const fileOption = (): Option =>
    new Option('-f, --file <file>', 'configuration file or directory, may be repeated; default: PICOGATE_CONFIG, else /etc/picogate/picogate.cfg').argParser(
      collect,
    );
  const command = (name: string, description: string): Command => program.command(name).description(description).addOption(fileOption());
  const done = (status: number): void => {
    process.exitCode = status;
  };

  command('run', 'run the gateway in the foreground until SIGTERM or Ctrl-C')
    .option('--ready-fd <descriptor>', 'write a line there when everything is open', positive)
    .action(async (options: FileOption & {readyFd: number | undefined}) => done(await (await import('./run.ts')).run(options.file, options.readyFd)));
  command('cleanup', 'remove the processes, namespaces and mounts that a killed gateway left; checkpoints stay').action(async (options: FileOption) =>
    done(await (await import('./cleanup.ts')).cleanup(options.file)),
  );
  command('check', 'check the configuration; exit status 0 if it is valid, else 1')
    .option('-q, --quiet', 'print errors only', false)
    .option('--json', 'print the diagnostics as JSON', false)
    .addOption(new Option('--condition <condition>', 'say whether a condition of .if holds instead: exit status 0 if it does, 1 if not'))
    .action(async (options: FileOption & {quiet: boolean; json: boolean; condition: string | undefined}) => {
      const {check, checkCondition} = await import('./check.ts');
      done(options.condition === undefined ? await check(options.file, options) : checkCondition(options.condition));
    });
  command('apps', 'list the apps and what they do')
    .option('--json', 'print JSON', false)
    .action(async (options: FileOption & {json: boolean}) => done(await (await import('./apps.ts')).apps(options.file, options)));
  command('show', 'everything about one app')
    .argument('<name>')
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {json: boolean}) => done(await (await import('./show.ts')).show(options.file, name, options)));
  command('explain', 'what an app does now and why, and what it waits for')
    .argument('<name>')
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {json: boolean}) => done(await (await import('./explain.ts')).explain(options.file, name, options)));
  addSleepCommands(command, done);
  addReports(command, done);
  workerCommands(program, fileOption, done);
  imageCommands(program.command('image').description('images of root file systems in the store'), fileOption, done);
  command('doctor', 'check what this machine offers, and what a missing thing costs')
    .option('--json', 'print JSON', false)
    .action(async (options: {json: boolean}) => done(await (await import('./doctor.ts')).doctor(options)));
  program
    .command('demo')
    .description('a real nginx that sleeps and wakes on 127.0.0.1:8080')
    .option('--port <port>', 'where to listen', positive, 8080)
    .action(async (options: {port: number}) => done(await (await import('./demo.ts')).demo(options)));
  return program;
}

/** Who is awake, and who is not. */
function addSleepCommands(command: (name: string, description: string) => Command, done: (status: number) => void): void {
  for (const verb of ['wake', 'hibernate'] as const) {
    const verbCommand = command(verb, verb === 'wake' ? 'wake an app and wait until it is ready' : 'put an app to sleep now')
      .argument('<name>')
      .option('--json', 'print JSON', false)
      .action(async (name: string, {file, json, cold = false, force = false}: FileOption & {json: boolean; cold?: boolean; force?: boolean}) =>
        done(await (await import('./wake-hibernate.ts')).wakeOrHibernate(file, verb, name, {json, cold, force})),
      );
    if (verb === 'wake') continue;
    verbCommand.option('--cold', 'wait until it is in the remote store, and drop the local copy', false);
    verbCommand.option('--force', 'even if it is pinned', false);
  }
  command('pin', 'keep an app awake, once it is')
    .argument('<name>')
    .option('--for <time>', 'for so long, 30m or 8h; else until it is unpinned', time)
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {for: number | undefined; json: boolean}) =>
      done(await (await import('./pin.ts')).pin(options.file, name, {forMs: options.for ?? null, json: options.json})),
    );
  command('unpin', 'let an app sleep again')
    .argument('<name>')
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {json: boolean}) => done(await (await import('./pin.ts')).unpin(options.file, name, options)));
}

/** What tells of the past of the apps. */
function addReports(command: (name: string, description: string) => Command, done: (status: number) => void): void {
  command('metrics', "the gateway's metrics in Prometheus' text format").action(async (options: FileOption) =>
    done(await (await import('./metrics.ts')).metrics(options.file)),
  );
  command('usage', 'what each app has used: memory and space times time, wakes, and what that costs')
    .option('--since <time>', 'of the days (UTC) since a date, 2026-11-01, or for a time, 7d; default: of all time', since)
    .option('--json', 'print JSON', false)
    .addOption(new Option('--csv', 'print comma-separated values').default(false).conflicts('json'))
    .action(async (options: FileOption & {since: number | undefined; json: boolean; csv: boolean}) =>
      done(await (await import('./usage.ts')).usage(options.file, {...options, since: options.since ?? null})),
    );
  command('predicted', 'which pages an app is expected to touch when it wakes, by what woke it')
    .argument('<name>')
    .option('-t, --trigger <trigger>', 'draw the address space as expected for this trigger')
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {json: boolean; trigger: string | undefined}) =>
      done(await (await import('./predicted.ts')).predicted(options.file, name, options)),
    );
  command('logs', 'what an app has written to its standard output and standard error')
    .argument('<name>')
    .option('-n, --lines <count>', 'how many lines', positive, 100)
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {lines: number; json: boolean}) =>
      done(await (await import('./logs.ts')).logs(options.file, name, options)),
    );
  command('events', 'what happened to the apps')
    .option('--follow', 'go on printing what happens', false)
    .option('-n, --lines <count>', 'how many past events', positive, 100)
    .option('--json', 'print one JSON object a line', false)
    .action(async (options: FileOption & {follow: boolean; lines: number; json: boolean}) =>
      done(await (await import('./events.ts')).events(options.file, options)),
    );
}

function workerCommands(program: Command, fileOption: () => Option, done: (status: number) => void): void {
  const workers = program.command('workers').description('the workers that share the apps');
  workers
    .command('list', {isDefault: true})
    .description('list the workers, and what runs where')
    .addOption(fileOption())
    .option('--json', 'print JSON', false)
    .action(async (options: FileOption & {json: boolean}) => done(await (await import('./workers.ts')).listWorkers(options.file, options)));
  workers
    .command('forget')
    .description('give up a worker that will not come back, and what only it has')
    .argument('<name>')
    .addOption(fileOption())
    .action(async (name: string, {file}: FileOption) => done(await (await import('./workers.ts')).forgetWorker(file, name)));
  program
    .command('drain')
    .description('move all apps of a worker to the others, and wake none there')
    .argument('<worker>')
    .addOption(fileOption())
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {json: boolean}) => done(await (await import('./workers.ts')).drain(options.file, name, options)));
  program
    .command('undrain')
    .description('let a worker wake apps again')
    .argument('<worker>')
    .addOption(fileOption())
    .action(async (name: string, {file}: FileOption) => done(await (await import('./workers.ts')).undrain(file, name)));
}

function imageCommands(parent: Command, fileOption: () => Option, done: (status: number) => void): void {
  const command = (name: string, description: string): Command =>
    parent.command(name).description(description).addOption(fileOption()).option('--json', 'print JSON', false);
  command('import', 'make an image of a directory or a tar archive')
    .argument('<name>')
    .argument('<source>')
    .action(async (name: string, source: string, options: FileOption & {json: boolean}) =>
      done(await (await import('./image.ts')).imageImport(options.file, name, source, options)),
    );
  command('list', 'list the images').action(async (options: FileOption & {json: boolean}) =>
    done(await (await import('./image.ts')).imageList(options.file, options)),
  );
  command('remove', 'remove an image, and what no other image and no checkpoint needs')
    .argument('<name>')
    .action(async (name: string, options: FileOption & {json: boolean}) => done(await (await import('./image.ts')).imageRemove(options.file, name, options)));
}

/** `events -f` follows, as `tail -f` does. */
function translate(args: readonly string[]): string[] {
  if (args[0] !== 'events') return [...args];
  return args.map((arg, at) => {
    const following = args[at + 1];
    return arg === '-f' && (following === undefined || following.startsWith('-')) ? '--follow' : arg;
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  const words = process.argv.slice(2);
  if (isHaproxyCommandLine(words)) process.exitCode = await (await import('./drop-in.ts')).dropIn(words);
  else await build().parseAsync(translate(words), {from: 'user'});
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitStatus.wrongUse;
  } else {
    process.stderr.write(`picogate: ${errorMessage(error)}\n`);
    process.exitCode = 1;
  }
}
