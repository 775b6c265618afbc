/** Apps that were added while gateways run: sections in the language of the configuration, which all gateways of one Redis read behind their files. */
import {CodedError} from '../core/errors.ts';
import type {Connection} from './connection.ts';
import {parseJson} from './json.ts';
import {storeKeys} from './keys.ts';
import {badReply, hashReply, type Outcome, outcomeReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

export interface AddedApp {
  readonly name: string;
  /** The section `app`, and those in which it is reached. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface AddedSet {
  /** Of two sets the one with the greater version is the newer; 0: none was ever added. */
  readonly version: number;
  /** In the order in which they were added. */
  readonly apps: readonly AddedApp[];
}

/** Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND, or ERR_BAD_STATE for what cannot be read. */
export interface AddedApps {
  read(): Promise<AddedSet>;
  /** @returns the version of the set with it. @throws CodedError ERR_APP_EXISTS */
  add(app: AddedApp): Promise<number>;
  /** @returns the version of the set without it. @throws CodedError ERR_UNKNOWN_APP */
  remove(name: string): Promise<number>;
  /** For a Redis that was emptied, or has lost its last writes; a set that is as new stays. */
  restore(set: AddedSet): Promise<void>;
}

const change = loadScript('change-added-apps-1');
const prefix = 'app:';

export function parseAddedApp(value: unknown): AddedApp | null {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('text' in value) || !('at' in value)) return null;
  const {name, text, at} = value;
  return typeof name === 'string' && typeof text === 'string' && typeof at === 'number' ? {name, text, at} : null;
}

export function openAddedApps(connection: Connection): AddedApps {
  const key = storeKeys().addedApps;
  const run = async (...args: readonly (string | number)[]): Promise<Outcome> => outcomeReply(key, await runScript(connection, change, [key], args));
  const versionIn = ({kind, rest: [version]}: Outcome): number => (typeof version === 'number' ? version : badReply(key, kind, 'a version'));
  return {
    async read() {
      const hash = hashReply(key, await connection.call('HGETALL', key));
      const apps = [...hash].flatMap(([field, text]) => (field.startsWith(prefix) ? [parseAddedApp(parseJson(text)) ?? badReply(key, text, 'an app')] : []));
      return {version: Number(hash.get('version') ?? 0), apps: apps.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1))};
    },
    async add(app) {
      const outcome = await run('add', app.name, JSON.stringify(app));
      if (outcome.kind !== 'exists') return versionIn(outcome);
      throw new CodedError('ERR_APP_EXISTS', `Cannot add app "${app.name}": there is one of this name; "picogate app rm" removes it`, {source: 'client'});
    },
    async remove(name) {
      const outcome = await run('remove', name);
      if (outcome.kind !== 'missing') return versionIn(outcome);
      throw new CodedError('ERR_UNKNOWN_APP', `Cannot remove app "${name}": none of this name was added`, {source: 'client'});
    },
    async restore({version, apps}) {
      await run('restore', version, ...apps.flatMap((app) => [app.name, JSON.stringify(app)]));
    },
  };
}
