/** Pages that are laid out for the next wake: what must be decoded is there as it is, and is read from there as long as that is right. */
import {readFile, readlink, writeFile} from 'node:fs/promises';
import test from 'ava';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {openKeyring} from '../../src/pager/checkpoints/keyring.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {layOut, type ReadyPages} from '../../src/pager/ready-pages.ts';
import {app, bench, easyPage, heap, heapPages, heapProcess, samePages} from './checkpoint-bench.ts';

type Bench = Awaited<ReturnType<typeof bench>>;

const noisyCount = 70;
/** Blocks of noise are stored as they are; the others are compressed. */
const easyPages = new Map(Array.from({length: 90}, (_, at): [number, Uint8Array] => [heap.page + 128 + at, easyPage(at)]));
const pages = new Map([...heapPages(noisyCount), ...easyPages]);

function bytesOf(page: number): Buffer {
  return Buffer.from(pages.get(page) ?? []);
}

async function laidOut(b: Bench): Promise<{checkpoint: Checkpoint; ready: ReadyPages}> {
  const {generation} = await b.commit([heapProcess(pages)]);
  const checkpoint = await b.store.load(app, generation);
  const expected = new Map([...checkpoint.tables].map(([pid, table]) => [pid, [...table.runs()]] as const));
  const dataKey = (await checkpoint.localSegments())[0]?.dataKey;
  const ready = await layOut({objects: b.objects, checkpoint, dataKey, expected, directory: b.root});
  if (ready === undefined) throw new Error('nothing was laid out');
  return {checkpoint, ready};
}

async function readAll(checkpoint: Checkpoint, ready: ReadyPages): Promise<Map<number, Uint8Array>> {
  using reader = new SegmentReader({segments: [...(await checkpoint.localSegments()), ready.local], copies: ready.copies});
  const found = new Map<number, Uint8Array>();
  for (const {page, segment, index, count} of checkpoint.tables.get(1)?.runs() ?? []) {
    const data = Buffer.alloc(count * pageSizeBytes);
    reader.readPagesSync(segment, index, count, data, 0);
    for (let at = 0; at < count; at++) found.set(page + at, data.subarray(at * pageSizeBytes, (at + 1) * pageSizeBytes));
  }
  return found;
}

/** Whether pages are read from there; what is found to be wrong is given up. */
function isUsed({copies}: ReadyPages): boolean {
  return new Uint8Array(copies.usable)[0] === 1;
}

test('what is compressed is laid out as it is, what is stored plain is not; and all is read as it was', async (t) => {
  await using b = await bench();
  const {checkpoint, ready} = await laidOut(b);
  const file = await readFile(ready.local.path);
  t.true(file.includes(bytesOf(heap.page + 130)));
  t.false(file.includes(bytesOf(heap.page)));
  t.true(samePages(await readAll(checkpoint, ready), pages));
  t.true(isUsed(ready));
  t.true((await readlink(ready.local.path)).endsWith('(deleted)'), 'a file without a name');
  await ready[Symbol.asyncDispose]();
  await t.throwsAsync(readFile(ready.local.path), {code: 'ENOENT'});
});

test('a copy that is damaged is not used: the pages are read where they are stored', async (t) => {
  await using b = await bench();
  const {checkpoint, ready} = await laidOut(b);
  await using _ready = ready;
  const file = await readFile(ready.local.path);
  file.fill(7, 5000, 5010);
  await writeFile(ready.local.path, file, {flag: 'r+'});
  t.true(samePages(await readAll(checkpoint, ready), pages));
  t.false(isUsed(ready));
});

test('of an app with a key, all pages are laid out, and none can be read there without it', async (t) => {
  await using b = await bench(undefined, openKeyring({keys: [Buffer.alloc(32, 7)]}));
  const {checkpoint, ready} = await laidOut(b);
  await using _ready = ready;
  const file = await readFile(ready.local.path);
  t.true(file.length > pages.size * pageSizeBytes);
  for (const page of pages.keys()) t.false(file.includes(bytesOf(page).subarray(0, 64)));
  t.true(samePages(await readAll(checkpoint, ready), pages));
  t.true(isUsed(ready));
});

test('nothing is laid out where no page is expected, or all are stored plain', async (t) => {
  await using b = await bench();
  const {generation} = await b.commit([heapProcess(heapPages(noisyCount))]);
  const checkpoint = await b.store.load(app, generation);
  const all = new Map([...checkpoint.tables].map(([pid, table]) => [pid, [...table.runs()]] as const));
  for (const expected of [all, new Map()]) t.is(await layOut({objects: b.objects, checkpoint, dataKey: undefined, expected, directory: b.root}), undefined);
});
