/** What happened to apps, as a bounded Redis stream: for `picogate events`, and for people who want to know why. */
import {setTimeout as sleep} from 'node:timers/promises';
import {errorCode} from '../core/errors.ts';
import type {Connection} from './connection.ts';
import {type Json, parseJson} from './json.ts';
import {storeKeys} from './keys.ts';
import {badReply, listReply} from './reply.ts';

export interface Event {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Null for what concerns the whole gateway. */
  readonly app: string | null;
  readonly kind: string;
  readonly [detail: string]: Json;
}

export interface StoredEvent {
  /** Place in the stream; later events have greater ones. */
  readonly id: string;
  readonly event: Event;
}

export interface Events {
  /** @throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND */
  publish(event: Event): Promise<void>;
  /** The last events, oldest first; one that cannot be read is left out. */
  last(count: number): Promise<readonly StoredEvent[]>;
  /** Events after the one with id `after` (default: after now), as they come, over losses of Redis; ends when `signal` aborts. */
  follow(options: {readonly after?: string; readonly signal: AbortSignal}): AsyncGenerator<StoredEvent, void, void>;
}

const maxLength = 10_000;
/** Each end of it wakes an idle gateway. */
const blockMs = 8000;
/** A Redis that has not answered so long after that is not there. */
const lateMs = 2000;
const retryMs = 500;

function parseEvent(text: string): Event | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('at' in value) || !('app' in value) || !('kind' in value)) return null;
  const {at, app, kind} = value;
  if (typeof at !== 'number' || (app !== null && typeof app !== 'string') || typeof kind !== 'string') return null;
  return {...value, at, app, kind};
}

/** Entries of XRANGE and XREAD: [id, ["event", text]]. */
function parseEntries(key: string, reply: unknown): StoredEvent[] {
  if (!Array.isArray(reply)) return badReply(key, reply, 'entries of a stream');
  const events: StoredEvent[] = [];
  for (const entry of reply as unknown[]) {
    const [id, fields] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof id !== 'string') return badReply(key, entry, 'an entry of a stream');
    const event = parseEvent(listReply(key, fields)[1] ?? '');
    if (event !== null) events.push({id, event});
  }
  return events;
}

function lastIdOf(reply: unknown, otherwise: string): string {
  const last: unknown = Array.isArray(reply) ? reply.at(-1) : undefined;
  const id: unknown = Array.isArray(last) ? last[0] : undefined;
  return typeof id === 'string' ? id : otherwise;
}

/** @param options.prefix of all keys; default `picogate` */
export function openEvents(connection: Connection, options: {readonly prefix?: string} = {}): Events {
  const key = storeKeys(options.prefix).events;

  async function* follow({after, signal}: {readonly after?: string; readonly signal: AbortSignal}): AsyncGenerator<StoredEvent, void, void> {
    await using blocking = await connection.duplicate({commandTimeoutMs: blockMs + lateMs});
    const stop = (): void => void blocking[Symbol.asyncDispose]();
    const stopped = (): boolean => signal.aborted;
    signal.addEventListener('abort', stop, {once: true});
    try {
      let id = after ?? lastIdOf(await blocking.call('XREVRANGE', key, '+', '-', 'COUNT', 1), '0');
      while (!stopped()) {
        let reply: unknown;
        try {
          reply = await blocking.call('XREAD', 'COUNT', 100, 'BLOCK', blockMs, 'STREAMS', key, id);
        } catch (error) {
          if (stopped()) return;
          if (errorCode(error) !== 'ERR_REDIS_UNAVAILABLE') throw error;
          await sleep(retryMs);
          continue;
        }
        if (reply === null) continue;
        const stream: unknown = Array.isArray(reply) ? reply[0] : undefined;
        const entries: unknown = Array.isArray(stream) ? stream[1] : undefined;
        yield* parseEntries(key, entries);
        id = lastIdOf(entries, id);
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  return {
    async publish(event) {
      await connection.call('XADD', key, 'MAXLEN', '~', maxLength, '*', 'event', JSON.stringify(event));
    },
    async last(count) {
      return parseEntries(key, await connection.call('XREVRANGE', key, '+', '-', 'COUNT', count)).reverse();
    },
    follow,
  };
}
