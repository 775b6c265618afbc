import test from 'ava';
import {fittedTable} from '../../src/cli/fitted-table.ts';
import {type Column, csvLine, type Listing, listingCsv, listingTable, sorted} from '../../src/cli/listing.ts';
import {lineWidth} from '../../src/cli/terminal.ts';

interface Row {
  readonly name: string;
  readonly ms: number | null;
  readonly note: string;
}

const columns: readonly Column<Row>[] = [
  {head: 'NAME', name: 'name', value: ({name}) => name, shortest: 6},
  {head: 'LAST WAKE', name: 'last_wake_ms', value: ({ms}) => ms, text: ({ms}) => (ms === null ? '-' : `${ms} ms`), rank: 1},
  {head: 'NOTE', name: 'note', value: ({note}) => note, rank: 2, shortest: 5},
];
const rows: readonly Row[] = [
  {name: 'documentation', ms: 120, note: 'woken "by hand", today'},
  {name: 'b', ms: null, note: ''},
  {name: 'a', ms: 9, note: 'x'},
];
const listing: Listing<Row> = {columns, rows, json: (shown) => shown};

for (const [width, lines] of [
  [
    Number.POSITIVE_INFINITY,
    ['NAME           LAST WAKE  NOTE', 'documentation  120 ms     woken "by hand", today', 'b              -', 'a              9 ms       x'],
  ],
  [40, ['NAME           LAST WAKE  NOTE', 'documentation  120 ms     woken "by han…', 'b              -', 'a              9 ms       x']],
  [28, ['NAME      LAST WAKE  NOTE', 'documen…  120 ms     woken …', 'b         -', 'a         9 ms       x']],
  [18, ['NAME     LAST WAKE', 'docume…  120 ms', 'b        -', 'a        9 ms']],
  [10, ['NAME', 'documenta…', 'b', 'a']],
] as const) {
  test(`a table of ${width} columns`, (t) => {
    const table = listingTable(listing, width);
    for (const line of table.split('\n')) t.true(line.length <= width, line);
    t.deepEqual(table.trimEnd().split('\n'), [...lines]);
  });
}

test('what cannot be left out nor shortened makes the line longer', (t) => {
  t.is(fittedTable([{head: 'NAME', rank: 0, shortest: null}], [['documentation']], 5), 'NAME\ndocumentation\n');
});

test('the total stands below, and not among comma-separated values', (t) => {
  const total = {name: 'total', ms: 129, note: ''};
  t.regex(listingTable({...listing, total}, 80), /\na +9 ms +x\ntotal +129 ms\n$/);
  t.is(listingCsv({...listing, total}, {withHead: true}), 'name,last_wake_ms,note\ndocumentation,120,"woken ""by hand"", today"\nb,,\na,9,x\n');
  t.is(csvLine(['a\nb', true, null, 1.5]), '"a\nb",true,,1.5\n');
});

test('rows are sorted by any column, what is not known last', (t) => {
  const names = (sort: string): string[] => sorted(listing, sort).map(({name}) => name);
  t.deepEqual(names('name'), ['a', 'b', 'documentation']);
  t.deepEqual(names('last_wake_ms'), ['a', 'documentation', 'b']);
  t.deepEqual(names('-last_wake_ms'), ['documentation', 'a', 'b']);
  t.throws(() => names('speed'), {message: 'Cannot sort by "speed": there are name, last_wake_ms, note', code: 'ERR_UNKNOWN_COLUMN'});
});

test('the width of a line is that of COLUMNS, or of the terminal', (t) => {
  t.is(lineWidth({isTTY: true, columns: 90}, {}), 90);
  t.is(lineWidth({isTTY: true, columns: 90}, {COLUMNS: '70'}), 70);
  t.is(lineWidth({isTTY: true, columns: 90}, {COLUMNS: 'wide'}), 90);
  t.is(lineWidth({columns: 90}, {}), Number.POSITIVE_INFINITY);
});
