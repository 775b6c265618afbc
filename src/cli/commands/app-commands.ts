/** What can be asked of an app, and done to it. */
import type {Command} from 'commander';
import type {DisplayOptions} from '../listing.ts';
import {
  addCommand,
  addListing,
  addListingOptions,
  done,
  type FileOption,
  type JsonOption,
  type ListOptions,
  positive,
  time,
  watchOption,
} from './command-kit.ts';

export function addAppCommands(program: Command): void {
  addQuestions(program);
  addSleepCommands(program);
  addListingOptions(addCommand(program, 'predicted', 'which pages an app is expected to touch when it wakes, by what woke it'))
    .argument('<app>')
    .option('-t, --trigger <trigger>', 'draw the address space as expected for this trigger')
    .action(async (name: string, options: FileOption & DisplayOptions & {trigger: string | undefined}) =>
      done(await (await import('../predicted.ts')).predicted(options.file, name, options)),
    );
  addExec(program);
  addCommand(program, 'top', 'a live screen of the apps: states, memory, traffic, wake times; keys are shown there')
    .option('--once', 'print what there is now, and end', false)
    .option('--json', 'print what there is now as JSON', false)
    .option('--every <time>', 'look so often', time, 2000)
    .action(async (options: JsonOption & {once: boolean; every: number}) =>
      done(await (await import('../top.ts')).top(options.file, {...options, everyMs: options.every})),
    );
  addCommand(program, 'logs', 'what an app has written to its standard output and standard error')
    .argument('<app>')
    .option('-n, --lines <count>', 'how many lines', positive, 100)
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: JsonOption & {lines: number}) => done(await (await import('../logs.ts')).logs(options.file, name, options)));
}

function addExec(program: Command): void {
  addCommand(program, 'exec', 'run a command in an app that is awake, on the worker that has it; exit status: that of the command')
    .usage('[options] <app> [--wake] [-it] -- <command...>')
    .argument('<app>')
    .argument('<command...>')
    .option('--wake', 'wake the app first, if it sleeps', false)
    .option('-i, --interactive', 'pass standard input on', false)
    .option('-t, --tty', 'it is a terminal: pass TERM on', false)
    .option('-u, --user <user>', 'as this user of the app, by name or number; default: the user of the app')
    .action(async (name: string, words: string[], options: FileOption & {wake: boolean; interactive: boolean; tty: boolean; user: string | undefined}) =>
      done(await (await import('../exec.ts')).execute(options.file, {...options, name, words})),
    );
}

function addQuestions(program: Command): void {
  addListing(program, 'apps', 'list the apps and what they do').action(async (options: ListOptions) =>
    done(await (await import('../apps.ts')).apps(options.file, options)),
  );
  addListingOptions(addCommand(program, 'show', 'everything about one app'))
    .argument('<app>')
    .action(async (name: string, options: FileOption & DisplayOptions) => done(await (await import('../show.ts')).show(options.file, name, options)));
  addCommand(program, 'explain', 'what an app does now and why, and what it waits for')
    .argument('<app>')
    .option('--json', 'print JSON', false)
    .addOption(watchOption())
    .action(async (name: string, options: FileOption & DisplayOptions) => done(await (await import('../explain.ts')).explain(options.file, name, options)));
}

/** Who is awake, and who is not. */
function addSleepCommands(program: Command): void {
  for (const verb of ['wake', 'hibernate'] as const) {
    const verbCommand = addCommand(program, verb, verb === 'wake' ? 'wake an app and wait until it is ready' : 'put an app to sleep now')
      .argument('<app>')
      .option('--json', 'print JSON', false)
      .action(async (name: string, {file, json, cold = false, force = false}: JsonOption & {cold?: boolean; force?: boolean}) =>
        done(await (await import('../wake-hibernate.ts')).wakeOrHibernate(file, verb, name, {json, cold, force})),
      );
    if (verb === 'wake') continue;
    verbCommand.option('--cold', 'wait until it is in the remote store, and drop the local copy', false);
    verbCommand.option('--force', 'even if it is pinned', false);
  }
  addCommand(program, 'pin', 'keep an app awake, once it is')
    .argument('<app>')
    .option('--for <time>', 'for so long, 30m or 8h; else until it is unpinned', time)
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: FileOption & {for: number | undefined; json: boolean}) =>
      done(await (await import('../pin.ts')).pin(options.file, name, {forMs: options.for ?? null, json: options.json})),
    );
  addCommand(program, 'unpin', 'let an app sleep again')
    .argument('<app>')
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: JsonOption) => done(await (await import('../pin.ts')).unpin(options.file, name, options)));
}
