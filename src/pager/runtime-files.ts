/**
 * What the pager keeps in the runtime directory, so that another pager can go on where it was killed: one record per instance, its journal,
 * and the window of events.
 */
import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError} from '../core/errors.ts';
import type {Generation, InstanceId} from '../core/ids.ts';
import type {Keeper} from './faults/parking.ts';

export interface InstanceRecord {
  readonly instance: InstanceId;
  readonly app: string;
  readonly generation: Generation;
  /** Null for an instance that was restored eagerly: it has no faults. */
  readonly keeper: Keeper | null;
}

export interface RuntimeFiles {
  readonly root: string;
  readonly fuseMount: string;
  readonly windowPath: string;
  journalPath(instance: InstanceId): string;
  write(record: InstanceRecord): void;
  remove(instance: InstanceId): void;
  /** All records; one that cannot be read is an error, because its processes would be forgotten. */
  list(): readonly InstanceRecord[];
}

function parseRecord(path: string): InstanceRecord {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof value === 'object' && value !== null && 'instance' in value && 'app' in value && 'generation' in value && 'keeper' in value) {
    return value as InstanceRecord;
  }
  throw new CodedError('ERR_BAD_RECORD', `Cannot read the pager's record "${path}": fields are missing`, {source: 'host'});
}

/** The pager's own directory below the gateway's runtime directory. */
export function pagerDirectory(runtimeDir: string): string {
  return join(runtimeDir, 'pager');
}

/** Creates the directories. Synchronous: all of it is small, and on the way to the first answer of a pager that was restarted. */
export function openRuntimeFiles(runtimeDir: string): RuntimeFiles {
  const root = pagerDirectory(runtimeDir);
  const instances = join(root, 'instances');
  mkdirSync(instances, {recursive: true, mode: 0o700});
  const recordPath = (instance: InstanceId): string => join(instances, `${instance}.json`);
  const journalPath = (instance: InstanceId): string => join(instances, `${instance}.journal`);
  return {
    root,
    fuseMount: join(root, 'images'),
    windowPath: join(root, 'events'),
    journalPath,
    write(record) {
      const path = recordPath(record.instance);
      writeFileSync(`${path}.new`, JSON.stringify(record), {mode: 0o600});
      renameSync(`${path}.new`, path);
    },
    remove(instance) {
      rmSync(recordPath(instance), {force: true});
      rmSync(journalPath(instance), {force: true});
    },
    list: () =>
      readdirSync(instances)
        .filter((name) => name.endsWith('.json'))
        .map((name) => parseRecord(join(instances, name))),
  };
}
