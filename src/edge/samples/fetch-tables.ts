/** Counters of stick tables: `sc_*`, `sc0_*`, `src_*` and the converters `table_*`. HAProxy's manual, sections 7.3.1 and 7.3.3. */
import type {SampleCall} from '../../config/sample.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {badCall, type Converter, type ConverterBuilder, type Fetch, type FetchBuilder, integerArgument, neededArgument, textArgument} from './fetch.ts';
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

/** Of arrays, by the number of an element: what is asked is `get` of `gpc[2]`, say. */
const elements: Readonly<Record<string, (index: number) => string>> = {
  get_gpc: (index) => `gpc[${index}]`,
  inc_gpc: (index) => `inc_gpc[${index}]`,
  clr_gpc: (index) => `clr_gpc[${index}]`,
  gpc_rate: (index) => `gpc_rate[${index}]`,
  get_gpt: (index) => `gpt[${index}]`,
};

/** The converters name what they read, not that they get it, and change nothing. */
const readings = ['gpc0', 'gpc1', 'gpt0', ...Object.values(counters).filter((what) => !/^(inc|clr)_|^gp[ct][01]$/.test(what))];

function numberOrNull(value: number | null): SampleValue {
  return value === null ? null : intValue(value);
}

/** @param fixed the number in `sc0_`; null: it is the argument at `at` */
function trackedBuilder(call: SampleCall, what: string, {fixed, at}: {readonly fixed: number | null; readonly at: number}): Fetch {
  const counter = fixed ?? integerArgument(call, at, null);
  if (counter < 0 || counter > 2) throw badCall(call, `there is no counter ${counter}, only 0, 1 and 2`);
  const table = textArgument(call, fixed === null ? at + 1 : at);
  if (table !== '') throw badCall(call, 'a tracked counter is that of the table of its rule; another table is not looked into');
  if (what === 'tracked') return {one: (context) => boolValue(context.surroundings.trackedValue(counter, what) !== null)};
  return {one: (context) => numberOrNull(context.surroundings.trackedValue(counter, what))};
}

function tracked(what: string, fixed: number | null): FetchBuilder {
  return (call) => trackedBuilder(call, what, {fixed, at: 0});
}

function trackedElement(element: (index: number) => string, fixed: number | null): FetchBuilder {
  return (call) => trackedBuilder(call, element(integerArgument(call, 0, null)), {fixed, at: 1});
}

/** A source that the table does not know counts 0. */
function ofSource(table: string, what: string): Fetch {
  return {
    one(context: SampleContext) {
      const source = addressValue(context.connection.source.host);
      return source === null ? null : numberOrNull(context.surroundings.tableValue(table, source, what));
    },
  };
}

export const tableFetches: Readonly<Record<string, FetchBuilder>> = {
  ...Object.fromEntries(
    [...Object.entries(counters), ['tracked', 'tracked'] as const].flatMap(([name, what]) => [
      [`sc_${name}`, tracked(what, null)],
      ...[0, 1, 2].map((counter) => [`sc${counter}_${name}`, tracked(what, counter)] as const),
    ]),
  ),
  ...Object.fromEntries(Object.entries(counters).map(([name, what]) => [`src_${name}`, (call) => ofSource(textArgument(call, 0), what)])),
  ...Object.fromEntries(
    Object.entries(elements).flatMap(([name, element]): [string, FetchBuilder][] => [
      [`sc_${name}`, trackedElement(element, null)],
      [`src_${name}`, (call) => ofSource(neededArgument(call, 1, 'the name of a table'), element(integerArgument(call, 0, null)))],
    ]),
  ),
  sc1_clr_gpc: trackedElement((index) => `clr_gpc[${index}]`, 1),
};

const tableName = 'the name of a table';

/** A key that is not in the table counts 0. */
function lookUp(table: string, what: string): Converter {
  return (value, context) => numberOrNull(context.surroundings.tableValue(table, value, what));
}

function lookUpElement(array: string): ConverterBuilder {
  return (call) => lookUp(neededArgument(call, 1, tableName), `${array}[${integerArgument(call, 0, null)}]`);
}

const inTable: ConverterBuilder = (call) => {
  const table = neededArgument(call, 0, tableName);
  return (value, context) => boolValue(context.surroundings.tableValue(table, value, 'in_table') === 1);
};

export const tableConverters: Readonly<Record<string, ConverterBuilder>> = {
  ...Object.fromEntries(readings.map((what) => [`table_${what}`, (call) => lookUp(neededArgument(call, 0, tableName), what)])),
  table_gpc: lookUpElement('gpc'),
  table_gpc_rate: lookUpElement('gpc_rate'),
  table_gpt: lookUpElement('gpt'),
  in_table: inTable,
};
