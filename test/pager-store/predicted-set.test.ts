import {join} from 'node:path';
import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import type {Trigger} from '../../src/core/trigger.ts';
import {type PageRun, PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {TouchWindow} from '../../src/pager/faults/first-touches.ts';
import {encodedPlan} from '../../src/pager/prediction/expectation.ts';
import {PageSet} from '../../src/pager/prediction/page-set.ts';
import type {PrefetchMode, PrefetchPlan} from '../../src/pager/prediction/predicted-plan.ts';
import {openPredictedSets, type PredictedSets, type PredictedSetsOptions} from '../../src/pager/prediction/predicted-set.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {fc} from '../helpers/properties.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {range, seeded} from './predicted-simulation.ts';

const app = appName('shop');
const base = 0x7f0000000;
const web: Trigger = {kind: 'connection', protocol: 'tcp', port: 80, source: '192.0.2.1'};
const other: Trigger = {...web, port: 81};

interface Opened extends AsyncDisposable {
  readonly sets: PredictedSets;
  readonly objects: ObjectStore;
  plan(mode: PrefetchMode, processes?: ReadonlyMap<number, PageTable>, trigger?: Trigger): Promise<PrefetchPlan>;
  /** One whole wake whose process 1 faults on pages, counted from the base. */
  wake(mode: PrefetchMode, pages: readonly number[], trigger?: Trigger): Promise<PrefetchPlan>;
}

async function opened(options: Partial<PredictedSetsOptions> = {}): Promise<Opened> {
  const directory = await temporaryDirectory();
  const objects = await openDirectoryStore(join(directory.path, 'store'));
  const sets = openPredictedSets({objects, random: () => 0.99, ...options});
  const plan: Opened['plan'] = async (mode, processes = new Map([[1, table()]]), trigger = web) => (await sets.load(app)).plan({mode, processes, trigger});
  return {
    sets,
    objects,
    plan,
    async wake(mode, pages, trigger) {
      const made = await plan(mode, undefined, trigger);
      await sets.learn(app, {plan: made, touched: touched(...pages)});
      return made;
    },
    [Symbol.asyncDispose]: async () => directory[Symbol.asyncDispose](),
  };
}

function table(...runs: readonly Partial<PageRun>[]): PageTable {
  return PageTable.from((runs.length === 0 ? [{}] : runs).map((run) => ({page: base, count: 1000, segment: 1, index: 0, lazy: true, ...run})));
}

function touched(...pages: readonly number[]): ReadonlyMap<number, readonly number[]> {
  return new Map([[1, pages.map((page) => base + page)]]);
}

/** Ranges relative to the base. */
function relative(runs: readonly PageRun[] | undefined): readonly (readonly [number, number])[] {
  return (runs ?? []).map(({page, count}) => [page - base, count]);
}

test('a page that faulted is installed at the next wake, and stays', async (t) => {
  await using o = await opened();
  const first = await o.wake('predict', [7, 5, 6, 40]);
  t.deepEqual([first.installPages, first.withheldPages], [0, 0]);
  const second = await o.wake('predict', [100, 101]);
  t.deepEqual(second.install.get(1), [
    {page: base + 5, count: 3, segment: 1, index: 5, lazy: true},
    {page: base + 40, count: 1, segment: 1, index: 40, lazy: true},
  ]);
  const expected = [
    [5, 3],
    [40, 1],
    [100, 2],
  ] as const;
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), expected);
  t.deepEqual(relative((await o.plan('last')).install.get(1)), expected);
});

test('runs that cross blocks are joined, so that they are installed at once', async (t) => {
  await using o = await opened();
  await o.wake('off', range(10, 500));
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), [[10, 500]]);
});

test('a prediction that was loaded before a run was learned knows of it', async (t) => {
  await using o = await opened();
  const early = await o.sets.load(app);
  await o.wake('predict', [3]);
  t.is(early.plan({mode: 'predict', processes: new Map([[1, table()]]), trigger: web}).installPages, 1);
});

test('a load waits for what is being learned', async (t) => {
  await using o = await opened();
  const plan = await o.plan('predict');
  const learning = o.sets.learn(app, {plan, touched: touched(3)});
  t.is((await o.plan('predict')).installPages, 1);
  await learning;
});

