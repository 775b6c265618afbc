/** All stick tables of a configuration: each is named after the frontend or backend that declares it. */
import type {BackendConfig, FrontendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import type {SampleValue, Surroundings} from '../samples/context.ts';
import {stickKey} from './stick-key.ts';
import {StickTable} from './stick-table.ts';
import {dataChanges} from './stored-data.ts';
import type {Tracking} from './tracking.ts';

export interface StickTables extends Disposable {
  get(name: string): StickTable | null;
  list(): Iterable<StickTable>;
  /** What expressions ask about tables (Surroundings). */
  readonly tableValue: Surroundings['tableValue'];
  readonly tableSize: Surroundings['tableSize'];
}

export interface StickTablesOptions {
  readonly proxies: readonly (FrontendConfig | BackendConfig)[];
  readonly clock: Clock;
}

export function openStickTables({proxies, clock}: StickTablesOptions): StickTables {
  const persistent = new Set(proxies.flatMap((proxy) => ('stickRules' in proxy ? proxy.stickRules.map(({table}) => table ?? proxy.name) : [])));
  const tables = new Map<string, StickTable>();
  for (const {name, stickTable} of proxies) {
    // Both parts of a listen section name the same table.
    if (stickTable === null || tables.has(name)) continue;
    tables.set(name, new StickTable({name, config: stickTable, clock, forPersistence: persistent.has(name)}));
  }
  return {
    get: (name) => tables.get(name) ?? null,
    list: () => tables.values(),
    tableValue: (name, key, what) => storedValue(tables.get(name), key, what),
    tableSize: (name) => tables.get(name)?.used ?? null,
    [Symbol.dispose]() {
      for (const table of tables.values()) table[Symbol.dispose]();
    },
  };
}

function storedValue(table: StickTable | undefined, sample: SampleValue, what: string): number | null {
  if (table === undefined) return null;
  const key = stickKey(table.config, sample);
  if (key === null) return null;
  const change = dataChanges.get(what);
  const entry = change === undefined ? table.find(key) : table.use(key);
  if (what === 'in_table') return entry === null ? 0 : 1;
  if (entry === null) return 0;
  if (change !== undefined) return table.change(entry, change);
  return table.read(entry, what);
}

/** What expressions ask about the entries that a session tracks (Surroundings). */
export function trackedValueOf(tracking: Tracking): Surroundings['trackedValue'] {
  return (counter, what) => tracking.value(counter, what);
}
