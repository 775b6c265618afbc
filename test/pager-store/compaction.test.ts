/** A generation that is written again in fewer segments: the same pages, images and meta, less dead weight, and nothing left of what was given up. */
import {join} from 'node:path';
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {appName, fencingToken, type Generation, generation} from '../../src/core/ids.ts';
import {openAppKeys} from '../../src/pager/checkpoints/app-keys.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {segmentUses} from '../../src/pager/checkpoints/compaction.ts';
import {liveShareMin, segmentsMax} from '../../src/pager/checkpoints/compaction-plan.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {type Keyring, openKeyring} from '../../src/pager/checkpoints/keyring.ts';
import {SegmentSource} from '../../src/pager/checkpoints/segment-source.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {fc} from '../helpers/properties.ts';
import {unreliableStore} from '../helpers/unreliable-store.ts';
import {until} from '../helpers/until.ts';
import {app, type Bench, bench, easyPage, flipByte, heap, heapPages, heapProcess, library, objectKeys, restored, samePages} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';
import {pageOf} from './synthetic-dump.ts';

const keyring = openKeyring({keys: [Buffer.alloc(32, 3)]});
const token = fencingToken(9);

async function usesOf(b: Bench, checkpoint: Checkpoint, ring: Keyring | null): Promise<{segments: number; liveShare: number}> {
  await using source = new SegmentSource({objects: b.objects, app, dataKey: await openAppKeys(b.objects, ring).forWriting(app)});
  const uses = await segmentUses(source, checkpoint);
  const sum = (of: 'livePages' | 'storedPages'): number => uses.reduce((total, use) => total + use[of], 0);
  return {segments: uses.length, liveShare: sum('livePages') / sum('storedPages')};
}

/** Every object of the store is one that a generation refers to, or the app's key. */
async function nothingUnreferred(b: Bench): Promise<boolean> {
  const needed = new Set<string>(['apps/shop/key']);
  for (const generation of await b.store.generations(app)) {
    const {manifest} = await b.store.load(app, generation);
    needed.add(`apps/shop/manifests/${String(generation).padStart(8, '0')}.json`).add(manifest.bundle.key);
    for (const {segment} of manifest.segments) needed.add(`apps/shop/segments/${String(segment).padStart(8, '0')}`);
  }
  return (await objectKeys(b.objects)).every((key) => needed.has(key));
}

/** So many generations that each change one page of the heap more, the newest last. */
async function chain(b: Bench, length: number): Promise<{pages: Map<number, Uint8Array>; newest: Checkpoint}> {
  const pages = new Map<number, Uint8Array>([...heapPages(100), [library.page, easyPage(1)]]);
  let parent: Checkpoint | null = null;
  for (let number = 0; number < length; number++) {
    for (const at of [number, number + 50]) pages.set(heap.page + at, number % 2 === 0 ? easyPage(1000 + number + at) : pageOf(1000 + number + at));
    const {generation} = await b.commit([heapProcess(pages)], {
      parent,
      meta: {number},
      files: {'core-1.img': pageOf(number), 'a.img': Buffer.from(`${number}`)},
    });
    parent = await b.store.load(app, generation);
  }
  return {pages, newest: parent ?? (Promise.reject(new Error('no generation')) as never)};
}

for (const [name, ring] of [
  ['without keys', null],
  ['with keys', keyring],
] as const) {
  test(`a hundred generations with changes anywhere keep their pages in at most ${segmentsMax} segments, half of them live, ${name}`, async (t) => {
    t.timeout(120_000);
    const change = fc.record({
      pid: fc.constantFrom(1, 2),
      at: fc.nat(150),
      count: fc.integer({min: 1, max: 60}),
      kind: fc.constantFrom('noise', 'easy', 'same', 'none'),
    });
    const drawn = fc.array(fc.array(change, {minLength: 1, maxLength: 4}), {minLength: 100, maxLength: 100});
    await fc.assert(
      fc.asyncProperty(drawn, async (sleeps) => {
        await using b = await bench(undefined, ring);
        const model = new Map([1, 2].map((pid) => [pid, new Map<number, Uint8Array>([...heapPages(150, pid * 1000), [library.page, easyPage(pid)]])]));
        let parent: Checkpoint | null = null;
        let compactions = 0;
        for (const [number, changes] of sleeps.entries()) {
          for (const {pid, at, count, kind} of changes) {
            for (let page = heap.page + at; page < heap.page + at + count; page++) {
              if (kind === 'none') model.get(pid)?.delete(page);
              else model.get(pid)?.set(page, kind === 'same' ? easyPage(-1) : kind === 'easy' ? easyPage(number * 1000 + page) : pageOf(number * 1000 + page));
            }
          }
          const {generation}: {generation: Generation} = await b.commit(
            [...model].map(([pid, pages]) => heapProcess(pages, pid)),
            {parent, token: number + 1, meta: {number}, files: {'core-1.img': pageOf(number)}},
          );
          const copy = await b.store.compact({app, generation, token: fencingToken(number + 1)});
          if (copy !== null) compactions++;
          const newest = await b.store.load(app, copy?.generation ?? generation);
          const {segments, liveShare} = await usesOf(b, newest, ring);
          t.true(segments <= segmentsMax, `${segments} segments`);
          t.true(liveShare >= liveShareMin, `${liveShare} is live`);
          t.false(await b.store.compactionDue(app, newest.generation));
          if (copy !== null || number === 99) {
            for (const [pid, pages] of model) t.true(samePages(await restored(newest, pid), pages), `process ${pid} of generation ${newest.generation}`);
            t.deepEqual(newest.meta, {number});
            t.true(pageOf(number).equals(fileBytes(await newest.images('lazy'), 'core-1.img')));
          }
          await b.store.prune(app, 2);
          parent = newest;
        }
        t.true(compactions > 3);
        await b.store.prune(app, 1);
        t.true(await nothingUnreferred(b));
      }),
      {numRuns: 1},
    );
  });
}

