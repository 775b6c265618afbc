/**
 * The Lua files beside this one. Each is one atomic read-compare-write; the number at the end of its name is its number of keys, and
 * its header lists KEYS, ARGV and result. All keys of one call carry the same hash tag, so scripts work on Redis Cluster.
 */
import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {assert, errorMessage} from '../core/errors.ts';
import type {Connection} from './connection.ts';

export interface Script {
  readonly name: string;
  readonly keyCount: number;
  readonly sha: string;
  readonly text: string;
}

/** Reads a script when its module is loaded, before anything is served. @param name file name without `.lua` */
export function loadScript(name: string): Script {
  const text = readFileSync(new URL(`lua/${name}.lua`, import.meta.url), 'utf8');
  const keyCount = Number(/-(?<count>\d+)$/.exec(name)?.groups?.['count']);
  assert(Number.isSafeInteger(keyCount), `The name of script "${name}" does not end in its number of keys`);
  return {name, keyCount, sha: createHash('sha1').update(text).digest('hex'), text};
}

/** Runs a script by its hash, and sends its text only to a server that does not know it. */
export async function runScript(connection: Connection, script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
  assert(keys.length === script.keyCount, `Script "${script.name}" takes ${script.keyCount} keys, not ${keys.length}`);
  try {
    return await connection.call('EVALSHA', script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!errorMessage(error).includes('NOSCRIPT')) throw error;
    return connection.call('EVAL', script.text, keys.length, ...keys, ...args);
  }
}
