import {readdir, readlink} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {appName, fencingToken, type Generation, generation} from '../../src/core/ids.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import type {CommitResult} from '../../src/pager/checkpoints/commit.ts';
import {pagemapFlag, parsePagemap} from '../../src/pager/checkpoints/criu-image.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {PageTable, pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {app, bench, heap, heapPages, heapProcess, library, objectKeys, parentTable, restored, samePages, zero} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';
import {pageOf, writeDump} from './synthetic-dump.ts';

test('commit() then load() gives back every page, the images and the meta', async (t) => {
  await using b = await bench();
  const pages = new Map([...heapPages(300), [library.page + 3, pageOf(77)] as const]);
  const meta = {layers: ['1'], connections: [{port: 80}], 7: null};
  const result = await b.commit([heapProcess(pages)], {meta, files: {'core-1.img': pageOf(5), 'empty.img': Buffer.alloc(0)}});
  t.like(result, {generation: 1, pageCount: 301, newPages: 301, unchangedPages: 0, zeroPages: 0});
  const checkpoint = await b.store.load(app, generation(1));
  t.true(samePages(await restored(checkpoint), pages));
  t.deepEqual(checkpoint.meta, meta);
  t.is(checkpoint.parent, null);
  t.deepEqual([checkpoint.app, checkpoint.generation, checkpoint.token, checkpoint.pageCount], [app, generation(1), fencingToken(1), 301]);
  const files = await checkpoint.images('lazy');
  t.deepEqual([...files.keys()].sort(), ['core-1.img', 'empty.img', 'inventory.img', 'mm-1.img', 'pagemap-1.img', 'pages-1.img', 'pstree.img']);
  t.deepEqual(fileBytes(files, 'core-1.img'), pageOf(5));
  t.is(fileBytes(files, 'empty.img').length, 0);
});

test('commit() calls the sum of what it stored bytesWritten', async (t) => {
  await using b = await bench();
  const result = await b.commit([heapProcess(heapPages(10))]);
  const stored = (await b.objects.list('')).reduce((sum, {sizeBytes}) => sum + sizeBytes, 0);
  t.is(result.bytesWritten, stored);
});

test('images() marks lazy pages only for a lazy restore', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(new Map([...heapPages(5), [library.page, pageOf(1)] as const]))]);
  const checkpoint = await b.store.load(app, generation(1));
  const flags = async (mode: 'lazy' | 'eager'): Promise<unknown> => {
    const {entries} = parsePagemap('pagemap', fileBytes(await checkpoint.images(mode), 'pagemap-1.img'));
    return entries;
  };
  t.deepEqual(await flags('lazy'), [
    {page: library.page, count: 1, flags: pagemapFlag.present},
    {page: heap.page, count: 5, flags: pagemapFlag.present | pagemapFlag.lazy},
  ]);
  t.deepEqual(await flags('eager'), [
    {page: library.page, count: 1, flags: pagemapFlag.present},
    {page: heap.page, count: 5, flags: pagemapFlag.present},
  ]);
});

test('zero pages are dropped from anonymous memory and kept in mappings of files', async (t) => {
  await using b = await bench();
  const pages = new Map<number, Uint8Array>([
    [library.page, zero],
    [heap.page, zero],
    [heap.page + 1, pageOf(1)],
  ]);
  const first = await b.commit([heapProcess(pages)]);
  t.like(first, {pageCount: 2, newPages: 2, zeroPages: 1});
  const parent = await b.store.load(app, first.generation);
  t.true(samePages(await restored(parent), new Map([...pages].filter(([page]) => page !== heap.page))));
  // A page that became zero disappears, even though the parent has it and the pager thought it missing.
  const second = await b.commit([heapProcess(new Map([...pages, [heap.page + 1, zero]]))], {parent, missing: new Map([[1, parentTable(parent)]])});
  t.like(second, {pageCount: 1, newPages: 0, unchangedPages: 1, zeroPages: 2});
});

test('a second commit with 1 MiB changed of 64 MiB writes little more than that', async (t) => {
  await using b = await bench();
  const pages = heapPages(16_384);
  await b.commit([heapProcess(pages)]);
  const parent = await b.store.load(app, generation(1));
  for (let at = 0; at < 256; at++) pages.set(heap.page + at * 64, pageOf(1_000_000 + at));
  const second = await b.commit([heapProcess(pages)], {parent});
  t.like(second, {generation: 2, pageCount: 16_384, newPages: 256, unchangedPages: 16_128});
  t.true(second.bytesWritten <= 1.5 * 1024 * 1024, `${second.bytesWritten} bytes`);
  const checkpoint = await b.store.load(app, generation(2));
  t.is(checkpoint.parent, generation(1));
  t.true(samePages(await restored(checkpoint), pages));
});

