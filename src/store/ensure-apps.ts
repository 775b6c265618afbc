/** Records and network indexes of apps that Redis does not know yet, for many at once. */
import type {AppName} from '../core/ids.ts';
import {limited} from '../core/limited.ts';
import {type AppFields, type AppRecord, encodeRecord} from './app-record.ts';
import type {Connection} from './connection.ts';
import type {Keys} from './keys.ts';
import {badReply, outcomeReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const scripts = {create: loadScript('create-app-1'), assignIndexes: loadScript('assign-indexes-1')} as const;

/** Sent before the answer to the first of them has come. */
export const commandsAtATime = 256;

export interface NewApp {
  readonly name: AppName;
  readonly fields: AppFields;
  /** Network index, to be had if it is free. */
  readonly wantedIndex: number | null;
}

export interface EnsureContext {
  readonly connection: Connection;
  readonly keys: Keys;
  readonly readApp: (name: AppName) => Promise<AppRecord | null>;
}

/** What the app has already, the wanted one, or the lowest free one. @returns in the order of the apps */
export async function assignIndexes(
  {connection, keys}: Pick<EnsureContext, 'connection' | 'keys'>,
  apps: readonly Pick<NewApp, 'name' | 'wantedIndex'>[],
): Promise<readonly number[]> {
  const pairs = apps.flatMap(({name, wantedIndex}) => [name, wantedIndex ?? '']);
  const indexes = await runScript(connection, scripts.assignIndexes, [keys.apps], pairs);
  if (!Array.isArray(indexes) || indexes.length !== apps.length) return badReply(keys.apps, indexes, 'network indexes');
  return indexes.map((index: unknown) => (typeof index === 'number' ? index : badReply(keys.apps, index, 'a network index')));
}

/** Makes the records that are missing. @returns all, in the order of the apps */
export async function ensureApps(context: EnsureContext, apps: readonly NewApp[]): Promise<readonly AppRecord[]> {
  const {connection, keys, readApp} = context;
  const known = await limited(apps, commandsAtATime, ({name}) => readApp(name));
  const missing = apps.filter((_app, at) => known[at] === null);
  if (missing.length === 0) return known.flatMap((record) => record ?? []);
  // Those that need one of their own come first.
  const inTurn = [...missing.filter(({wantedIndex}) => wantedIndex !== null), ...missing.filter(({wantedIndex}) => wantedIndex === null)];
  const indexes = await assignIndexes(context, inTurn);
  const made = await limited(inTurn, commandsAtATime, async ({name, fields}, at): Promise<AppRecord> => {
    const record: AppRecord = {...fields, name, generation: null, pin: null, index: indexes[at] ?? badReply(keys.apps, indexes, 'a network index')};
    const {kind} = outcomeReply(keys.app(name), await runScript(connection, scripts.create, [keys.app(name)], encodeRecord(record)));
    return kind === 'created' ? record : ((await readApp(name)) ?? record);
  });
  const byName = new Map(made.map((record) => [record.name, record]));
  return apps.flatMap(({name}, at) => known[at] ?? byName.get(name) ?? []);
}
