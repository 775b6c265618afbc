/** What tells of the past of all apps. */
import {type Command, Option} from 'commander';
import {addCommand, done, type FileOption, type JsonOption, positive, since} from './command-kit.ts';

export function addReportCommands(program: Command): void {
  addCommand(program, 'metrics', "the gateway's metrics in Prometheus' text format").action(async (options: FileOption) =>
    done(await (await import('../metrics.ts')).metrics(options.file)),
  );
  addCommand(program, 'usage', 'what each app has used: memory and space times time, wakes, and what that costs')
    .option('--since <time>', 'of the days (UTC) since a date, 2026-11-01, or for a time, 7d; default: of all time', since)
    .option('--json', 'print JSON', false)
    .addOption(new Option('--csv', 'print comma-separated values').default(false).conflicts('json'))
    .action(async (options: JsonOption & {since: number | undefined; csv: boolean}) =>
      done(await (await import('../usage.ts')).usage(options.file, {...options, since: options.since ?? null})),
    );
  addCommand(program, 'events', 'what happened to the apps')
    .option('--follow', 'go on printing what happens', false)
    .option('-n, --lines <count>', 'how many past events', positive, 100)
    .option('--json', 'print one JSON object a line', false)
    .action(async (options: JsonOption & {follow: boolean; lines: number}) => done(await (await import('../events.ts')).events(options.file, options)));
}
