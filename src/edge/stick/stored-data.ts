/** What the entries of a stick table can hold, in the order in which HAProxy lists it (manual, `stick-table`, `store`). */
import type {StickTableConfig} from '../../config/proxy-value.ts';
import {Frequency} from './frequency.ts';

export const storedDataNames = [
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
export type StoredDataName = (typeof storedDataNames)[number];

export interface DataChange {
  readonly how: 'increment' | 'clear';
  readonly what: StoredDataName;
  /** What counts with it. */
  readonly rate: StoredDataName;
}

/** Fetches that change what they are about. */
export const dataChanges: ReadonlyMap<string, DataChange> = new Map([
  ['inc_gpc0', {how: 'increment', what: 'gpc0', rate: 'gpc0_rate'}],
  ['inc_gpc1', {how: 'increment', what: 'gpc1', rate: 'gpc1_rate'}],
  ['clr_gpc0', {how: 'clear', what: 'gpc0', rate: 'gpc0_rate'}],
  ['clr_gpc1', {how: 'clear', what: 'gpc1', rate: 'gpc1_rate'}],
]);

/** A number of an entry: it was set or counted, or it is a rate. */
export type StoredData = number | Frequency;

export interface StoredField {
  readonly name: StoredDataName;
  /** Of a rate; null for others. */
  readonly periodMs: number | null;
}

export function isStoredDataName(name: string): name is StoredDataName {
  return (storedDataNames as readonly string[]).includes(name);
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
