/**
 * The state of apps in Redis. Writes carry the fencing token of the writer's lease; Redis rejects an older one, so a worker that was
 * thought dead cannot overwrite what its successor did.
 */
import {CodedError} from '../core/errors.ts';
import {type AppName, appName, type FencingToken, type Generation} from '../core/ids.ts';
import {limited} from '../core/limited.ts';
import {type AppFields, type AppRecord, decodeRecord, encodeFields, encodePin, encodeRecord, type Pin} from './app-record.ts';
import type {Connection} from './connection.ts';
import {assignIndexes, commandsAtATime, ensureApps, type NewApp} from './ensure-apps.ts';
import {storeKeys} from './keys.ts';
import {badReply, hashReply, type Outcome, outcomeReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const scripts = {
  update: loadScript('update-app-2'),
  commit: loadScript('commit-generation-2'),
  restore: loadScript('restore-app-2'),
  setPin: loadScript('set-pin-1'),
} as const;

export interface Commit {
  /** The generation that the new one was made from: what the pointer must be now. */
  readonly parent: Generation | null;
  readonly generation: Generation;
  /** Written in the same step. */
  readonly fields?: Partial<AppFields>;
}

/** Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND, or ERR_BAD_STATE for what cannot be read. */
export interface State {
  /** The app's record; made from `fields`, with a network index of its own (`wantedIndex` if that is free), when there is none. */
  ensureApp(name: AppName, fields: AppFields, wantedIndex?: number): Promise<AppRecord>;
  /** The same for many apps: all that want an index get theirs before the others do. @returns the records in the order of the apps */
  ensureApps(apps: readonly NewApp[]): Promise<readonly AppRecord[]>;
  readApp(name: AppName): Promise<AppRecord | null>;
  /** In the order of the names. */
  readApps(names: readonly AppName[]): Promise<readonly (AppRecord | null)[]>;
  /** All known apps, by name; an app whose record is damaged is an `Error` in its place. */
  listApps(): Promise<ReadonlyMap<AppName, AppRecord | Error>>;
  /** @throws CodedError ERR_OLD_TOKEN, ERR_UNKNOWN_TOKEN (Redis has lost state: `restoreApp`), ERR_UNKNOWN_APP */
  updateApp(name: AppName, token: FencingToken, fields: Partial<AppFields>): Promise<void>;
  /** Repeating a commit is harmless. @throws as updateApp, and CodedError ERR_GENERATION_CONFLICT when the pointer is not at `parent` */
  commitGeneration(name: AppName, token: FencingToken, commit: Commit): Promise<void>;
  /** What an operator wants; no lease is needed for it. @throws CodedError ERR_UNKNOWN_APP */
  setPin(name: AppName, pin: Pin | null): Promise<void>;
  /** For a Redis that was emptied: puts the record back and keeps tokens growing; what Redis knows and is as new, stays. */
  restoreApp(record: AppRecord, highestToken: FencingToken | null): Promise<'restored' | 'kept'>;
  /** The app's newest fencing token, 0 when it never had an owner. */
  newestToken(name: AppName): Promise<number>;
  /** Removes the record and frees the index; the token counter stays. */
  forgetApp(name: AppName): Promise<void>;
}

/** Turns what a fenced script refused into an error; returns otherwise. */
function rejectRefusal(verb: string, name: AppName, token: FencingToken, outcome: Outcome): void {
  const found = outcome.rest[0] ?? '';
  switch (outcome.kind) {
    case 'missing':
      throw new CodedError('ERR_UNKNOWN_APP', `Cannot ${verb} app "${name}": Redis has no record of it`, {source: 'host'});
    case 'old-token':
      throw new CodedError('ERR_OLD_TOKEN', `Cannot ${verb} app "${name}": it has a newer owner, with token ${found} after ${token}`, {source: 'host'});
    case 'unknown-token':
      throw new CodedError('ERR_UNKNOWN_TOKEN', `Cannot ${verb} app "${name}": Redis has lost state, its newest token is ${found}, not ${token}`, {
        source: 'host',
      });
    case 'conflict':
      throw new CodedError('ERR_GENERATION_CONFLICT', `Cannot ${verb} app "${name}": its newest checkpoint is ${found === '' ? 'none' : found}`, {
        source: 'host',
      });
    default:
  }
}

/** @param options.prefix of all keys; default `picogate` */
export function openState(connection: Connection, options: {readonly prefix?: string} = {}): State {
  const keys = storeKeys(options.prefix);

  async function readApp(name: AppName): Promise<AppRecord | null> {
    const key = keys.app(name);
    const hash = hashReply(key, await connection.call('HGETALL', key));
    return hash.size === 0 ? null : decodeRecord(name, key, hash);
  }

  const context = {connection, keys, readApp};
  return {
    readApp,
    readApps: (names) => limited(names, commandsAtATime, readApp),
    ensureApps: (apps) => ensureApps(context, apps),
    async ensureApp(name, fields, wantedIndex) {
      const [record] = await ensureApps(context, [{name, fields, wantedIndex: wantedIndex ?? null}]);
      return record ?? badReply(keys.app(name), record, 'a record');
    },
    async listApps() {
      const known = hashReply(keys.apps, await connection.call('HGETALL', keys.apps));
      const names = [...known.keys()].sort().map(appName);
      const records = await Promise.allSettled(names.map(readApp));
      const apps = new Map<AppName, AppRecord | Error>();
      for (const [at, name] of names.entries()) {
        const result = records[at];
        if (result?.status === 'fulfilled' && result.value !== null) apps.set(name, result.value);
        if (result?.status !== 'rejected') continue;
        if (!(result.reason instanceof CodedError) || result.reason.code !== 'ERR_BAD_STATE') throw result.reason;
        apps.set(name, result.reason);
      }
      return apps;
    },
    async updateApp(name, token, fields) {
      const flat = encodeFields(fields);
      rejectRefusal('update', name, token, await runFenced(connection, scripts.update, [keys.app(name), keys.token(name)], [token, ...flat]));
    },
    async commitGeneration(name, token, {parent, generation, fields}) {
      const args = [token, parent ?? '', generation, ...encodeFields(fields ?? {})];
      const outcome = await runFenced(connection, scripts.commit, [keys.app(name), keys.token(name)], args);
      rejectRefusal(`commit generation ${generation} of`, name, token, outcome);
    },
    async setPin(name, pin) {
      const key = keys.app(name);
      const outcome = outcomeReply(key, await runScript(connection, scripts.setPin, [key], [encodePin(pin)]));
      if (outcome.kind === 'missing') throw new CodedError('ERR_UNKNOWN_APP', `Cannot pin app "${name}": Redis has no record of it`, {source: 'host'});
    },
    async restoreApp(record, highestToken) {
      const [index = record.index] = await assignIndexes(context, [{name: record.name, wantedIndex: record.index}]);
      const args = [highestToken ?? 0, record.generation ?? '', ...encodeRecord({...record, index})];
      const outcome = await runFenced(connection, scripts.restore, [keys.app(record.name), keys.token(record.name)], args);
      return outcome.kind === 'kept' ? 'kept' : 'restored';
    },
    async newestToken(name) {
      const value = await connection.call('GET', keys.token(name));
      if (value === null) return 0;
      const token = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
      return Number.isSafeInteger(token) ? token : badReply(keys.token(name), value, 'a fencing token');
    },
    async forgetApp(name) {
      await connection.call('DEL', keys.app(name));
      await connection.call('HDEL', keys.apps, name);
    },
  };
}

async function runFenced(
  connection: Connection,
  script: Parameters<typeof runScript>[1],
  keys: readonly [string, string],
  args: readonly (string | number)[],
): Promise<Outcome> {
  return outcomeReply(keys[0], await runScript(connection, script, keys, args));
}
