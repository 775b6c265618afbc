/** Segments of format 2: pages of every kind come back from blocks of every codec, and no damage goes unnoticed. */
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {appName, generation} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {BlockCache} from '../../src/pager/checkpoints/block-cache.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {openKeyring} from '../../src/pager/checkpoints/keyring.ts';
import {type PageRun, pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {segmentHeaderBytes} from '../../src/pager/checkpoints/segment.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {SegmentSource} from '../../src/pager/checkpoints/segment-source.ts';
import {openFuse} from '../../src/pager/fuse/fuse.ts';
import {fc} from '../helpers/properties.ts';
import {rootTest} from '../helpers/root-test.ts';
import {app, bench, easyPage, flipByte, heap, heapPages, heapProcess, library, restored, samePages, segmentKey, zero} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';
import {pageOf} from './synthetic-dump.ts';

const keyring = openKeyring({keys: [Buffer.alloc(32, 3)]});
const kinds = ['noise', 'easy', 'zero', 'none'] as const;

function pageOfKind(kind: (typeof kinds)[number], seed: number): Buffer | undefined {
  switch (kind) {
    case 'noise':
      return pageOf(seed);
    case 'easy':
      return easyPage(seed);
    case 'zero':
      return zero;
    case 'none':
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** Pages of the heap and the library as stretches of one kind each. */
const someMemory = fc.array(fc.tuple(fc.constantFrom(...kinds), fc.integer({min: 1, max: 50}), fc.nat(5)), {minLength: 1, maxLength: 12}).map((stretches) => {
  const pages = new Map<number, Uint8Array>();
  let at = 0;
  for (const [kind, count, seed] of stretches) {
    for (let number = 0; number < count; number++, at++) {
      const data = pageOfKind(kind, seed * 1000 + number);
      if (data !== undefined) pages.set(at < library.count ? library.page + at : heap.page + at - library.count, data);
    }
  }
  return pages;
});

function runsOf(checkpoint: Checkpoint): readonly PageRun[] {
  return [...(checkpoint.tables.get(1)?.runs() ?? [])];
}

/** What the memory reads as after a restore: lazy pages that are not stored are zeros. */
function withoutZeros(pages: ReadonlyMap<number, Uint8Array>): ReadonlyMap<number, Uint8Array> {
  return new Map([...pages].filter(([page, data]) => page < heap.page || !zero.equals(data)));
}

test('memory of any kind comes back through every reader, with a key and without', async (t) => {
  await fc.assert(
    fc.asyncProperty(someMemory, someMemory, fc.boolean(), async (first, second, sealed) => {
      await using b = await bench(undefined, sealed ? keyring : null);
      await b.commit([heapProcess(first)]);
      const parent = await b.store.load(app, generation(1));
      t.true(samePages(await restored(parent), withoutZeros(first)));
      const result = await b.commit([heapProcess(second)], {parent});
      const checkpoint = await b.store.load(app, result.generation);
      t.true(samePages(await restored(checkpoint), withoutZeros(second)));
      using reader = new SegmentReader({segments: await checkpoint.localSegments(), cache: new BlockCache(200_000)});
      const [segment] = await checkpoint.localSegments();
      await using source = new SegmentSource({objects: b.objects, app, dataKey: segment?.dataKey});
      for (const run of runsOf(checkpoint)) {
        const expected = Buffer.concat(Array.from({length: run.count}, (_, number) => second.get(run.page + number) ?? zero));
        const data = Buffer.alloc(run.count * pageSizeBytes);
        reader.readPagesSync(run.segment, run.index, run.count, data, 0);
        t.true(data.equals(expected));
        t.true(expected.equals(await source.read(run.segment, run.index, run.count)));
        const last = Buffer.alloc(pageSizeBytes);
        reader.readPagesSync(run.segment, run.index + run.count - 1, 1, last, 0);
        t.true(last.equals(expected.subarray(-pageSizeBytes)));
      }
    }),
    {numRuns: 25},
  );
});

test('a segment that is cut off anywhere, or whose blocks changed places, is refused', async (t) => {
  for (const ring of [null, keyring]) {
    await using b = await bench(undefined, ring);
    const easy = Array.from({length: 64}, (_, at): [number, Uint8Array] => [heap.page + 96 + at, easyPage(at)]);
    await b.commit([heapProcess(new Map([...heapPages(64), ...easy]))]);
    const checkpoint = await b.store.load(app, generation(1));
    const path = join(b.root, segmentKey);
    const original = await readFile(path);
    const segments = await checkpoint.localSegments();
    const readAll = (): void => {
      using reader = new SegmentReader({segments});
      for (const {segment, index, count} of runsOf(checkpoint)) reader.readPagesSync(segment, index, count, Buffer.alloc(count * pageSizeBytes), 0);
    };
    t.notThrows(readAll);
    for (const length of [0, 50, 95, 96, 159, 160, 4096, 100_000, original.length - 96, original.length - 64, original.length - 1]) {
      await writeFile(path, original.subarray(0, length));
      const error = t.throws(readAll, {instanceOf: DamagedCheckpointError}, `${length} bytes`);
      t.regex(error.message, /^Cannot read object "apps\/shop\/segments\/00000001" of generation 1: at byte \d+, /);
    }
    const half = segmentHeaderBytes + 32 * pageSizeBytes;
    await writeFile(
      path,
      Buffer.concat([
        original.subarray(0, segmentHeaderBytes),
        original.subarray(half, half + 32 * pageSizeBytes),
        original.subarray(segmentHeaderBytes, half),
        original.subarray(half + 32 * pageSizeBytes),
      ]),
    );
    t.throws(readAll, {instanceOf: DamagedCheckpointError});
  }
});

test('a flipped bit in a compressed block is found by every reader', async (t) => {
  await using b = await bench();
  const pages = new Map(Array.from({length: 200}, (_, at): [number, Uint8Array] => [heap.page + at, easyPage(at)]));
  const {bytesWritten} = await b.commit([heapProcess(pages)]);
  t.true(bytesWritten < 30_000, `${bytesWritten} bytes`);
  const checkpoint = await b.store.load(app, generation(1));
  const segments = await checkpoint.localSegments();
  for (let at = segmentHeaderBytes; at < (checkpoint.manifest.segments[0]?.sizeBytes ?? 0); at += 97) {
    await flipByte(join(b.root, segmentKey), at);
    using reader = new SegmentReader({segments});
    t.throws(() => reader.readPagesSync(1, 0, 200, Buffer.alloc(200 * pageSizeBytes), 0), {instanceOf: DamagedCheckpointError}, `byte ${at}`);
    await t.throwsAsync(checkpoint.images('eager'), {instanceOf: DamagedCheckpointError}, `byte ${at}`);
    await flipByte(join(b.root, segmentKey), at);
  }
});

test('noise is stored as it is, and what repeats itself is compressed, however even its bytes are', async (t) => {
  await using b = await bench();
  const repeated = Array.from({length: 640}, (_, at): [number, Uint8Array] => [heap.page + at, Buffer.alloc(pageSizeBytes, pageOf(at).subarray(0, 16))]);
  const compressed = await b.commit([heapProcess(new Map(repeated))]);
  t.true(compressed.bytesWritten < 100_000, `${compressed.bytesWritten} bytes`);
  await b.commit([heapProcess(heapPages(640))]);
  const {segments} = (await b.store.load(app, generation(2))).manifest;
  t.is(segments[0]?.sizeBytes, segmentHeaderBytes + 640 * pageSizeBytes + 20 * 8 + 640 * 4 + 96);
});

test('pages that an app has moved are referred to, its own only', async (t) => {
  await using b = await bench();
  const noise = heapPages(100);
  await b.commit([heapProcess(noise)]);
  const parent = await b.store.load(app, generation(1));
  const moved = new Map([...noise].map(([page, data]) => [page + 1357, data] as const));
  moved.set(heap.page, pageOf(5000));
  const second = await b.commit([heapProcess(moved)], {parent});
  t.is(second.newPages, 1);
  t.is(second.unchangedPages, 100);
  t.true(samePages(await restored(await b.store.load(app, second.generation)), moved));
  const other = await b.store.commit({app: appName('other'), token: parent.token, dumpDir: join(b.path, 'dump'), parent: null, missing: new Map(), meta: null});
  t.is(other.newPages, 101);
});

test('a page that became zero is not stored, whatever its parent had there', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(40))]);
  const parent = await b.store.load(app, generation(1));
  const pages = new Map<number, Uint8Array>(heapPages(40));
  for (let at = 10; at < 20; at++) pages.set(heap.page + at, zero);
  const second = await b.commit([heapProcess(pages)], {parent, missing: parent.tables});
  t.deepEqual([second.newPages, second.zeroPages], [0, 10]);
  const table = (await b.store.load(app, second.generation)).tables.get(1);
  t.deepEqual([table?.size, table?.get(heap.page + 15)], [30, undefined]);
});

