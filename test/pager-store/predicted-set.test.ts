import {join} from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {appName} from '../../src/core/ids.ts';
import {type PageRange, PageSet} from '../../src/pager/page-set.ts';
import {type PageRun, PageTable} from '../../src/pager/page-table.ts';
import {openPredictedSets, type PredictedSets, type PredictedSetsOptions} from '../../src/pager/predicted-set.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const app = appName('shop');
const base = 0x7f0000000;

async function opened(options: Partial<PredictedSetsOptions> = {}): Promise<{sets: PredictedSets; objects: ObjectStore} & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const objects = await openDirectoryStore(join(directory.path, 'store'));
  return {sets: openPredictedSets({objects, random: () => 0.99, ...options}), objects, [Symbol.asyncDispose]: async () => directory[Symbol.asyncDispose]()};
}

function table(...runs: readonly Partial<PageRun>[]): PageTable {
  return PageTable.from((runs.length === 0 ? [{}] : runs).map((run) => ({page: base, count: 1000, segment: 1, index: 0, lazy: true, ...run})));
}

function faulted(...ranges: readonly (readonly [page: number, count: number])[]): ReadonlyMap<number, readonly PageRange[]> {
  return new Map([[1, ranges.map(([page, count]) => ({page: base + page, count}))]]);
}

/** Page numbers relative to the base. */
function installed(runs: readonly PageRange[] | undefined): readonly (readonly [number, number])[] {
  return (runs ?? []).map(({page, count}) => [page - base, count]);
}

test('a page that faulted is installed at the next wake, and stays', async (t) => {
  await using o = await opened();
  const processes = new Map([[1, table()]]);
  const first = await o.sets.plan(app, 'predict', processes);
  t.deepEqual([first.installPages, first.withheldPages], [0, 0]);
  await o.sets.learn(app, {plan: first, faulted: faulted([5, 3], [40, 1])});
  const second = await o.sets.plan(app, 'predict', processes);
  t.deepEqual(second.install.get(1), [
    {page: base + 5, count: 3, segment: 1, index: 5, lazy: true},
    {page: base + 40, count: 1, segment: 1, index: 40, lazy: true},
  ]);
  await o.sets.learn(app, {plan: second, faulted: faulted([100, 2])});
  t.deepEqual(installed((await o.sets.plan(app, 'last', processes)).install.get(1)), [
    [5, 3],
    [40, 1],
    [100, 2],
  ]);
  t.deepEqual(installed((await o.sets.show(app)).get(1)), [
    [5, 3],
    [40, 1],
    [100, 2],
  ]);
});

test('runs that cross blocks are joined, so that they are installed at once', async (t) => {
  await using o = await opened();
  const processes = new Map([[1, table()]]);
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'off', processes), faulted: faulted([10, 500])});
  t.deepEqual(installed((await o.sets.plan(app, 'predict', processes)).install.get(1)), [[10, 500]]);
});

test('a withheld page that did not fault leaves the set, one that did stays', async (t) => {
  const draws = [0.5, 0.01, 0.5];
  await using o = await opened({random: () => draws.shift() ?? 0.5});
  const processes = new Map([[1, table()]]);
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'predict', processes), faulted: faulted([0, 2], [32, 4], [64, 2])});
  const plan = await o.sets.plan(app, 'predict', processes);
  t.deepEqual(installed(plan.install.get(1)), [
    [0, 2],
    [64, 2],
  ]);
  t.deepEqual(installed(plan.withheld.get(1)), [[32, 4]]);
  t.deepEqual([plan.installPages, plan.withheldPages], [4, 4]);
  await o.sets.learn(app, {plan, faulted: faulted([33, 1])});
  t.deepEqual(installed((await o.sets.plan(app, 'last', processes)).install.get(1)), [
    [0, 2],
    [33, 1],
    [64, 2],
  ]);
});

test('mode off installs nothing and learns exactly what faulted', async (t) => {
  await using o = await opened();
  const processes = new Map([[1, table()]]);
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'off', processes), faulted: faulted([0, 10])});
  const plan = await o.sets.plan(app, 'off', processes);
  t.deepEqual([plan.installPages, plan.withheldPages], [0, 10]);
  await o.sets.learn(app, {plan, faulted: faulted([2, 1])});
  t.deepEqual(installed((await o.sets.show(app)).get(1)), [[2, 1]]);
});

test('pages that the generation no longer has leave, and non-lazy ones are not planned', async (t) => {
  await using o = await opened();
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'predict', new Map()), faulted: faulted([0, 10], [500, 1])});
  const now = new Map([[1, table({count: 5}, {page: base + 500, count: 1, lazy: false})]]);
  const plan = await o.sets.plan(app, 'predict', now);
  t.deepEqual(installed(plan.install.get(1)), [[0, 5]]);
  await o.sets.learn(app, {plan, faulted: new Map()});
  t.deepEqual(installed((await o.sets.plan(app, 'last', new Map([[1, table()]]))).install.get(1)), [[0, 5]]);
});

