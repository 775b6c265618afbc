import {type Event, openEvents} from '../store/events.ts';
import {connectToGateway} from './remote.ts';

function line(event: Event): string {
  const {at, app, kind, ...details} = event;
  const rest = Object.entries(details).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [new Date(at).toISOString(), app ?? '-', kind, ...rest].join(' ');
}

/** Prints what happened, oldest first, and with `follow` what happens, until interrupted. @returns the exit status */
export async function events(files: readonly string[] | undefined, {follow, lines, json}: {follow: boolean; lines: number; json: boolean}): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const stream = openEvents(owned);
  const print = (event: Event): void => void process.stdout.write(`${json ? JSON.stringify(event) : line(event)}\n`);
  const stop = new AbortController();
  // Before the first line: who reads it may interrupt us at once.
  if (follow) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const past = await stream.last(lines);
  for (const {event} of past) print(event);
  if (!follow) return 0;
  for await (const {event} of stream.follow({...(past.at(-1) === undefined ? {} : {after: past.at(-1)?.id ?? '0'}), signal: stop.signal})) print(event);
  return 0;
}
