import {mkdir, readFile, rm, truncate, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {fencingToken, generation} from '../../src/core/ids.ts';
import type {CommitResult} from '../../src/pager/checkpoints/commit.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {segmentHeaderBytes} from '../../src/pager/checkpoints/segment.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {app, bench, flipByte, heapPages, heapProcess, library, objectKeys, restored, samePages, segmentKey} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';
import {pageOf, writeDump} from './synthetic-dump.ts';

test('large images are served from the bundle file after being checked', async (t) => {
  await using b = await bench();
  const large = Buffer.concat(Array.from({length: 3000}, (_, at) => pageOf(at)));
  await b.commit([heapProcess(heapPages(2))], {files: {'ghost-file-1.img': large}});
  const checkpoint = await b.store.load(app, generation(1));
  const files = await checkpoint.images('lazy');
  t.is(files.get('ghost-file-1.img')?.[0]?.source.kind, 'file');
  t.true(large.equals(fileBytes(files, 'ghost-file-1.img')));
  await flipByte(join(b.root, checkpoint.manifest.bundle.key), checkpoint.manifest.bundle.sizeBytes / 2);
  await t.throwsAsync(checkpoint.images('lazy'), {instanceOf: DamagedCheckpointError});
});

test('SegmentReader calls a file that is gone unreadable, not damaged', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(3))]);
  const segments = await (await b.store.load(app, generation(1))).localSegments();
  await rm(segments[0]?.path ?? '');
  using reader = new SegmentReader({segments});
  const error = t.throws(() => reader.readPagesSync(1, 0, 1, Buffer.alloc(pageSizeBytes), 0), {instanceOf: CodedError, code: 'ERR_PAGE_UNREADABLE'});
  t.true(error.retryable);
});

test('a flipped bit in a page is found by reader and restore, which name object, generation and offset', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(new Map([...heapPages(100), [library.page, pageOf(9)] as const]))]);
  const checkpoint = await b.store.load(app, generation(1));
  await flipByte(join(b.root, segmentKey), segmentHeaderBytes + 40 * pageSizeBytes + 123);
  using reader = new SegmentReader({segments: await checkpoint.localSegments()});
  const into = Buffer.alloc(32 * pageSizeBytes);
  reader.readPagesSync(1, 0, 32, into, 0);
  const error = t.throws(() => reader.readPagesSync(1, 32, 32, into, 0), {instanceOf: DamagedCheckpointError});
  t.is(error.offset, segmentHeaderBytes + 40 * pageSizeBytes);
  t.is(error.object, segmentKey);
  t.regex(
    error.message,
    /^Cannot read object "apps\/shop\/segments\/00000001" of generation 1: at byte 163904, page 40 has checksum [0-9a-f]+ instead of [0-9a-f]+$/,
  );
  await t.throwsAsync(checkpoint.images('eager'), {instanceOf: DamagedCheckpointError});
  // The page is lazy: whoever touches it will hear of it, the restore needs it not.
  await t.notThrowsAsync(checkpoint.images('lazy'));
  await flipByte(join(b.root, segmentKey), segmentHeaderBytes + 1);
  await t.throwsAsync(checkpoint.images('lazy'), {instanceOf: DamagedCheckpointError}, 'page 0 of the segment is that of the library');
});

test('a damaged page of the parent is written anew, not referred to', async (t) => {
  await using b = await bench();
  const pages = heapPages(64);
  await b.commit([heapProcess(pages)]);
  const parent = await b.store.load(app, generation(1));
  await flipByte(join(b.root, segmentKey), segmentHeaderBytes + 5 * pageSizeBytes);
  const second = await b.commit([heapProcess(pages)], {parent});
  t.true(second.newPages >= 1);
  t.true(samePages(await restored(await b.store.load(app, second.generation)), pages));
});

