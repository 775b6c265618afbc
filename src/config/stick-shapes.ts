/** `stick-table` and `stick on | match | store-request | store-response`. */

import {takeExpression} from './actions/common-actions.ts';
import {type Arguments, ConfigError} from './arguments.ts';
import {readCondition} from './expression/condition.ts';
import type {Word} from './lex.ts';
import type {StickRule, StickTableConfig} from './proxy-value.ts';
import {refer} from './scope.ts';
import {choice, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger, parseSize, parseTime} from './units.ts';

type Stored = StickTableConfig['stores'][number];

const plainCounters = 'server_id server_key gpc0 gpc1 gpt0 conn_cnt conn_cur sess_cnt http_req_cnt http_err_cnt http_fail_cnt bytes_in_cnt bytes_out_cnt'.split(
  ' ',
);
const rates = 'gpc0_rate gpc1_rate conn_rate sess_rate http_req_rate http_err_rate http_fail_rate bytes_in_rate bytes_out_rate'.split(' ');
/** `gpc(3)`: as many counters as are wanted, and of rates the period: `gpc_rate(3,10s)`. */
const arrays = ['gpt', 'gpc', 'gpc_rate'];
const maxElements = 100;
/** What an array is there instead of. */
const overridden: ReadonlyMap<string, readonly string[]> = new Map([
  ['gpt', ['gpt0']],
  ['gpc', ['gpc0', 'gpc1']],
  ['gpc_rate', ['gpc0_rate', 'gpc1_rate']],
]);
const options = ['type', 'size', 'expire', 'nopurge', 'peers', 'store', 'write-to', 'srvkey', 'recv-only'];

type Draft = {-readonly [Key in keyof StickTableConfig]: StickTableConfig[Key]} & {sized: boolean};

export const stickTable: Shape<StickTableConfig> = {
  usage:
    'type ip | ipv6 | integer | string [len <bytes>] | binary [len <bytes>] size <number> [expire <time>] [nopurge] [store <what>[(<number>)][(<period>)],...]',
  read(args) {
    const draft: Draft = {type: 'ip', keyBytes: 32, size: 0, expireMs: null, noPurge: false, stores: [], sized: false};
    let typed = false;
    while (!args.atEnd) {
      const word = args.take('<option>');
      if (word.text === 'type') typed = true;
      readTableOption(args, word.text, draft, () => args.invalid(word, `${options.join(', ')} are possible${didYouMean(word.text, options)}`));
    }
    const missing = typed ? (draft.sized ? null : 'size') : 'type';
    if (missing !== null) throw new ConfigError(`'${args.keyword}' needs '${missing}'`, args.position, args.keyword);
    checkArrays(args, draft.stores);
    const {sized: _sized, ...value} = draft;
    return value;
  },
};

function readTableOption(args: Arguments, option: string, draft: Draft, unknown: () => ConfigError): void {
  switch (option) {
    case 'type':
      draft.type = choice(['ip', 'ipv6', 'integer', 'string', 'binary']).read(args);
      if (args.peek()?.text === 'len') {
        args.take('len');
        draft.keyBytes = args.takeParsed('<bytes>', (text) => parseInteger(text, {min: 1, max: 65_535}));
      }
      return;
    case 'size': {
      const {position} = args.peek() ?? args;
      draft.size = args.takeParsed('<number>', parseSize);
      if (draft.size === 0) throw args.invalid({text: '0', position}, 'more than 0 is needed');
      draft.sized = true;
      return;
    }
    case 'expire':
      draft.expireMs = args.takeParsed('<time>', parseTime);
      return;
    case 'nopurge':
      draft.noPurge = true;
      return;
    case 'peers': {
      const word = args.take('<peers>');
      refer(args.scope, 'peers', word);
      args.warn(word, "'peers' has no effect here: stick tables are local");
      return;
    }
    case 'srvkey':
      choice(['name', 'addr']).read(args);
      return;
    case 'store':
      draft.stores = [...draft.stores, ...readStores(args)];
      return;
    default:
      throw unknown();
  }
}

/** `conn_cur,http_req_rate(10s),gpc(3)` */
function readStores(args: Arguments): readonly Stored[] {
  const word = args.take('<what>');
  // A comma within parentheses separates nothing.
  const texts = word.text.split(/,(?![^(]*\))/).filter((text) => text !== '');
  return texts.flatMap((text): readonly Stored[] => {
    const [, what = text, argument] = /^([a-z0-9_]+)\((.*)\)$/.exec(text) ?? [];
    if (arrays.includes(what)) return readArray(args, word, {what, argument: argument ?? ''});
    const isRate = rates.includes(what);
    if (!isRate && !plainCounters.includes(what)) {
      throw args.invalid(word, `unknown counter '${what}'${didYouMean(what, [...plainCounters, ...rates, ...arrays])}`);
    }
    if (isRate !== (argument !== undefined)) throw args.invalid(word, isRate ? `a period is expected: '${what}(10s)'` : `'${what}' has no period`);
    return [{what, periodMs: argument === undefined ? null : readPeriod(args, word, argument)}];
  });
}

/** One entry for each element: `gpc[0]`, `gpc[1]`, ... */
function readArray(args: Arguments, word: Word, {what, argument}: {readonly what: string; readonly argument: string}): readonly Stored[] {
  const isRate = what === 'gpc_rate';
  const [count = '', period, ...more] = argument.split(',');
  if (!/^\d{1,3}$/.test(count) || (period !== undefined) !== isRate || more.length > 0) {
    throw args.invalid(word, isRate ? `a number and a period are expected: '${what}(2,10s)'` : `a number is expected: '${what}(2)'`);
  }
  if (Number(count) === 0 || Number(count) > maxElements) throw args.invalid(word, `'${what}' has 1 to ${maxElements} elements, found ${count}`);
  const periodMs = period === undefined ? null : readPeriod(args, word, period);
  return Array.from({length: Number(count)}, (_, index) => ({what: `${what}[${index}]`, periodMs}));
}

function readPeriod(args: Arguments, word: Word, text: string): number {
  const parsed = parseTime(text);
  if (!parsed.ok || parsed.value === 0) throw args.invalid(word, parsed.ok ? 'more than 0 is needed' : parsed.reason);
  return parsed.value;
}

/** As in HAProxy: the first elements of an array are found by the names of single counters, so that there cannot be both. */
function checkArrays(args: Arguments, stores: readonly Stored[]): void {
  const stored = (what: string): boolean => stores.some((known) => known.what === what);
  for (const [array, singles] of overridden) {
    const single = singles.find(stored);
    if (single === undefined || !stored(`${array}[0]`)) continue;
    throw new ConfigError(`'${array}' and '${single}' cannot both be stored in one table: the elements of '${array}' take its place`, args.position, array);
  }
}

/** Rules that find the server of a client in a table, or put it there. */
export function stickRule(kind: StickRule['kind']): Shape<StickRule> {
  return {
    usage: '<sample> [table <table>] [if | unless <condition>]',
    read(args) {
      const expression = takeExpression(args);
      let table: string | null = null;
      if (args.peek()?.text === 'table') {
        args.take('table');
        const word = args.take('<table>');
        refer(args.scope, 'table', word);
        table = word.text;
      } else {
        refer(args.scope, 'table', {text: '', position: args.position});
      }
      return {kind, expression, table, condition: readCondition(args)};
    },
  };
}