test('a withheld block that is not touched becomes doubtful and leaves, one that is stays', async (t) => {
  let withheld = -1;
  let drawn = 0;
  // The first draw for each block decides whether it is withheld; single pages draw after it.
  await using o = await opened({random: () => (drawn++ === withheld ? 0 : 0.99)});
  await o.wake('predict', [...range(0, 4), ...range(32, 4)]);
  for (let wake = 0; wake < 6; wake += 1) {
    [withheld, drawn] = [5, 0];
    const plan = await o.wake('predict', []);
    if (wake === 0) t.deepEqual([relative(plan.install.get(1)), relative(plan.withheld.get(1))], [[[0, 4]], [[32, 4]]]);
  }
  withheld = -1;
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), [[0, 4]]);
  for (let wake = 0; wake < 6; wake += 1) {
    [withheld, drawn] = [0, 0];
    await o.wake('predict', range(0, 4));
  }
  withheld = -1;
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), [[0, 4]]);
});

test('mode off installs nothing and learns what is not touched any more', async (t) => {
  await using o = await opened();
  await o.wake('off', range(0, 10));
  for (let wake = 0; wake < 6; wake += 1) t.is((await o.wake('off', [2])).installPages, 0);
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), [[2, 1]]);
  t.deepEqual(relative((await o.plan('last')).install.get(1)), [[2, 1]]);
});

test('mode last installs exactly what the last run had, whatever its trigger', async (t) => {
  await using o = await opened();
  await o.wake('off', [1, 2, 3], web);
  await o.wake('off', [70], other);
  t.deepEqual(relative((await o.wake('last', [90], web)).install.get(1)), [[70, 1]]);
  t.deepEqual(relative((await o.plan('last')).install.get(1)), [
    [70, 1],
    [90, 1],
  ]);
});

test('pages that the generation no longer has leave, and non-lazy ones are not planned', async (t) => {
  await using o = await opened();
  await o.wake('predict', [...range(0, 10), 500]);
  const now = new Map([[1, table({count: 5}, {page: base + 500, count: 1, lazy: false})]]);
  const plan = await o.plan('predict', now);
  t.deepEqual(relative(plan.install.get(1)), [[0, 5]]);
  await o.sets.learn(app, {plan, touched: new Map()});
  t.deepEqual(relative((await o.plan('predict')).install.get(1)), [[0, 5]]);
});

test('processes are kept apart; one that is gone is forgotten, one that is new is learned', async (t) => {
  await using o = await opened();
  await o.sets.learn(app, {
    plan: await o.plan('predict'),
    touched: new Map([
      [1, [base]],
      [7, [base + 9]],
    ]),
  });
  const next = await o.plan('predict', new Map([[7, table()]]));
  t.deepEqual([...next.install.keys()], [7]);
  t.deepEqual(relative(next.install.get(7)), [[9, 1]]);
  await o.sets.learn(app, {plan: next, touched: new Map()});
  const known = await o.sets.show(app);
  t.deepEqual(
    [...known.levels.values()].flatMap(({pages}) => [...pages.keys()]),
    [7, 7],
  );
});

test('two ports have sets of their own, and a port that was never seen takes that of the app', async (t) => {
  await using o = await opened();
  const sets = new Map([
    [web, [1, 2, 50]],
    [other, [1, 2, 90]],
  ]);
  for (let wake = 0; wake < 4; wake += 1) for (const [trigger, pages] of sets) await o.wake('off', pages, trigger);
  for (const [trigger, own] of [
    [web, 50],
    [other, 90],
  ] as const) {
    t.deepEqual(relative((await o.plan('predict', undefined, trigger)).install.get(1)), [
      [1, 2],
      [own, 1],
    ]);
  }
  t.deepEqual(relative((await o.plan('predict', undefined, {...web, port: 82})).install.get(1)), [
    [1, 2],
    [50, 1],
    [90, 1],
  ]);
});

test('a path that was never seen takes the set of its port', async (t) => {
  await using o = await opened();
  const get = (path: string): Trigger => ({...web, request: {method: 'GET', path}});
  await o.wake('predict', [1, 2], get('/wiki/Main'));
  t.is((await o.plan('predict', undefined, get('/blog'))).installPages, 2);
  t.deepEqual([...(await o.sets.show(app)).levels.keys()], ['', 'tcp/80', 'tcp/80 GET /wiki']);
});

test('pages and triggers are bounded; triggers that were not seen for longest go first', async (t) => {
  await using o = await opened({bounds: {maxPages: 300, maxTriggers: 3}});
  for (let port = 1; port <= 6; port += 1) await o.wake('off', range(port * 40, 10), {...web, port});
  t.deepEqual([...(await o.sets.show(app)).levels.keys()], ['', 'tcp/4', 'tcp/5', 'tcp/6']);
  await o.wake('off', range(0, 1000), web);
  const {levels} = await o.sets.show(app);
  const pages = [...levels.values()].flatMap((level) => [...level.pages.values()]).reduce((sum, {size}) => sum + size, 0);
  t.true(pages <= 300, `${pages} pages`);
});

