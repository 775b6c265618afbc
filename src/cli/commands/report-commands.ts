/** What tells of the past of all apps. */
import {type Command, Option} from 'commander';
import type {EventsOptions} from '../events.ts';
import {addCommand, addListing, done, type FileOption, type ListOptions, positive, since} from './command-kit.ts';

export function addReportCommands(program: Command): void {
  addCommand(program, 'metrics', "the gateway's metrics in Prometheus' text format").action(async (options: FileOption) =>
    done(await (await import('../metrics.ts')).metrics(options.file)),
  );
  addListing(program, 'usage', 'what each app has used: memory and space times time, wakes, and what that costs')
    .option('--since <time>', 'of the days (UTC) since a date, 2026-11-01, or for a time, 7d; default: of all time', since)
    .action(async (options: ListOptions & {since: number | undefined}) =>
      done(await (await import('../usage.ts')).usage(options.file, {...options, since: options.since ?? null})),
    );
  addCommand(program, 'events', 'what happened to the apps')
    .option('--follow', 'go on printing what happens', false)
    .option('-n, --lines <count>', 'how many past events', positive, 100)
    .option('--app <name>', 'of this app only')
    .option('--kind <kind>', 'of this kind only, such as woken')
    .option('--json', 'print one JSON object a line', false)
    .addOption(new Option('--csv', 'print comma-separated values').default(false).conflicts('json'))
    .action(async (options: FileOption & EventsOptions) => done(await (await import('../events.ts')).events(options.file, options)));
}