test('missing pages stay where they were, and only where memory can still be missing', async (t) => {
  await using b = await bench();
  const pages = heapPages(100);
  await b.commit([heapProcess(pages)]);
  const parent = await b.store.load(app, generation(1));
  const missing = parentTable(parent).clone();
  missing.delete(heap.page, 10);
  // A page outside any mapping, and one in a mapping of a file: the pager has not heard yet that they are gone.
  missing.add({page: heap.page - 50, count: 1, segment: 1, index: 0, lazy: true});
  missing.add({page: library.page, count: 1, segment: 1, index: 0, lazy: true});
  const dumped = new Map([...heapPages(5), [heap.page + 50, pageOf(999)] as const]);
  const second = await b.commit([heapProcess(dumped)], {parent, missing: new Map([[1, missing]])});
  t.like(second, {pageCount: 95, newPages: 1, unchangedPages: 5});
  const expected = new Map([...pages].filter(([page]) => page < heap.page + 5 || page >= heap.page + 10));
  expected.set(heap.page + 50, pageOf(999));
  t.true(samePages(await restored(await b.store.load(app, generation(2))), expected));
});

test('missing pages of a process that has ended are forgotten', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(3), 1), heapProcess(heapPages(3, 50), 2)]);
  const parent = await b.store.load(app, generation(1));
  const second = await b.commit([heapProcess(heapPages(3), 1)], {parent, missing: parent.tables});
  t.is(second.pageCount, 3);
});

test('a commit that refers to pages which do not exist is refused', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(3))]);
  const beyond = PageTable.from([{page: heap.page, count: 2, segment: 1, index: 2, lazy: true}]);
  await t.throwsAsync(b.commit([heapProcess(new Map())], {missing: new Map([[1, beyond]])}), {instanceOf: DamagedCheckpointError});
  const nowhere = PageTable.from([{page: heap.page, count: 1, segment: 9, index: 0, lazy: true}]);
  await t.throwsAsync(b.commit([heapProcess(new Map())], {missing: new Map([[1, nowhere]])}), {code: 'ERR_NO_OBJECT'});
  t.deepEqual(await b.store.generations(app), [generation(1)]);
});

test('a process without pages, and shared memory as plain images, survive', async (t) => {
  await using b = await bench();
  const shared = {'pagemap-shmem-5.img': pageOf(1), 'pages-9.img': pageOf(2)};
  const result = await b.commit([heapProcess(new Map())], {files: shared});
  t.is(result.pageCount, 0);
  const checkpoint = await b.store.load(app, result.generation);
  t.deepEqual(checkpoint.manifest.segments, []);
  const files = await checkpoint.images('eager');
  t.deepEqual(fileBytes(files, 'pages-9.img'), pageOf(2));
  t.deepEqual(fileBytes(files, 'pagemap-shmem-5.img'), pageOf(1));
  t.is(fileBytes(files, 'pages-1.img').length, 0);
});

test('thirty random generations read back as a model has them', async (t) => {
  await using b = await bench();
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const models: Map<number, Uint8Array>[] = [];
  let model = heapPages(400);
  let parent: Checkpoint | null = null;
  for (let number = 1; number <= 30; number++) {
    const missing = parent === null ? new PageTable() : parentTable(parent).clone();
    const dumped = new Map<number, Uint8Array>(parent === null ? model : []);
    for (let touches = random(120); touches > 0 && parent !== null; touches--) {
      const page = random(10) === 0 ? library.page + random(64) : heap.page + random(600);
      const isLazy = page >= heap.page;
      missing.delete(page, 1);
      const kind = random(5);
      if (kind === 0 && isLazy) {
        model.delete(page); // madvise
        dumped.delete(page);
      } else {
        const same = model.get(page);
        const data = kind <= 2 && same !== undefined ? same : kind === 3 ? zero : pageOf(random(1_000_000));
        dumped.set(page, data);
        if (isLazy && data === zero) model.delete(page);
        else model.set(page, data);
      }
    }
    // CRIU dumps every page of a file mapping that is there.
    for (const [page, data] of model) if (page < heap.page) dumped.set(page, data);
    const result: CommitResult = await b.commit([heapProcess(dumped)], {parent, missing: new Map([[1, missing]])});
    t.is(result.generation, generation(number));
    parent = await b.store.load(app, result.generation);
    models.push(new Map(model));
    model = new Map(model);
  }
  for (const [at, expected] of models.entries()) {
    t.true(samePages(await restored(await b.store.load(app, generation(at + 1))), expected), `generation ${at + 1}`);
  }
  await b.store.prune(app, 2);
  t.deepEqual(await b.store.generations(app), [generation(29), generation(30)]);
  for (const number of [29, 30]) t.true(samePages(await restored(await b.store.load(app, generation(number))), models[number - 1] ?? new Map()));
});

