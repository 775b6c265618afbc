/** Commands about stick tables (management manual, section 9.3). */
import {type Command, type CommandContext, refuse} from './command.ts';
import type {GatewayControl, TableControl, TableEntry} from './gateway-control.ts';
import {hexadecimal} from './hexadecimal.ts';

type Test = (entry: TableEntry) => boolean;

const comparisons: Readonly<Record<string, (value: number, limit: number) => boolean>> = {
  eq: (value, limit) => value === limit,
  ne: (value, limit) => value !== limit,
  le: (value, limit) => value <= limit,
  ge: (value, limit) => value >= limit,
  lt: (value, limit) => value < limit,
  gt: (value, limit) => value > limit,
};

/** HAProxy has as many. */
const maxFilters = 4;

function findTable(control: GatewayControl, name: string): TableControl {
  for (const table of control.tables()) if (table.name === name) return table;
  return refuse('No such table\n');
}

/** `http_req_rate(10000)` is found by `http_req_rate`, and `gpc0`, the first one of an array, by `gpc`. */
function dataValue({data}: TableEntry, what: string): number | undefined {
  const wanted = what.replace(/^gp[ct](?=$|_)/, '$&0');
  for (const [name, value] of data) if (name.split('(', 1)[0] === wanted) return value;
  return undefined;
}

/** `data.NAME OPERATOR VALUE`, several of which all must hold. */
function filters(table: TableControl, words: readonly string[]): Test {
  const tests: Test[] = [];
  for (let at = 0; at < words.length; at += 3) {
    const number = at / 3 + 1;
    const wrong = (found: string): never => refuse(number === 1 ? `Filter entry #1: ${found}\n` : `Filter entry #${number}: ${found}\n`);
    const [name = '', operator = '', value] = words.slice(at, at + 3);
    if (number > maxFilters) return wrong('Too many filters');
    if (!name.startsWith('data.')) return wrong('Data type not found');
    const what = name.slice('data.'.length);
    if (!table.stores.includes(what)) return wrong(notStored(what));
    const compare = comparisons[operator] ?? wrong('Require and operator among "eq", "ne", "le", "ge", "lt", "gt"');
    const limit = value !== undefined && /^-?\d{1,15}$/.test(value) ? Number(value) : wrong('Require a valid integer value to compare against');
    tests.push((entry) => compare(dataValue(entry, what) ?? 0, limit));
  }
  return (entry) => tests.every((test) => test(entry));
}

function heading({name, type, size, used}: TableControl): string {
  return `# table: ${name}, type: ${type}, size:${size}, used:${used}\n`;
}

let shownEntries = 0;

function entryLine({key, uses, expiresInMs, data}: TableEntry): string {
  shownEntries++;
  const values = [...data].map(([name, value]) => ` ${name}=${value}`).join('');
  return `${hexadecimal(shownEntries)}: key=${key} use=${uses} exp=${Math.max(0, Math.trunc(expiresInMs ?? 0))}${values}\n`;
}

function* dump(table: TableControl, test: Test): Generator<string> {
  yield heading(table);
  for (const entry of table.entries()) if (test(entry)) yield entryLine(entry);
}

function show({control, args: [name, ...words]}: CommandContext): string | Iterable<string> {
  if (name === undefined) return [...control.tables()].map(heading).join('');
  const table = findTable(control, name);
  if (words[0] !== 'key') return dump(table, filters(table, words));
  const [, key] = words;
  if (key === undefined) return refuse('Key value expected\n');
  const entry = table.get(key);
  return entry === null ? '' : `${heading(table)}${entryLine(entry)}`;
}

function clear({control, args: [name, ...words]}: CommandContext): string {
  const table = findTable(control, name ?? refuse('Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>\n'));
  if (words[0] === 'key') {
    const key = words[1] ?? refuse('Key value expected\n');
    return table.get(key) === null || table.remove(key) ? '' : refuse('Entry currently in use, cannot remove\n');
  }
  const test = filters(table, words);
  for (const entry of [...table.entries()]) if (test(entry)) table.remove(entry.key);
  return '';
}

function set({control, args: [name, word, key, ...words]}: CommandContext): string {
  const table = findTable(control, name ?? refuse('Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n'));
  if (word !== 'key' || key === undefined) return refuse('Key value expected\n');
  const data = new Map<string, number>();
  for (let at = 0; at < words.length; at += 2) {
    const [field = '', value] = words.slice(at, at + 2);
    if (!field.startsWith('data.')) return refuse('"data.<type>" followed by a value expected\n');
    const what = field.slice('data.'.length);
    if (!table.stores.includes(what)) return refuse(`${notStored(what)}\n`);
    if (value === undefined || !/^\d{1,15}$/.test(value)) return refuse('Require a valid integer value to store\n');
    data.set(what, Number(value));
  }
  table.set(key, data);
  return '';
}

const dataTypes =
  /^(?:server_id|server_key|gpt0?|gpc[01]?|gpc[01]?_rate|conn_(?:cnt|cur|rate)|sess_(?:cnt|rate)|http_(?:req|err|fail)_(?:cnt|rate)|bytes_(?:in|out)_(?:cnt|rate))$/;

function notStored(what: string): string {
  return dataTypes.test(what) ? 'Data type not stored in this table' : 'Unknown data type';
}

/** HAProxy lets everybody change tables; here whoever may only look may not. */
export const tableCommands: readonly Command[] = [
  {name: 'clear table', args: '<table> [<filter>]*', help: 'remove an entry from a table (filter: data/key)', level: 'operator', run: clear},
  {name: 'set table', args: '<table> key <k> [data.* <v>]*', help: "update or create a table entry's data", level: 'operator', run: set},
  {
    name: 'show table',
    args: '<table> [<filter>]*',
    help: "report table usage stats or dump this table's contents (filter: data/key)",
    level: 'user',
    run: show,
  },
];
