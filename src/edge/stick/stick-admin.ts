/** Stick tables as the runtime API shows and changes them (HAProxy management guide, `show table`, `set table`, `clear table`). */
import type {Clock} from '../../core/clock.ts';
import {CodedError} from '../../core/errors.ts';
import {stickKeyFromText} from './stick-key.ts';
import type {StickEntry, StickTable} from './stick-table.ts';
import {readData} from './stored-data.ts';

/** `data.conn_rate gt 5` */
export interface DataFilter {
  readonly what: string;
  readonly operator: 'eq' | 'ne' | 'le' | 'lt' | 'ge' | 'gt';
  readonly value: number;
}

/** All filters must hold. */
export interface EntrySelection {
  readonly key?: string | undefined;
  readonly filters?: readonly DataFilter[] | undefined;
}

const comparisons = {
  eq: (a: number, b: number) => a === b,
  ne: (a: number, b: number) => a !== b,
  le: (a: number, b: number) => a <= b,
  lt: (a: number, b: number) => a < b,
  ge: (a: number, b: number) => a >= b,
  gt: (a: number, b: number) => a > b,
} as const satisfies Record<DataFilter['operator'], (a: number, b: number) => boolean>;

/** `# table: web, type: ip, size:1024, used:1` */
export function showTableHead({name, config, used}: StickTable): string {
  return `# table: ${name}, type: ${config.type}, size:${config.size}, used:${used}`;
}

/**
 * One line per entry: `0x2a: key=192.0.2.1 use=0 exp=29999 conn_cnt=3 conn_rate(10000)=3`.
 * @throws CodedError ERR_STICK_DATA when a filter asks for what the table does not store
 */
export function* showEntries(table: StickTable, selection: EntrySelection, clock: Clock): Iterable<string> {
  for (const entry of selectEntries(table, selection)) yield showEntry(table, entry, clock.monotonicMs());
}

function showEntry(table: StickTable, entry: StickEntry, nowMs: number): string {
  const data = table.fields.map(({name, periodMs}, index) => {
    const value = readData(entry.data[index] ?? 0, nowMs);
    return periodMs === null ? `${name}=${value}` : `${name}(${periodMs})=${value}`;
  });
  const leftMs = Number.isFinite(entry.expiresAtMs) ? Math.max(0, Math.round(entry.expiresAtMs - nowMs)) : 0;
  return [`0x${entry.id.toString(16)}: key=${showKey(entry.key)}`, `use=${entry.references}`, `exp=${leftMs}`, ...data].join(' ');
}

/** A key may be anything that a client sent. */
function showKey(key: string): string {
  return key.replace(/[^\x20-\x7e]|\\/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function* selectEntries(table: StickTable, {key, filters = []}: EntrySelection): Iterable<StickEntry> {
  for (const {what} of filters) if (!table.stores(what)) throw notStored(table, what);
  const matches = (entry: StickEntry): boolean => filters.every(({what, operator, value}) => comparisons[operator](table.read(entry, what) ?? 0, value));
  if (key === undefined) {
    for (const entry of table.entries()) if (matches(entry)) yield entry;
    return;
  }
  const entry = table.find(parseKey(table, key));
  if (entry !== null && matches(entry)) yield entry;
}

/**
 * Makes the entry when there is none.
 * @throws CodedError ERR_STICK_KEY, ERR_STICK_DATA, ERR_STICK_FULL; then nothing was changed
 */
export function setEntry(table: StickTable, key: string, data: Readonly<Record<string, number>>): void {
  for (const what of Object.keys(data)) if (!table.stores(what)) throw notStored(table, what);
  const entry = table.use(parseKey(table, key));
  if (entry === null)
    throw new CodedError('ERR_STICK_FULL', `Cannot add a key to table "${table.name}": all of its ${table.used} entries are in use`, {source: 'host'});
  for (const [what, value] of Object.entries(data)) table.set(entry, what, value);
}

/**
 * Removes what is selected, but for entries that sessions track.
 * @returns how many were removed, and how many are in use
 */
export function clearEntries(table: StickTable, selection: EntrySelection): {readonly removed: number; readonly inUse: number} {
  let removed = 0;
  let inUse = 0;
  for (const entry of [...selectEntries(table, selection)]) {
    if (table.remove(entry)) removed++;
    else inUse++;
  }
  return {removed, inUse};
}

function parseKey(table: StickTable, text: string): string {
  const key = stickKeyFromText(table.config, text);
  if (key === null)
    throw new CodedError('ERR_STICK_KEY', `Cannot look up key "${text}" in table "${table.name}": it is no ${table.config.type}`, {source: 'client'});
  return key;
}

function notStored(table: StickTable, what: string): CodedError<'ERR_STICK_DATA'> {
  return new CodedError('ERR_STICK_DATA', `Cannot use data "${what}" of table "${table.name}": it does not store that`, {source: 'client'});
}