test('SegmentReader reads any run of any segment, with few descriptors open', async (t) => {
  await using b = await bench();
  for (let number = 0; number < 5; number++) await b.commit([heapProcess(heapPages(100, number * 1000))]);
  const all = [];
  for (let number = 1; number <= 5; number++) all.push(...(await (await b.store.load(app, generation(number))).localSegments()));
  using reader = new SegmentReader({segments: structuredClone(all), maxOpenFiles: 2});
  const into = Buffer.alloc(60 * pageSizeBytes);
  // Other tests of this process have files open too; theirs lie elsewhere.
  const open = async (): Promise<number> => {
    const links = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
    return links.filter((path) => path.startsWith(b.root)).length;
  };
  for (let round = 0; round < 3; round++) {
    for (let segment = 1; segment <= 5; segment++) {
      reader.readPagesSync(segment, 30, 50, into, pageSizeBytes);
      t.deepEqual(into.subarray(pageSizeBytes, 2 * pageSizeBytes), pageOf((segment - 1) * 1000 + 30));
      t.deepEqual(into.subarray(50 * pageSizeBytes, 51 * pageSizeBytes), pageOf((segment - 1) * 1000 + 79));
    }
  }
  t.is(await open(), 2);
  t.throws(() => reader.readPagesSync(1, 90, 11, into, 0), {instanceOf: DamagedCheckpointError});
  t.throws(() => reader.readPagesSync(77, 0, 1, into, 0), {code: 'ERR_ASSERTION'});
});

test('an older fencing token loses', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(3))], {token: 5});
  const error = await t.throwsAsync(b.commit([heapProcess(heapPages(3))], {token: 4}), {instanceOf: CodedError, code: 'ERR_STALE_TOKEN'});
  t.is(error.message, 'Cannot commit a checkpoint of app "shop": token 4 is older than 5, which wrote generation 1');
  t.is((await b.commit([heapProcess(heapPages(3))], {token: 5})).generation, generation(2));
});

test('two workers that commit at once make two generations or the older token loses', async (t) => {
  await using b = await bench();
  const other = openCheckpointStore({objects: await openDirectoryStore(b.root)});
  const dumps = [join(b.path, 'd1'), join(b.path, 'd2')] as const;
  for (const [at, dumpDir] of dumps.entries()) await writeDump(dumpDir, {processes: [heapProcess(heapPages(600, at * 10_000))]});
  const results = await Promise.allSettled([
    b.store.commit({app, token: fencingToken(1), dumpDir: dumps[0], parent: null, missing: new Map(), meta: 'old'}),
    other.commit({app, token: fencingToken(2), dumpDir: dumps[1], parent: null, missing: new Map(), meta: 'new'}),
  ]);
  t.is(results[1].status, 'fulfilled');
  const latest = await b.store.latestComplete(app);
  t.is(latest?.meta, 'new');
  t.true(samePages(await restored(latest ?? t.fail()), heapPages(600, 10_000)));
  t.deepEqual(await b.store.sweep(app), []);
});

test('prune() keeps what remaining generations refer to', async (t) => {
  await using b = await bench();
  let parent: Checkpoint | null = null;
  const pages = heapPages(50);
  for (let number = 0; number < 4; number++) {
    pages.set(heap.page + number, pageOf(5000 + number));
    const result: CommitResult = await b.commit([heapProcess(pages)], {parent});
    parent = await b.store.load(app, result.generation);
  }
  t.deepEqual(await b.store.prune(app, 2, [generation(1)]), [generation(2)]);
  t.deepEqual(await b.store.prune(app, 2), [generation(1)]);
  t.deepEqual(await b.store.prune(app, 2), []);
  t.true(samePages(await restored(await b.store.load(app, generation(4))), pages));
  t.is((await objectKeys(b.objects)).filter((key) => key.includes('/images/')).length, 2);
  t.is((await objectKeys(b.objects)).filter((key) => key.includes('/segments/')).length, 4);
});

test('sweep() removes what a commit that died left', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(5))]);
  await b.objects.put('apps/shop/segments/00000002', Buffer.from('half'));
  await b.objects.put('apps/shop/images/00000002-1', Buffer.from('half'));
  await b.objects.put('apps/other/segments/00000002', Buffer.from('not ours'));
  t.deepEqual(await b.store.sweep(app), ['apps/shop/segments/00000002', 'apps/shop/images/00000002-1']);
  t.is((await b.store.latestComplete(app))?.generation, generation(1));
  t.true((await objectKeys(b.objects)).includes('apps/other/segments/00000002'));
});

test('commit() writes over the bundle that an attempt of the same owner left when it was killed', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(50))]);
  await b.objects.put(keysOf(app).segment(2), Buffer.from('a segment'));
  await b.objects.put(keysOf(app).image(2, 2), Buffer.from('a bundle'));
  const pages = heapPages(50, 100);
  t.is((await b.commit([heapProcess(pages)], {token: 2})).generation, generation(2));
  t.true(samePages(await restored(await b.store.load(app, generation(2))), pages));
});

test('commit() gives a number above the one that is asked for, also when that one was taken back', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(10))]);
  const parent = (await b.store.latestComplete(app)) ?? t.fail();
  t.is((await b.commit([heapProcess(heapPages(10))], {parent, above: generation(4)})).generation, generation(5));
  t.is((await b.commit([heapProcess(heapPages(10))], {parent, above: generation(1)})).generation, generation(6));
});

test('generations of different apps do not meet', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(5))]);
  const other: readonly Generation[] = await b.store.generations(appName('shop2'));
  t.deepEqual(other, []);
  t.is(await b.store.latestComplete(appName('sho')), null);
});