test('a copy says whose it is, has the newer token, and leaves the original as it was', async (t) => {
  await using b = await bench();
  const {pages, newest} = await chain(b, 12);
  const before = await objectKeys(b.objects);
  const result = await b.store.compact({app, generation: newest.generation, token});
  const copy = await b.store.load(app, result?.generation ?? t.fail());
  t.like(copy, {generation: 13, parent: 12, token: 9, pageCount: newest.pageCount});
  t.is(copy.manifest.copyOf, newest.generation);
  t.deepEqual(copy.meta, newest.meta);
  t.true(samePages(await restored(copy), pages));
  t.true(samePages(await restored(newest), pages));
  t.deepEqual(
    (await objectKeys(b.objects)).filter((key) => before.includes(key)),
    before,
  );
  const lazyOf = (checkpoint: Checkpoint): unknown =>
    [...(checkpoint.tables.get(1)?.runs() ?? [])].filter(({lazy}) => !lazy).map(({page, count}) => [page, count]);
  t.deepEqual(lazyOf(copy), lazyOf(newest));
  t.is(await b.store.compact({app, generation: copy.generation, token}), null);
  t.is(await b.store.compact({app, generation: newest.generation, token}), null, 'it is not the newest');
});

test('what a wake is expected to need comes first', async (t) => {
  await using b = await bench();
  const {newest} = await chain(b, 12);
  const wanted = [2, 7, 53];
  const expected = new Map([[1, wanted.map((at) => ({page: heap.page + at, count: 1, segment: 0, index: 0, lazy: true}))]]);
  const result = await b.store.compact({app, generation: newest.generation, token, expected: async () => Promise.resolve(expected)});
  const copy = await b.store.load(app, result?.generation ?? t.fail());
  const places = wanted.map((at) => copy.tables.get(1)?.get(heap.page + at));
  t.deepEqual(
    places.map((place) => place?.index),
    [0, 1, 2],
  );
  t.is(new Set(places.map((place) => place?.segment)).size, 1);
});

test('a page that several addresses share is written once', async (t) => {
  await using b = await bench();
  const pages = heapPages(40);
  let parent: Checkpoint | null = null;
  for (let number = 0; number < 10; number++) {
    for (let copy = 0; copy < 4; copy++) pages.set(heap.page + 100 + number * 4 + copy, easyPage(number));
    const {generation}: {generation: Generation} = await b.commit([heapProcess(pages)], {parent});
    parent = await b.store.load(app, generation);
  }
  const result = await b.store.compact({app, generation: parent?.generation ?? t.fail(), token});
  const copy = await b.store.load(app, result?.generation ?? t.fail());
  t.true(samePages(await restored(copy), pages));
  t.like(await usesOf(b, copy, null), {liveShare: 1});
});

