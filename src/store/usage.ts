/**
 * What each app has used: memory while it ran, and space for what is kept of it, both times time, and wakes. Sums by day (UTC), to which every worker
 * only adds. What is stored is counted from its size and since when it has it, so that a sleeping app needs no writes.
 */
import {type AppName, appName} from '../core/ids.ts';
import {limited} from '../core/limited.ts';
import type {Connection} from './connection.ts';
import {storeKeys} from './keys.ts';
import {badReply, hashReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const script = loadScript('add-usage-1');
export const msPerDay = 86_400_000;
export const daysKept = 400;
export const bytesPerGb = 1024 ** 3;
const readsAtATime = 256;

/** A GB is 2^30 bytes. */
export interface UsageSums {
  readonly activeGbSeconds: number;
  readonly storedGbSeconds: number;
  readonly wakes: number;
}

export interface AppUsage {
  readonly total: UsageSums;
  /** By days since 1970, the oldest first; days without use are left out. */
  readonly days: ReadonlyMap<number, UsageSums>;
  readonly storedBytes: number;
}

export interface UsageBatch {
  /** Who adds. A worker sends one batch of an app at a time, again and again until it is acknowledged. */
  readonly worker: string;
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly activeGbSeconds: number;
  readonly wakes: number;
  /** Null when that has not changed. */
  readonly storedBytes: number | null;
}

/** Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND, or ERR_BAD_STATE for what cannot be read. */
export interface Usage {
  add(app: AppName, batch: UsageBatch): Promise<void>;
  /** All apps that were ever known. */
  apps(): Promise<readonly AppName[]>;
  /** Up to this moment. */
  read(app: AppName, nowMs: number): Promise<AppUsage>;
  /** Of all time, in the order of the apps. */
  totals(apps: readonly AppName[], nowMs: number): Promise<readonly UsageSums[]>;
}

const noUse: UsageSums = {activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0};
const sumFields = {active: 'activeGbSeconds', stored: 'storedGbSeconds', wakes: 'wakes'} as const;

/** @param options.prefix of all keys; default `picogate` */
export function openUsage(connection: Connection, options: {readonly prefix?: string} = {}): Usage {
  const keys = storeKeys(options.prefix);
  return {
    async add(app, {worker, id, at, activeGbSeconds, wakes, storedBytes}) {
      const args = [worker, id, at, daysKept, activeGbSeconds.toFixed(9), wakes, storedBytes ?? ''];
      await runScript(connection, script, [keys.usage(app)], args);
    },
    async apps() {
      return [...hashReply(keys.apps, await connection.call('HGETALL', keys.apps)).keys()].sort().map(appName);
    },
    async read(app, nowMs) {
      const key = keys.usage(app);
      return decodeUsage(key, hashReply(key, await connection.call('HGETALL', key)), nowMs);
    },
    totals: (apps, nowMs) =>
      limited(apps, readsAtATime, async (app) => {
        const key = keys.usage(app);
        const fields = ['active', 'stored', 'wakes', 'bytes', 'since'];
        const values = await connection.call('HMGET', key, ...fields);
        if (!Array.isArray(values)) return badReply(key, values, 'usage');
        const found = fields.flatMap((field, at): [string, string][] => (typeof values[at] === 'string' ? [[field, values[at]]] : []));
        return decodeUsage(key, new Map(found), nowMs).total;
      }),
  };
}

/** @throws CodedError ERR_BAD_STATE */
export function decodeUsage(key: string, hash: ReadonlyMap<string, string>, nowMs: number): AppUsage {
  const number = (field: string): number => {
    const text = hash.get(field) ?? '0';
    const value = Number(text);
    return Number.isFinite(value) && value >= 0 ? value : badReply(key, `${field} ${text}`, 'a number');
  };
  const days = new Map<number, UsageSums>();
  const add = (day: number, name: keyof UsageSums, amount: number): void => {
    const sums = days.get(day) ?? noUse;
    days.set(day, {...sums, [name]: sums[name] + amount});
  };
  for (const field of hash.keys()) {
    const [, what, day] = /^(active|stored|wakes):(\d+)$/.exec(field) ?? [];
    if (what === 'active' || what === 'stored' || what === 'wakes') add(Number(day), sumFields[what], number(field));
  }
  const storedBytes = number('bytes');
  let uncounted = 0;
  for (let from = number('since'); storedBytes > 0 && from < nowMs; ) {
    const day = Math.floor(from / msPerDay);
    const to = Math.min(nowMs, (day + 1) * msPerDay);
    const amount = ((storedBytes / bytesPerGb) * (to - from)) / 1000;
    add(day, 'storedGbSeconds', amount);
    uncounted += amount;
    from = to;
  }
  const total = {activeGbSeconds: number('active'), storedGbSeconds: number('stored') + uncounted, wakes: number('wakes')};
  return {total, days: new Map([...days].sort(([a], [b]) => a - b)), storedBytes};
}
