import {type Event, openEvents} from '../store/events.ts';
import {csvLine} from './listing.ts';
import {connectToGateway} from './remote.ts';

function line(event: Event): string {
  const {at, app, kind, ...details} = event;
  const rest = Object.entries(details).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [new Date(at).toISOString(), app ?? '-', kind, ...rest].join(' ');
}

export interface EventsOptions {
  readonly follow: boolean;
  /** How many of the past, before others are left out. */
  readonly lines: number;
  readonly json: boolean;
  readonly csv: boolean;
  readonly app?: string | undefined;
  readonly kind?: string | undefined;
}

function csv(event: Event): string {
  const {at, app, kind, ...details} = event;
  return csvLine([new Date(at).toISOString(), app, kind, Object.keys(details).length === 0 ? null : JSON.stringify(details)]);
}

/** Prints what happened, oldest first, and with `follow` what happens, until interrupted. @returns the exit status */
export async function events(files: readonly string[] | undefined, options: EventsOptions): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const stream = openEvents(owned);
  const isWanted = ({app, kind}: Event): boolean => (options.app ?? app) === app && (options.kind ?? kind) === kind;
  const text = (event: Event): string => (options.json ? `${JSON.stringify(event)}\n` : options.csv ? csv(event) : `${line(event)}\n`);
  const print = (event: Event): void => {
    if (isWanted(event)) process.stdout.write(text(event));
  };
  const stop = new AbortController();
  // Before the first line: who reads it may interrupt us at once.
  if (options.follow) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const past = await stream.last(options.lines);
  if (options.csv) process.stdout.write(csvLine(['at', 'app', 'kind', 'details']));
  for (const {event} of past) print(event);
  if (!options.follow) return 0;
  for await (const {event} of stream.follow({...(past.at(-1) === undefined ? {} : {after: past.at(-1)?.id ?? '0'}), signal: stop.signal})) print(event);
  return 0;
}
