import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {fencingToken, generation} from '../../src/core/ids.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {AbsentPagesError} from '../../src/pager/faults/absent-pages.ts';
import {coldCopies, endOf, fetchCold} from '../../src/pager/remote/cold-reader.ts';
import {until} from '../helpers/until.ts';
import {app, heap, heapPages, heapProcess, parentTable, samePages} from './checkpoint-bench.ts';
import {bench, expected, log, newest, remoteKeys, restoredFully} from './uploading-workers.ts';

test('a wake with nothing local takes one round of parallel requests', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  await first.commit([heapProcess(heapPages(3000))]);
  await first.commit([heapProcess(new Map([...heapPages(3000), ...heapPages(300, 77)]))], {parent: await newest(t, first)});
  await first.uploads.finish(app);
  const second = await b.worker('b');
  await second.objects.list(keysOf(app).manifests);
  b.remote.delayMs = 20;
  b.remote.requests.length = 0;
  b.remote.bytesRead = 0;
  const started = performance.now();
  using cold = (await fetchCold(second.objects, {app, generation: 2, expected: true, manifestIsLocal: false}, log)) ?? t.fail('no cold object');
  const checkpoint = await second.store.load(app, generation(2));
  const files = await checkpoint.images('lazy', cold.images);
  const headMs = performance.now() - started;
  const segment = cold.expected ?? t.fail('no segment');
  await second.objects.ensureLocal(segment.local.object);
  const allMs = performance.now() - started;
  t.log(`images after ${headMs.toFixed(1)} ms, the predicted set after ${allMs.toFixed(1)} ms, ${b.remote.requests.length} requests, 20 ms each`);
  t.true(files.has('core-1.img'));
  const key = keysOf(app).cold(2, 1);
  const manifest = keysOf(app).manifest(2);
  t.deepEqual(
    b.remote.requests.filter((request) => request !== `get ${key}`),
    [`get ${manifest}`],
  );
  t.is(b.remote.bytesRead, (await b.behind.size(key)) + (await b.behind.size(manifest)));
  t.true(b.remote.bytesRead < (await expectedBytes(checkpoint)) + 512 * 1024, 'no page twice');
  // Every expected page can be read there, and is the right one.
  using reader = new SegmentReader({segments: [segment.local]});
  const pages = new Map([...heapPages(3000), ...heapPages(300, 77)]);
  const data = Buffer.alloc(pageSizeBytes);
  let count = 0;
  const absent: number[] = [];
  for (const [pid, runs] of await expected(checkpoint)) {
    const table = segment.tables(undefined).get(pid) ?? t.fail();
    const stored = checkpoint.tables.get(pid);
    for (const {page, count: length} of runs) {
      absent.push(...[page - 1, page + length].filter((beside) => stored?.get(beside) !== undefined && table.get(beside) === undefined));
      const place = table.get(page) ?? t.fail();
      reader.readPagesSync(place.segment, place.index, 1, data, 0);
      if (!data.equals(pages.get(page) ?? t.fail())) t.fail(`page ${page}`);
      count++;
    }
  }
  t.true(count > 1000);
  t.deepEqual(absent, [], 'those beside them are there too');
});

async function expectedBytes(checkpoint: Checkpoint): Promise<number> {
  return [...(await expected(checkpoint)).values()].flat().reduce((sum, {count}) => sum + count * pageSizeBytes, 0);
}

test('a wake that expects no page fetches the beginning of the cold object only', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  await first.commit([heapProcess(heapPages(3000))]);
  await first.uploads.finish(app);
  const second = await b.worker('b');
  using cold = (await fetchCold(second.objects, {app, generation: 1, expected: false, manifestIsLocal: false}, log)) ?? t.fail('no cold object');
  t.is(cold.expected, undefined);
  const checkpoint = await second.store.load(app, generation(1));
  t.true((await checkpoint.images('lazy', cold.images)).has('core-1.img'));
  t.true(b.remote.bytesRead <= 512 * 1024, `${b.remote.bytesRead} bytes`);
  t.true((await b.behind.size(keysOf(app).cold(1, 1))) > 5 * 1024 * 1024);
});

test('pages are read from the cold segment in place of the ordinary ones, until one of it is damaged', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  const pages = heapPages(3000);
  await first.commit([heapProcess(pages)]);
  await first.uploads.finish(app);
  const key = keysOf(app).cold(1, 1);
  for (const isDamaged of [false, true]) {
    const data = await b.behind.get(key);
    // In the middle of the expected pages.
    if (isDamaged) data.writeUInt8(data.readUInt8(data.length - 1024 * 1024) ^ 1, data.length - 1024 * 1024);
    await b.behind.delete(key);
    await b.behind.put(key, data);
    const worker = await b.worker(`w${isDamaged}`);
    using cold = (await fetchCold(worker.objects, {app, generation: 1, expected: true, manifestIsLocal: false}, log)) ?? t.fail('no cold object');
    const found = cold.expected ?? t.fail('no segment');
    const checkpoint = await worker.store.load(app, generation(1));
    await worker.objects.ensureLocal(found.local.object);
    const local = (await checkpoint.localSegments()).map((segment) => ({...segment, end: endOf(cold, segment.object)}));
    using reader = new SegmentReader({segments: [...local, found.local], copies: coldCopies(checkpoint, found, undefined)});
    const page = Buffer.alloc(pageSizeBytes);
    const table = checkpoint.tables.get(1) ?? t.fail();
    let absent = 0;
    for (const [number, content] of pages) {
      const at = table.get(number) ?? t.fail();
      if (reader.absent(at.segment, at.index, 1) !== undefined) {
        absent++;
        await worker.objects.ensureLocal(keysOf(app).segment(at.segment), {position: at.index * pageSizeBytes, length: 2 * pageSizeBytes});
      }
      try {
        reader.readPagesSync(at.segment, at.index, 1, page, 0);
      } catch (error) {
        // The damaged page itself: its chunk of the ordinary segment is not here yet.
        t.true(isDamaged && error instanceof AbsentPagesError);
        await worker.objects.ensureLocal(keysOf(app).segment(at.segment));
        reader.readPagesSync(at.segment, at.index, 1, page, 0);
      }
      if (!page.equals(content)) t.fail(`page ${number}`);
    }
    t.true(absent > 0);
    t.is(new Uint8Array(found.usable)[0], isDamaged ? 0 : 1);
  }
});