test('a segment and a manifest of another format are not called damaged', async (t) => {
  await using b = await bench();
  await b.commit([heapProcess(heapPages(3))]);
  const path = join(b.root, segmentKey);
  const checkpoint = await b.store.load(app, generation(1));
  const footer = Buffer.alloc(64);
  footer.write('PICOEND1');
  await writeFile(path, Buffer.concat([Buffer.alloc(20_000), footer]));
  using reader = new SegmentReader({segments: await checkpoint.localSegments()});
  const error = t.throws(() => reader.readPagesSync(1, 0, 1, Buffer.alloc(pageSizeBytes), 0), {instanceOf: CodedError, code: 'ERR_UNKNOWN_FORMAT'});
  t.is(error.message, 'Cannot read object "apps/shop/segments/00000001": it has format 1, this version of Picogate reads 2');
});

rootTest('CRIU is served pages and images that are compressed or sealed, through FUSE', async (t) => {
  await using b = await bench(undefined, keyring);
  const pages = new Map<number, Uint8Array>(Array.from({length: 2500}, (_, at) => [heap.page + at, at % 3 === 0 ? pageOf(at) : easyPage(at)]));
  const large = Buffer.concat(Array.from({length: 2500}, (_, at) => (at % 2 === 0 ? pageOf(at) : easyPage(at))));
  await b.commit([heapProcess(pages)], {files: {'ghost-file-1.img': large}});
  const checkpoint = await b.store.load(app, generation(1));
  const files = await checkpoint.images('eager');
  t.is(files.get('ghost-file-1.img')?.[0]?.source.kind, 'encoded');
  const failures: string[] = [];
  await using fuse = await openFuse({mountPoint: join(b.path, 'fuse'), log: createLog('silent'), onError: (error) => failures.push(error.message)});
  const directory = await fuse.add('shop.1', files);
  t.true(large.equals(await readFile(join(directory, 'ghost-file-1.img'))));
  t.true((await readFile(join(directory, 'pages-1.img'))).equals(fileBytes(files, 'pages-1.img')));
  await flipByte(join(b.root, segmentKey), 900_000);
  const again = await fuse.add('shop.2', files);
  await t.throwsAsync(readFile(join(again, 'pages-1.img')), {code: 'EIO'});
  t.regex(failures[0] ?? '', /^Cannot read object "apps\/shop\/segments\/00000001": at byte \d+, the seal of \d+ bytes is broken/);
});