test('a damaged set, or one of an unknown format, is learned anew, and the log says so', async (t) => {
  const lines: string[] = [];
  const log = createLog('silent');
  const warn = (_: unknown, text?: string): void => void lines.push(text ?? '');
  await using o = await opened({log: Object.assign(Object.create(log) as typeof log, {warn, info: warn})});
  await o.wake('predict', range(0, 100));
  const good = await o.objects.get('apps/shop/predicted');
  const flipped = Buffer.from(good);
  flipped[20] = (flipped[20] ?? 0) ^ 4;
  const later = Buffer.from(good);
  later[0] = 9;
  for (const data of [Buffer.alloc(0), good.subarray(0, 30), flipped, later, Buffer.from('{"format":2}')]) {
    lines.length = 0;
    await o.objects.put('apps/shop/predicted', data);
    t.is((await o.plan('last')).installPages, 0);
    t.regex(lines[0] ?? '', /^Cannot use the predicted set, it is learned anew: /);
  }
  t.is((await o.wake('predict', [1])).installPages, 0);
  t.is((await o.plan('predict')).installPages, 1);
});

test('the set of an older version is dropped with a line in the log', async (t) => {
  const lines: string[] = [];
  const log = createLog('silent');
  await using o = await opened({
    log: Object.assign(Object.create(log) as typeof log, {info: (_: unknown, text?: string): void => void lines.push(text ?? '')}),
  });
  await o.objects.put('apps/shop/predicted.json', Buffer.from('{"format":2,"unusedShare":0,"processes":[{"pid":1,"ranges":[5,1]}]}'));
  t.is((await o.plan('predict')).installPages, 0);
  t.is((await o.plan('predict')).installPages, 0);
  t.deepEqual(lines, ['the predicted set is of an older format, it is learned anew']);
  t.deepEqual(await o.objects.list('apps/shop/predicted'), []);
});

test('what is known comes back from the store as it was, small', async (t) => {
  await using o = await opened({random: seeded(3)});
  const random = seeded(4);
  for (let wake = 0; wake < 10; wake += 1)
    await o.wake(
      'predict',
      range(0, 900).filter(() => random() < 0.9),
      wake % 2 === 0 ? web : other,
    );
  const written = await o.objects.get('apps/shop/predicted');
  const model = await o.sets.show(app);
  const {encodeModel} = await import('../../src/pager/prediction/predicted-codec.ts');
  t.deepEqual(encodeModel(model), written);
  t.true(written.length < 12_000, `${written.length} bytes`);
});

test('PageSet holds what a plain Set holds', (t) => {
  const ranges = fc.record({page: fc.integer({min: 0, max: 300}).map((page) => page + base), count: fc.integer({min: 1, max: 100})});
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), ranges), {maxLength: 20}), (steps) => {
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

test('plans that were made ahead are those of the triggers that come, also after a run was learned meanwhile', async (t) => {
  await using o = await opened();
  const get = (path: string): Trigger => ({...web, request: {method: 'GET', path}});
  const wakes = [get('/wiki/Main'), get('/'), other];
  for (let wake = 0; wake < 4; wake += 1) for (const [at, trigger] of wakes.entries()) await o.wake('off', [1, 2, 50 + at], trigger);
  const prediction = await o.sets.load(app);
  const processes = new Map([[1, table()]]);
  const unprepared = await o.sets.load(app);
  await prediction.prepare({mode: 'predict', processes});
  for (let round = 0; round < 2; round += 1) {
    for (const trigger of [...wakes, get('/wiki/Other?x=1'), get('/new'), {...web, port: 82}, {kind: 'operator'} as const]) {
      const {expectation, ...prepared} = prediction.plan({mode: 'predict', processes, trigger});
      const plan = unprepared.plan({mode: 'predict', processes: new Map(processes), trigger});
      t.deepEqual(prepared, plan);
      t.deepEqual(expectation, encodedPlan(plan), 'nothing is left to be encoded at the wake');
    }
    await o.wake('off', [1, 2, 60], other);
  }
});

test('pages that are touched long after the wake are not part of its set', (t) => {
  const window = new TouchWindow();
  t.true(window.isOpen(1000));
  t.true(window.isOpen(10_999));
  t.false(window.isOpen(11_000));
});