test('a cold segment whose local copy is gone is given up for the ordinary ones', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  const pages = heapPages(200);
  await first.commit([heapProcess(pages)]);
  await first.uploads.finish(app);
  const worker = await b.worker('b');
  using cold = (await fetchCold(worker.objects, {app, generation: 1, expected: true, manifestIsLocal: false}, log)) ?? t.fail('no cold object');
  const found = cold.expected ?? t.fail('no segment');
  const checkpoint = await worker.store.load(app, generation(1));
  const [key] = checkpoint.manifest.segments.map(({segment}) => keysOf(app).segment(segment));
  await worker.objects.ensureLocal(key ?? t.fail());
  const gone = {...found.local, path: join(b.path, 'gone'), presence: undefined};
  using reader = new SegmentReader({segments: [...(await checkpoint.localSegments()), gone], copies: coldCopies(checkpoint, found, undefined)});
  const page = Buffer.alloc(pageSizeBytes);
  for (const [number, content] of pages) {
    const at = checkpoint.tables.get(1)?.get(number) ?? t.fail();
    reader.readPagesSync(at.segment, at.index, 1, page, 0);
    if (!page.equals(content)) t.fail(`page ${number}`);
  }
  t.is(new Uint8Array(found.usable)[0], 0);
});

test('the cold object of an owner that was overruled is not used when the newer one has none, and goes with what is set aside', async (t) => {
  await using b = await bench();
  const [older, newer] = [await b.worker('older'), await b.worker('newer')];
  await older.commit([heapProcess(heapPages(50, 1000))], {token: 2});
  await newer.commit([heapProcess(heapPages(50, 2000))], {token: 3});
  await older.uploads.finish(app);
  const cold = await b.behind.get(keysOf(app).cold(1, 2));
  newer.uploads.kick(app);
  await until(async () => (await newer.uploads.progress(app)).pendingObjects === 0, {what: 'the end of the upload'});
  t.deepEqual(
    (await remoteKeys(b)).filter((key) => key.startsWith('cold/')),
    ['cold/00000001-3'],
  );
  await b.behind.delete(keysOf(app).cold(1, 3));
  await b.behind.put(keysOf(app).cold(1, 2), cold);
  const third = await b.worker('third');
  t.is(await fetchCold(third.objects, {app, generation: 1, expected: true, manifestIsLocal: false}, log), undefined);
  t.is((await third.store.load(app, generation(1))).token, fencingToken(3));
});

test('without its cold object, or with a damaged one, a generation is read from the others', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  await first.commit([heapProcess(heapPages(300))]);
  await first.uploads.finish(app);
  const key = keysOf(app).cold(1, 1);
  const data = await b.behind.get(key);
  const damages = [Buffer.from('nothing'), data.subarray(0, 100), Buffer.alloc(data.length), undefined];
  for (const byte of [9, 40, 5000, 20_000]) {
    const flipped = Buffer.from(data);
    flipped[byte] = (flipped[byte] ?? 0) ^ 4;
    damages.push(flipped);
  }
  for (const [at, damaged] of damages.entries()) {
    await b.behind.delete(key);
    if (damaged !== undefined) await b.behind.put(key, damaged);
    const worker = await b.worker(`w${at}`);
    await fetchCold(worker.objects, {app, generation: 1, expected: true, manifestIsLocal: false}, log);
    t.true(samePages(await restoredFully(worker, await newest(t, worker)), heapPages(300)), `damage ${at}`);
  }
});

test('a cache that is emptied between a commit and the next wake costs a fetch, not a page', async (t) => {
  await using b = await bench();
  const worker = await b.worker('a');
  await worker.commit([heapProcess(heapPages(400))]);
  await worker.uploads.finish(app);
  const parent = await newest(t, worker);
  await rm(join(b.path, 'a', 'cache'), {recursive: true});
  const missing = parentTable(parent).clone();
  missing.delete(heap.page, 20);
  await worker.commit([heapProcess(heapPages(20, 900))], {parent, missing: new Map([[1, missing]])});
  await worker.uploads.finish(app);
  const other = await b.worker('b');
  t.true(samePages(await restoredFully(other, await newest(t, other)), new Map([...heapPages(400), ...heapPages(20, 900)])));
});