for (const [what, damage] of Object.entries({
  'a truncated segment': async (root: string) => truncate(join(root, segmentKey), 10_000),
  'an empty segment': async (root: string) => truncate(join(root, segmentKey), 0),
  'a truncated manifest': async (root: string) => truncate(join(root, 'apps/shop/manifests/00000001.json'), 100),
  'a changed manifest': async (root: string) => {
    const path = join(root, 'apps/shop/manifests/00000001.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"pid":1', '"pid":2'));
  },
  'a manifest of another generation': async (root: string) => {
    await writeFile(join(root, 'apps/shop/manifests/00000001.json'), await readFile(join(root, 'apps/shop/manifests/00000002.json')));
  },
  'a truncated bundle': async (root: string) => truncate(join(root, 'apps/shop/images/00000001-1'), 3),
  'a damaged page table': async (root: string) => flipByte(join(root, 'apps/shop/images/00000001-1'), 2),
})) {
  test(`load() finds ${what}`, async (t) => {
    await using b = await bench();
    await b.commit([heapProcess(heapPages(10))]);
    await b.commit([heapProcess(heapPages(10, 500))]);
    await damage(b.root);
    const error = await t.throwsAsync(b.store.load(app, generation(1)), {instanceOf: DamagedCheckpointError});
    t.regex(error.message, /of generation 1: at byte \d+, /);
    await t.notThrowsAsync(b.store.load(app, generation(2)));
  });
}

test('a flipped bit anywhere in a manifest or a bundle is found, and the generation before still wakes', async (t) => {
  await using b = await bench();
  const pages = heapPages(20);
  await b.commit([heapProcess(pages)]);
  await b.commit([heapProcess(heapPages(20, 500))], {files: {'core-1.img': pageOf(1), 'mm-2.img': Buffer.alloc(50_000, 'vma ')}});
  const {bundle} = (await b.store.load(app, generation(2))).manifest;
  for (const key of ['apps/shop/manifests/00000002.json', bundle.key]) {
    const path = join(b.root, key);
    for (let at = 0, size = await b.objects.size(key); at < size; at += 53) {
      await flipByte(path, at);
      const work = b.store.load(app, generation(2)).then(async (checkpoint) => checkpoint.images('lazy'));
      const error = await t.throwsAsync(work, {instanceOf: DamagedCheckpointError}, `byte ${at} of ${key}`);
      t.true(error.message.startsWith(`Cannot read object "${key}" of generation 2: at byte `), error.message);
      await flipByte(path, at);
    }
    await flipByte(path, 0);
    t.true(samePages(await restored(await b.store.load(app, generation(1))), pages));
    await flipByte(path, 0);
  }
});

test('a damaged index or footer of a segment is found when it is read', async (t) => {
  for (const fromEnd of [1, 30, 64, 70]) {
    await using b = await bench();
    await b.commit([heapProcess(heapPages(10))]);
    const checkpoint = await b.store.load(app, generation(1));
    await flipByte(join(b.root, segmentKey), (checkpoint.manifest.segments[0]?.sizeBytes ?? 0) - fromEnd);
    using reader = new SegmentReader({segments: await checkpoint.localSegments()});
    t.throws(() => reader.readPagesSync(1, 0, 1, Buffer.alloc(pageSizeBytes), 0), {instanceOf: DamagedCheckpointError});
    await t.throwsAsync(checkpoint.images('eager'), {instanceOf: DamagedCheckpointError});
  }
});

test('a segment of another app is not taken for ours', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(10))]);
  const checkpoint = await b.store.load(app, generation(1));
  const [segment] = await checkpoint.localSegments();
  if (segment === undefined) throw new Error('no segment');
  using reader = new SegmentReader({segments: [{...segment, app: 'other'}]});
  t.throws(() => reader.readPagesSync(1, 0, 1, Buffer.alloc(pageSizeBytes), 0), {instanceOf: DamagedCheckpointError});
});

test('latestComplete() offers the generation before a damaged one, and null without any', async (t) => {
  await using b = await bench();
  t.is(await b.store.latestComplete(app), null);
  await b.commit([heapProcess(heapPages(10))]);
  await b.commit([heapProcess(heapPages(10, 500))]);
  t.is((await b.store.latestComplete(app))?.generation, generation(2));
  await truncate(join(b.root, 'apps/shop/manifests/00000002.json'), 5);
  t.is((await b.store.latestComplete(app))?.generation, generation(1));
  t.deepEqual(await b.store.generations(app), [generation(1), generation(2)]);
  t.is((await b.commit([heapProcess(heapPages(3))])).generation, generation(3), 'the number of a damaged generation is not used again');
  await t.throwsAsync(b.store.load(app, generation(9)), {code: 'ERR_NO_CHECKPOINT'});
});

