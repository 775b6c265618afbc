/**
 * Where the newest checkpoint of each app is kept, as the worker that has it last said: for listings, and so that no other worker takes an app whose
 * checkpoint is not in the store yet. What is said of an older generation says nothing of the newest, so it needs no lease and no fencing token.
 */
import type {AppName} from '../core/ids.ts';
import type {AppRecord, Residency} from './app-record.ts';
import type {Connection} from './connection.ts';
import {type Json, parseJson} from './json.ts';
import {storeKeys} from './keys.ts';
import {hashReply} from './reply.ts';

export interface StoredPlacement {
  readonly generation: number | null;
  /** It is on a worker's disk. */
  readonly local: boolean;
  /** It is in the remote store. */
  readonly stored: boolean;
  readonly pendingObjects: number;
  readonly pendingBytes: number;
  readonly current: string | null;
  readonly lastError: string | null;
}

export interface Placements {
  write(app: AppName, placement: StoredPlacement): Promise<void>;
  /** What is known, by app; what cannot be read is left out. */
  read(): Promise<ReadonlyMap<string, StoredPlacement>>;
  readOne(app: AppName): Promise<StoredPlacement | undefined>;
}

/** @param options.prefix of all keys; default `picogate` */
export function openPlacements(connection: Connection, options: {readonly prefix?: string} = {}): Placements {
  const key = storeKeys(options.prefix).placements;
  return {
    async write(app, placement) {
      await connection.call('HSET', key, app, JSON.stringify(placement));
    },
    async readOne(app) {
      const text = await connection.call('HGET', key, app);
      return typeof text === 'string' ? parsePlacement(parseJson(text)) : undefined;
    },
    async read() {
      const found = new Map<string, StoredPlacement>();
      for (const [app, text] of hashReply(key, await connection.call('HGETALL', key))) {
        const placement = parsePlacement(parseJson(text));
        if (placement !== undefined) found.set(app, placement);
      }
      return found;
    },
  };
}

function parsePlacement(value: Json | undefined): StoredPlacement | undefined {
  if (typeof value !== 'object' || value === null || !('local' in value)) return undefined;
  const {generation, local, stored, pendingObjects, pendingBytes, current, lastError} = value;
  if (typeof local !== 'boolean' || typeof stored !== 'boolean' || typeof pendingObjects !== 'number' || typeof pendingBytes !== 'number') return undefined;
  const textOrNull = (text: Json | undefined): string | null => (typeof text === 'string' ? text : null);
  return {
    generation: typeof generation === 'number' ? generation : null,
    local,
    stored,
    pendingObjects,
    pendingBytes,
    current: textOrNull(current),
    lastError: textOrNull(lastError),
  };
}

/** Where an app is, of which a remote store is known or not. */
export function residencyOf(record: AppRecord, placement: StoredPlacement | undefined): {readonly residency: Residency; readonly stored: boolean} {
  // What was said of an older generation says nothing of this one.
  const {local, stored} = placement?.generation === record.generation ? placement : {local: true, stored: false};
  return {residency: record.residency === 'warm' && !local ? 'cold' : record.residency, stored};
}
