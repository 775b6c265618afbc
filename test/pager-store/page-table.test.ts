import test from 'ava';
import {type PageRun, PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {fc} from '../helpers/properties.ts';

type Place = {segment: number; index: number; lazy: boolean};

function run(page: number, count: number, segment: number, index: number, lazy = true): PageRun {
  return {page, count, segment, index, lazy};
}

const highest = 2 ** 35 - 1;

test('runs() merges what is contiguous in address, segment, index and kind', (t) => {
  const table = PageTable.from([run(10, 2, 1, 0), run(12, 3, 1, 2), run(15, 1, 2, 5), run(16, 1, 2, 6, false), run(18, 1, 2, 7, false)]);
  t.deepEqual([...table.runs()], [run(10, 5, 1, 0), run(15, 1, 2, 5), run(16, 1, 2, 6, false), run(18, 1, 2, 7, false)]);
  t.is(table.size, 8);
});

test('runs() crosses the internal leaves', (t) => {
  const table = PageTable.from([run(500, 2000, 3, 7)]);
  t.deepEqual([...table.runs()], [run(500, 2000, 3, 7)]);
});

test('add() replaces, delete() splits', (t) => {
  const table = PageTable.from([run(0, 100, 1, 0)]);
  table.add(run(10, 5, 2, 0));
  table.delete(50, 10);
  t.deepEqual([...table.runs()], [run(0, 10, 1, 0), run(10, 5, 2, 0), run(15, 35, 1, 15), run(60, 40, 1, 60)]);
  t.is(table.size, 90);
});

test('delete() of a whole address space costs no more than the table', (t) => {
  const table = PageTable.from([run(3, 1, 1, 0), run(highest, 1, 1, 1)]);
  t.deepEqual(table.get(highest), {segment: 1, index: 1, lazy: true});
  table.delete(1, highest);
  t.is(table.size, 0);
  t.deepEqual([...table.runs()], []);
});

test('move() carries pages along and drops what was at the target', (t) => {
  const table = PageTable.from([run(0, 10, 1, 0), run(1000, 10, 2, 0)]);
  table.move(2, 1004, 4);
  t.deepEqual([...table.runs()], [run(0, 2, 1, 0), run(6, 4, 1, 6), run(1000, 4, 2, 0), run(1004, 4, 1, 2), run(1008, 2, 2, 8)]);
});

test('clone() is independent', (t) => {
  const table = PageTable.from([run(0, 10, 1, 0)]);
  const copy = table.clone();
  table.delete(0, 10);
  t.is(copy.size, 10);
});

const page = fc.oneof(fc.integer({min: 0, max: 1500}), fc.integer({min: highest - 1500, max: highest - 700}));
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    page,
    count: fc.integer({min: 1, max: 700}),
    segment: fc.integer({min: 0, max: 3}),
    index: fc.integer({min: 0, max: 50}),
    lazy: fc.boolean(),
  }),
  fc.record({kind: fc.constant('delete' as const), page, count: fc.integer({min: 0, max: 900})}),
  fc.record({kind: fc.constant('move' as const), page, to: page, count: fc.integer({min: 1, max: 600})}),
);

function apply(table: PageTable, model: Map<number, Place>, step: typeof operation extends fc.Arbitrary<infer T> ? T : never): void {
  switch (step.kind) {
    case 'add':
      table.add(step);
      for (let at = 0; at < step.count; at++) model.set(step.page + at, {segment: step.segment, index: step.index + at, lazy: step.lazy});
      break;
    case 'delete':
      table.delete(step.page, step.count);
      for (let at = 0; at < step.count; at++) model.delete(step.page + at);
      break;
    case 'move': {
      table.move(step.page, step.to, step.count);
      const moved = Array.from({length: step.count}, (_, at) => model.get(step.page + at));
      for (let at = 0; at < step.count; at++) model.delete(step.page + at);
      for (const [at, place] of moved.entries()) {
        if (place === undefined) model.delete(step.to + at);
        else model.set(step.to + at, place);
      }
      break;
    }
    default:
      step satisfies never;
  }
}

function expand(runs: Iterable<PageRun>): Map<number, Place> {
  const pages = new Map<number, Place>();
  for (const {page: first, count, segment, index, lazy} of runs) {
    for (let at = 0; at < count; at++) pages.set(first + at, {segment, index: index + at, lazy});
  }
  return pages;
}

test('any sequence of changes leaves the same as a plain Map', (t) => {
  fc.assert(
    fc.property(fc.array(operation, {maxLength: 12}), page, fc.integer({min: 1, max: 800}), (steps, at, count) => {
      const table = new PageTable();
      const model = new Map<number, Place>();
      for (const step of steps) apply(table, model, step);
      t.is(table.size, model.size);
      const sorted = new Map([...model].sort(([a], [b]) => a - b));
      t.deepEqual([...expand(table.runs())], [...sorted]);
      t.deepEqual(
        [...expand(table.runsIn(at, count))],
        [...sorted].filter(([key]) => key >= at && key < at + count),
      );
      t.deepEqual(table.get(at), model.get(at));
      t.deepEqual([...expand(table.clone().runs())], [...sorted]);
    }),
    {numRuns: 150},
  );
});

test('runs() never yields two runs that could be one', (t) => {
  fc.assert(
    fc.property(fc.array(operation, {maxLength: 8}), (steps) => {
      const table = new PageTable();
      const model = new Map<number, Place>();
      for (const step of steps) apply(table, model, step);
      let before: PageRun | undefined;
      for (const next of table.runs()) {
        if (before !== undefined) {
          const joins =
            before.page + before.count === next.page &&
            before.segment === next.segment &&
            before.index + before.count === next.index &&
            before.lazy === next.lazy;
          t.false(joins);
          t.true(before.page + before.count <= next.page);
        }
        before = next;
      }
    }),
    {numRuns: 100},
  );
});