test('a damaged page stops a compaction, which says where it is and leaves nothing', async (t) => {
  await using b = await bench();
  const {newest} = await chain(b, 12);
  const before = await objectKeys(b.objects);
  await flipByte(join(b.root, 'apps/shop/segments/00000003'), 70);
  const error = await t.throwsAsync(b.store.compact({app, generation: newest.generation, token}), {instanceOf: DamagedCheckpointError});
  t.regex(error.message, /segments\/00000003" of generation 12/);
  t.deepEqual(await objectKeys(b.objects), before);
});

test('an older token than that of the newest generation compacts nothing', async (t) => {
  await using b = await bench();
  const {pages, newest} = await chain(b, 12);
  const {generation} = await b.commit([heapProcess(pages)], {parent: newest, token: 5});
  const before = await objectKeys(b.objects);
  await t.throwsAsync(b.store.compact({app, generation, token: fencingToken(4)}), {code: 'ERR_STALE_TOKEN'});
  t.deepEqual(await objectKeys(b.objects), before);
});

test('a compaction that is given up, or that a commit overtakes, leaves nothing', async (t) => {
  await using b = await bench();
  const {pages, newest} = await chain(b, 12);
  const before = await objectKeys(b.objects);
  for (let step = 0; step < 12; step++) {
    const compacting = b.store.compact({app, generation: newest.generation, token});
    for (let turn = 0; turn < step * 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    b.store.stopCompacting(app);
    const done = await compacting;
    if (done !== null) t.deepEqual(await b.store.discardCopies(app, newest.generation), [done.generation]);
    t.deepEqual(await objectKeys(b.objects), before, `step ${step}`);
  }
  const compacting = b.store.compact({app, generation: newest.generation, token});
  const [overtaken, {generation}] = await Promise.all([compacting, b.commit([heapProcess(pages)], {parent: newest, token: 10})]);
  t.true((overtaken?.generation ?? 0) < generation);
  t.true(samePages(await restored(await b.store.load(app, generation)), pages));
});

test('what was given up is tried again with less, and with more when that was done in time', async (t) => {
  await using b = await bench();
  const {pages, newest} = await chain(b, 12);
  const expected = async (): Promise<Map<number, readonly never[]>> => {
    b.store.stopCompacting(app);
    return Promise.resolve(new Map<number, readonly never[]>());
  };
  for (const _ of [1, 2]) t.is(await b.store.compact({app, generation: newest.generation, token, expected}), null);
  let last = newest;
  const segments: number[] = [];
  while (await b.store.compactionDue(app, last.generation)) {
    const made = (await b.store.compact({app, generation: last.generation, token})) ?? t.fail();
    last = await b.store.load(app, made.generation);
    segments.push(last.manifest.segments.length);
  }
  t.true(segments.length > 1, 'in several steps');
  t.true((segments.at(-1) ?? 99) <= segmentsMax);
  t.true(samePages(await restored(last), pages));
});

for (const answered of [0, 5, 40]) {
  test(`a compaction is given up at once while a store hangs after ${answered} reads of segments`, async (t) => {
    await using b = await bench();
    const {newest} = await chain(b, 12);
    const before = await objectKeys(b.objects);
    let [reads, isHanging] = [0, false];
    const objects: ObjectStore = {
      ...unreliableStore(b.objects),
      async get(key, range) {
        if (!key.includes('/segments/') || reads++ < answered) return b.objects.get(key, range);
        isHanging = true;
        return new Promise(() => undefined);
      },
    };
    const store = openCheckpointStore({objects});
    const compacting = store.compact({app, generation: newest.generation, token});
    await until(() => isHanging, {what: 'a read that hangs'});
    store.stopCompacting(app);
    t.is(await compacting, null);
    t.deepEqual(await objectKeys(b.objects), before);
  });
}

test('copies of a damaged generation are kept, others are removed and nothing else', async (t) => {
  await using b = await bench();
  const {newest, pages} = await chain(b, 12);
  const made = (await b.store.compact({app, generation: newest.generation, token})) ?? t.fail();
  t.deepEqual(await b.store.discardCopies(app, generation(11)), []);
  t.deepEqual(await b.store.discardCopies(appName('other'), newest.generation), []);
  const path = join(b.root, `apps/shop/images/00000012-1`);
  await flipByte(path, 3);
  await t.throwsAsync(b.store.discardCopies(app, newest.generation), {instanceOf: DamagedCheckpointError});
  t.true(samePages(await restored(await b.store.load(app, made.generation)), pages));
  await flipByte(path, 3);
  t.deepEqual(await b.store.discardCopies(app, newest.generation), [made.generation]);
  t.true(await nothingUnreferred(b));
  t.is((await b.store.latestComplete(app))?.generation, newest.generation);
});

for (const point of [
  'pager:compaction:before-segment',
  'pager:compaction:before-bundle',
  'pager:compaction:before-manifest',
  'pager:compaction:before-answer',
] as const) {
  test.serial(`killed at ${point}: the original or its copy is the newest, each with all pages, and nothing else is left`, async (t) => {
    await using b = await bench();
    const {pages, newest} = await chain(b, 12);
    await using armed = await armFaultPoint(point);
    await using daemon = await startDaemon([process.execPath, join(import.meta.dirname, 'compact-once.ts'), b.root, String(newest.generation)], {
      stdio: 'ignore',
    });
    t.is((await daemon.exited).signal, 'SIGKILL');
    t.true(armed.hasKilled());
    const store = openCheckpointStore({objects: await openDirectoryStore(b.root)});
    await store.sweep(app);
    const latest = (await store.latestComplete(app)) ?? t.fail();
    t.is(latest.generation, generation(point === 'pager:compaction:before-answer' ? 13 : 12));
    t.true(samePages(await restored(latest), pages));
    t.true(await nothingUnreferred(b));
  });
}
