/** Counters of stick tables: `sc_*`, `sc0_*`, `src_*` and the converters `table_*`. HAProxy's manual, sections 7.3.1 and 7.3.3. */
import type {SampleContext, SampleValue} from './context.ts';
import {badCall, type ConverterBuilder, type FetchBuilder, integerArgument, neededArgument, textArgument} from './fetch.ts';
import {addressValue, boolValue, intValue} from './value.ts';

/** What is asked under the name after the prefix. */
const counters: Readonly<Record<string, string>> = {
  bytes_in_rate: 'bytes_in_rate',
  bytes_out_rate: 'bytes_out_rate',
  conn_cnt: 'conn_cnt',
  conn_cur: 'conn_cur',
  conn_rate: 'conn_rate',
  gpc0_rate: 'gpc0_rate',
  gpc1_rate: 'gpc1_rate',
  get_gpc0: 'gpc0',
  get_gpc1: 'gpc1',
  get_gpt0: 'gpt0',
  inc_gpc0: 'inc_gpc0',
  inc_gpc1: 'inc_gpc1',
  clr_gpc0: 'clr_gpc0',
  clr_gpc1: 'clr_gpc1',
  http_err_cnt: 'http_err_cnt',
  http_err_rate: 'http_err_rate',
  http_fail_cnt: 'http_fail_cnt',
  http_fail_rate: 'http_fail_rate',
  http_req_cnt: 'http_req_cnt',
  http_req_rate: 'http_req_rate',
  kbytes_in: 'kbytes_in',
  kbytes_out: 'kbytes_out',
  sess_cnt: 'sess_cnt',
  sess_rate: 'sess_rate',
  trackers: 'trackers',
};

/** The converters name what they read, not that they get it, and change nothing. */
const readings = ['gpc0', 'gpc1', 'gpt0', ...Object.values(counters).filter((what) => !/^(inc|clr)_|^gp[ct][01]$/.test(what))];

function numberOrNull(value: number | null): SampleValue {
  return value === null ? null : intValue(value);
}

/** @param fixed the number in `sc0_`; null: it is the first argument */
function tracked(what: string, fixed: number | null): FetchBuilder {
  return (call) => {
    const counter = fixed ?? integerArgument(call, 0, null);
    if (counter < 0 || counter > 2) throw badCall(call, `there is no counter ${counter}, only 0, 1 and 2`);
    const table = textArgument(call, fixed === null ? 1 : 0);
    if (table !== '') throw badCall(call, 'a tracked counter is that of the table of its rule; another table is not looked into');
    if (what === 'tracked') return {one: (context) => boolValue(context.surroundings.trackedValue(counter, what) !== null)};
    return {one: (context) => numberOrNull(context.surroundings.trackedValue(counter, what))};
  };
}

function ofSource(what: string): FetchBuilder {
  return (call) => {
    const table = textArgument(call, 0);
    return {
      one(context: SampleContext) {
        const source = addressValue(context.connection.source.host);
        // One that the table does not know counts 0.
        return source === null ? null : intValue(context.surroundings.tableValue(table, source, what) ?? 0);
      },
    };
  };
}

export const tableFetches: Readonly<Record<string, FetchBuilder>> = {
  ...Object.fromEntries(
    [...Object.entries(counters), ['tracked', 'tracked'] as const].flatMap(([name, what]) => [
      [`sc_${name}`, tracked(what, null)],
      ...[0, 1, 2].map((counter) => [`sc${counter}_${name}`, tracked(what, counter)] as const),
    ]),
  ),
  ...Object.fromEntries(Object.entries(counters).map(([name, what]) => [`src_${name}`, ofSource(what)])),
};

function tableName(call: Parameters<ConverterBuilder>[0]): string {
  return neededArgument(call, 0, 'the name of a table');
}

/** A key that is not in the table counts 0. */
function lookUp(what: string): ConverterBuilder {
  return (call) => {
    const table = tableName(call);
    return (value, context) => intValue(context.surroundings.tableValue(table, value, what) ?? 0);
  };
}

const inTable: ConverterBuilder = (call) => {
  const table = tableName(call);
  return (value, context) => boolValue(context.surroundings.tableValue(table, value, 'trackers') !== null);
};

export const tableConverters: Readonly<Record<string, ConverterBuilder>> = {
  ...Object.fromEntries(readings.map((what) => [`table_${what}`, lookUp(what)])),
  in_table: inTable,
};