test('prune() removes segments that nothing refers to any more, and counts only readable generations', async (t) => {
  await using b = await bench();
  for (let number = 0; number < 3; number++) await b.commit([heapProcess(heapPages(5, number * 100))]);
  await truncate(join(b.root, 'apps/shop/manifests/00000003.json'), 5);
  t.deepEqual(await b.store.prune(app, 1), [generation(1)]);
  t.is((await objectKeys(b.objects)).filter((key) => key.includes('/segments/')).length, 3, 'a damaged manifest may refer to anything');
  await b.commit([heapProcess(heapPages(5, 900))]);
  t.deepEqual(await b.store.prune(app, 1), [generation(2), generation(3)]);
  t.deepEqual(await objectKeys(b.objects), ['apps/shop/images/00000004-1', 'apps/shop/manifests/00000004.json', 'apps/shop/segments/00000004']);
});

test('an aborted commit leaves nothing', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(5))]);
  const before = await objectKeys(b.objects);
  await t.throwsAsync(b.commit([heapProcess(heapPages(2000, 9))], {signal: AbortSignal.abort()}), {name: 'AbortError'});
  t.deepEqual(await objectKeys(b.objects), before);
});

rootTest('a full disk fails the commit, removes its parts and leaves older generations alone', async (t) => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'small');
  await using _mounted = await tinyFileSystem(root, 4 * 1024 * 1024);
  await using b = await bench(root);
  const pages = heapPages(200);
  await b.commit([heapProcess(pages)]);
  const before = await objectKeys(b.objects);
  const large = Buffer.concat(Array.from({length: 900}, (_, at) => pageOf(at)));
  for (const [what, more] of [
    ['pages', {pages: heapPages(2000, 7000), files: {}}],
    ['images', {pages: heapPages(20, 7000), files: {'ghost-file-1.img': large}}],
  ] as const) {
    const error = await t.throwsAsync(b.commit([heapProcess(more.pages)], {files: more.files}), {instanceOf: CodedError, code: 'ERR_STORE_FULL'}, what);
    t.is(error.source, 'host');
    t.regex(error.message, /^Cannot commit a checkpoint of app "shop": Cannot write object "apps\/shop\/(segments|images)\/[-\d]+": the disk is full/);
    t.deepEqual(await objectKeys(b.objects), before);
  }
  t.true(samePages(await restored((await b.store.latestComplete(app)) ?? t.fail()), pages));
  t.is((await b.commit([heapProcess(heapPages(20, 7000))])).generation, generation(2));
});

test('a dump that is not whole is refused, and nothing is written', async (t) => {
  await using b = await bench();
  const dumpDir = join(b.path, 'broken');
  const commit = async (): Promise<CommitResult> => b.store.commit({app, token: fencingToken(1), dumpDir, parent: null, missing: new Map(), meta: null});
  const cases: Readonly<Record<string, () => Promise<void>>> = {
    'pages-1.img': async () => truncate(join(dumpDir, 'pages-1.img'), 4096),
    'pagemap-1.img': async () => truncate(join(dumpDir, 'pagemap-1.img'), 20),
    'inventory.img': async () => rm(join(dumpDir, 'inventory.img')),
    'mm-1.img': async () => truncate(join(dumpDir, 'mm-1.img'), 30),
  };
  for (const [name, damage] of Object.entries(cases)) {
    await mkdir(dumpDir, {recursive: true});
    await writeDump(dumpDir, {processes: [heapProcess(heapPages(5))]});
    await damage();
    await t.throwsAsync(commit(), {code: 'ERR_BAD_DUMP', message: new RegExp(`^Cannot read CRIU image "${name}": `)});
  }
  t.deepEqual(await objectKeys(b.objects), []);
});
