/** The workers that share one Redis: what each says of itself, and whether it is heard of. */
import {CodedError} from '../core/errors.ts';
import type {Connection} from './connection.ts';
import {type Json, parseJson} from './json.ts';
import {storeKeys} from './keys.ts';
import {hashReply, listReply, outcomeReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const beat = loadScript('beat-worker-1');

/** What a worker says of itself. */
export interface WorkerRecord {
  readonly name: string;
  readonly address: string;
  /** What apps may take there, and what those that are awake may take by their limits. */
  readonly memoryBytes: number;
  readonly usedBytes: number;
  readonly appsMax: number | null;
  readonly awake: number;
  readonly labels: Readonly<Record<string, string>>;
  /** It puts its apps to sleep and is gone soon. */
  readonly isStopping: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface WorkerStatus extends WorkerRecord {
  /** Heard of; stopped in good order; not heard of any more. */
  readonly state: 'alive' | 'stopped' | 'gone';
  /** Nothing is to be woken there. */
  readonly isDraining: boolean;
  /** How long until it counts as gone when it is not heard of; 0 for one that is. */
  readonly expiresInMs: number;
}

/** Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND, ERR_BAD_STATE. */
export interface Workers {
  /** @param identity tells two gateways with one name apart, and is the same after a restart. @throws CodedError ERR_WORKER_NAME when another one has the name */
  beat(record: WorkerRecord, options: {readonly identity: string; readonly ttlMs: number}): Promise<void>;
  /** All that were ever heard of, by name; what cannot be read is left out. */
  list(): Promise<readonly WorkerStatus[]>;
  /** It stops in good order: what is in the store can be woken elsewhere at once, and what is not waits for it. */
  leave(record: WorkerRecord): Promise<void>;
  setDraining(name: string, isDraining: boolean): Promise<void>;
  /** It will not come back: what it has not brought to the store is given up. With the last worker goes the range that they had agreed on. */
  forget(name: string): Promise<void>;
  /** Whether it is the caller's to take care of the apps of a worker that is gone: one does, for at most `ttlMs`. */
  claimFailover(name: string, by: string, ttlMs: number): Promise<boolean>;
  /** The first worker says which private range all have. @returns the one that holds */
  agreeOnRange(range: string): Promise<string>;
}

/** @param options.prefix of all keys; default `picogate` */
export function openWorkers(connection: Connection, options: {readonly prefix?: string} = {}): Workers {
  const keys = storeKeys(options.prefix);
  const draining = `${keys.workers}:draining`;
  return {
    async beat(record, {identity, ttlMs}) {
      const key = keys.heartbeat(record.name);
      const {kind, rest} = outcomeReply(key, await runScript(connection, beat, [key], [identity, ttlMs]));
      if (kind === 'taken') throw nameTaken(record.name, Number(rest[1]));
      await connection.call('HSET', keys.workers, record.name, JSON.stringify(record));
    },
    async list() {
      const [records, drained] = await Promise.all([connection.call('HGETALL', keys.workers), connection.call('SMEMBERS', draining)]);
      const isDrained = new Set(listReply(draining, drained));
      const known = [...hashReply(keys.workers, records).values()].map(parseJson);
      const found = await Promise.all(
        known.map(async (value) => {
          const record = parseWorker(value);
          if (record === undefined) return [];
          const left = Number(await connection.call('PTTL', keys.heartbeat(record.name)));
          const state = left > 0 ? ('alive' as const) : wasStopped(value) ? ('stopped' as const) : ('gone' as const);
          return [{...record, state, isDraining: record.isStopping || isDrained.has(record.name), expiresInMs: Math.max(0, left)}];
        }),
      );
      return found.flat();
    },
    async leave(record) {
      await connection.call('HSET', keys.workers, record.name, JSON.stringify({...record, isStopped: true}));
      await connection.call('DEL', keys.heartbeat(record.name));
    },
    async setDraining(name, isDraining) {
      await connection.call(isDraining ? 'SADD' : 'SREM', draining, name);
    },
    async forget(name) {
      await connection.call('HDEL', keys.workers, name);
      await connection.call('SREM', draining, name);
      // Whoever comes first then says anew which addresses apps have.
      if (Number(await connection.call('HLEN', keys.workers)) === 0) await connection.call('DEL', keys.range);
    },
    async claimFailover(name, by, ttlMs) {
      return (await connection.call('SET', keys.failover(name), by, 'PX', ttlMs, 'NX')) === 'OK';
    },
    async agreeOnRange(range) {
      await connection.call('SET', keys.range, range, 'NX');
      return String(await connection.call('GET', keys.range));
    },
  };
}

function nameTaken(name: string, remainingMs: number): CodedError {
  const found = `another gateway has that name, or had it until ${Math.max(0, remainingMs)} ms from now`;
  return new CodedError('ERR_WORKER_NAME', `Cannot be worker "${name}": ${found}`, {source: 'client', retryable: true});
}

function wasStopped(value: Json | undefined): boolean {
  return typeof value === 'object' && value !== null && 'isStopped' in value && value.isStopped === true;
}

function parseWorker(value: Json | undefined): WorkerRecord | undefined {
  if (typeof value !== 'object' || value === null || !('name' in value)) return undefined;
  const {name, address, memoryBytes, usedBytes, appsMax, awake, labels, at} = value;
  if (typeof name !== 'string' || typeof address !== 'string' || typeof labels !== 'object' || labels === null || Array.isArray(labels)) return undefined;
  if (typeof memoryBytes !== 'number' || typeof usedBytes !== 'number' || typeof awake !== 'number' || typeof at !== 'number') return undefined;
  const texts = Object.entries(labels).flatMap(([key, text]) => (typeof text === 'string' ? [[key, text] as const] : []));
  const limits = {memoryBytes, usedBytes, appsMax: typeof appsMax === 'number' ? appsMax : null, awake};
  return {name, address, ...limits, labels: Object.fromEntries(texts), isStopping: value['isStopping'] === true, at};
}
