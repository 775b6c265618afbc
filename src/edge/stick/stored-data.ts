/** What the entries of a stick table can hold, in the order in which HAProxy lists it (manual, `stick-table`, `store`). */
import type {StickTableConfig} from '../../config/proxy-value.ts';
import {Frequency} from './frequency.ts';

const singleNames = [
  'server_id',
  'gpt0',
  'gpc0',
  'gpc0_rate',
  'conn_cnt',
  'conn_rate',
  'conn_cur',
  'sess_cnt',
  'sess_rate',
  'http_req_cnt',
  'http_req_rate',
  'http_err_cnt',
  'http_err_rate',
  'bytes_in_cnt',
  'bytes_in_rate',
  'bytes_out_cnt',
  'bytes_out_rate',
  'gpc1',
  'gpc1_rate',
  'http_fail_cnt',
  'http_fail_rate',
] as const;

const arrays = ['gpt', 'gpc', 'gpc_rate'] as const;
/** HAProxy's limit. */
const maxElements = 100;
type ElementName = `${(typeof arrays)[number]}[${number}]`;

export type StoredDataName = (typeof singleNames)[number] | ElementName;

const elementIndexes = Array.from({length: maxElements}, (_, index) => index);
const storedDataNames: readonly StoredDataName[] = [
  ...singleNames,
  ...arrays.flatMap((array) => elementIndexes.map((index): ElementName => `${array}[${index}]`)),
];

/** As HAProxy shows it: `gpc2` is the third of `gpc(3)`, and `gpc2_rate` that of `gpc_rate(3,1m)`. */
export function shownName(name: StoredDataName): string {
  return name.replace(/^([^_]+)(.*)\[(\d+)\]$/, (_all, kind: string, rest: string, index: string) => `${kind}${index}${rest}`);
}

/**
 * All names under which a field is found. The first elements of arrays are found by the names of single ones, of which there are none in a table
 * that has arrays (`gpc0`), and the very first also by that of the array, by which HAProxy's `set table` names it.
 */
export function namesOfField(name: StoredDataName): readonly string[] {
  return [name, shownName(name), ...(name.endsWith('[0]') ? [name.slice(0, -'[0]'.length)] : [])];
}

export interface DataChange {
  readonly how: 'increment' | 'clear';
  readonly what: StoredDataName;
  /** What counts with it. */
  readonly rate: StoredDataName;
}

/** Fetches that change what they are about. */
export const dataChanges: ReadonlyMap<string, DataChange> = new Map<string, DataChange>([
  ['inc_gpc0', {how: 'increment', what: 'gpc0', rate: 'gpc0_rate'}],
  ['inc_gpc1', {how: 'increment', what: 'gpc1', rate: 'gpc1_rate'}],
  ['clr_gpc0', {how: 'clear', what: 'gpc0', rate: 'gpc0_rate'}],
  ['clr_gpc1', {how: 'clear', what: 'gpc1', rate: 'gpc1_rate'}],
  ...elementIndexes.flatMap((index): [string, DataChange][] => {
    const what = `gpc[${index}]` as const;
    const rate = `gpc_rate[${index}]` as const;
    return [
      [`inc_${what}`, {how: 'increment', what, rate}],
      [`clr_${what}`, {how: 'clear', what, rate}],
    ];
  }),
]);

/** A number of an entry: it was set or counted, or it is a rate. */
export type StoredData = number | Frequency;

export interface StoredField {
  readonly name: StoredDataName;
  /** Of a rate; null for others. */
  readonly periodMs: number | null;
}

/** The fields of a table; `server_id` is one of them when `stick` rules use the table, whether it is declared or not. */
export function storedFields(config: StickTableConfig, {forPersistence}: {readonly forPersistence: boolean}): readonly StoredField[] {
  const periods = new Map(config.stores.map(({what, periodMs}) => [what, periodMs]));
  if (forPersistence && !periods.has('server_id')) periods.set('server_id', null);
  return storedDataNames.flatMap((name) => {
    const periodMs = periods.get(name);
    return periodMs === undefined ? [] : [{name, periodMs}];
  });
}

export function initialData({periodMs}: StoredField): StoredData {
  return periodMs === null ? 0 : new Frequency(periodMs);
}

export function readData(data: StoredData, nowMs: number): number {
  return typeof data === 'number' ? data : data.read(nowMs);
}