test('processes are kept apart; one that is gone is forgotten, a forked one is learned', async (t) => {
  await using o = await opened();
  const plan = await o.sets.plan(app, 'predict', new Map([[1, table()]]));
  await o.sets.learn(app, {
    plan,
    faulted: new Map([
      [1, [{page: base, count: 1}]],
      [7, [{page: base + 9, count: 1}]],
    ]),
  });
  const next = await o.sets.plan(app, 'predict', new Map([[7, table()]]));
  t.deepEqual([...next.install.keys()], [7]);
  t.deepEqual(installed(next.install.get(7)), [[9, 1]]);
  await o.sets.learn(app, {plan: next, faulted: new Map()});
  t.deepEqual([...(await o.sets.show(app)).keys()], [7]);
});

test('the set is bounded', async (t) => {
  await using o = await opened({maxPages: 100});
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'predict', new Map()), faulted: faulted([0, 1000])});
  t.true((await o.sets.plan(app, 'last', new Map([[1, table()]]))).installPages <= 100);
});

test('a damaged or unknown set is learned anew', async (t) => {
  await using o = await opened();
  for (const text of [
    '',
    '{',
    '[]',
    '{"format":2,"processes":[]}',
    '{"format":1,"processes":[{"pid":1,"ranges":["x",1]}]}',
    '{"format":1,"processes":[{"pid":1,"ranges":[1]}]}',
  ]) {
    await o.objects.put('apps/shop/predicted.json', Buffer.from(text));
    t.is((await o.sets.plan(app, 'last', new Map([[1, table()]]))).installPages, 0, text);
  }
});

test('about one block in 32 is withheld, and the set settles on what is used', async (t) => {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
  await using o = await opened({random});
  const processes = new Map([[1, table({count: 32 * 400})]]);
  await o.sets.learn(app, {plan: await o.sets.plan(app, 'predict', processes), faulted: faulted([0, 32 * 400])});
  const used = new PageSet();
  used.add({page: base, count: 32 * 200});
  let withheld = 0;
  for (let wake = 0; wake < 200; wake++) {
    const plan = await o.sets.plan(app, 'predict', processes);
    withheld += plan.withheldPages;
    const touched = [...(plan.withheld.get(1) ?? [])].filter(({page}) => used.has(page));
    await o.sets.learn(app, {plan, faulted: new Map([[1, touched]])});
  }
  t.true(withheld > 0);
  const settled = (await o.sets.plan(app, 'last', processes)).installPages;
  t.true(settled >= 32 * 200 && settled < 32 * 210, `${settled} pages`);
});

test('PageSet holds what a plain Set holds', (t) => {
  const range = fc.record({page: fc.integer({min: 0, max: 300}).map((page) => page + base), count: fc.integer({min: 1, max: 100})});
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), range), {maxLength: 20}), (steps) => {
      const set = new PageSet();
      const model = new Set<number>();
      for (const [add, {page, count}] of steps) {
        if (add) set.add({page, count});
        else set.delete({page, count});
        for (let at = page; at < page + count; at++) {
          if (add) model.add(at);
          else model.delete(at);
        }
      }
      const found = [...set.ranges()].flatMap(({page, count}) => Array.from({length: count}, (_, at) => page + at));
      t.deepEqual(
        found,
        [...model].sort((a, b) => a - b),
      );
      t.is(set.size, model.size);
      t.true([...model].every((page) => set.has(page)));
      t.false(set.has(base + 401));
    }),
  );
});

test('learn() withholds more after a run that touched little, and less again after runs that touch all', async (t) => {
  await using directory = await temporaryDirectory();
  const objects = await openDirectoryStore(directory.path);
  const table = PageTable.from([{page: 0, count: 3200, segment: 1, index: 0, lazy: true}]);
  const processes = new Map([[1, table]]);
  let seed = 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const predicted = openPredictedSets({objects, random});
  const name = appName('a');
  const first = await predicted.plan(name, 'predict', processes);
  await predicted.learn(name, {plan: first, faulted: new Map([[1, [{page: 0, count: 3200}]]])});
  const withheldIn = async (touch: 'nothing' | 'all'): Promise<number> => {
    const plan = await predicted.plan(name, 'predict', processes);
    const faulted = touch === 'all' ? new Map([...plan.withheld].map(([pid, ranges]) => [pid, ranges])) : new Map<number, []>();
    await predicted.learn(name, {plan, faulted});
    return plan.withheldPages / (plan.installPages + plan.withheldPages);
  };
  let before = 0;
  for (let wake = 0; wake < 10; wake += 1) before += (await withheldIn('all')) / 10;
  t.true(before > 0.01 && before < 0.06, `a set that is right: ${before}`);
  let wasted = 0;
  for (let wake = 0; wake < 10; wake += 1) wasted += (await withheldIn('nothing')) / 10;
  t.true(wasted > 0.08, `a set that is wrong: ${wasted}`);
  for (let wake = 0; wake < 10; wake += 1) await withheldIn('all');
  let after = 0;
  for (let wake = 0; wake < 10; wake += 1) after += (await withheldIn('all')) / 10;
  t.true(after < 0.06, `right again: ${after}`);
});
