import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {LocalContents} from '../../src/pager/images/fuse-image-content.ts';
import {type ContentPlan, ImageCache} from '../../src/pager/images/rootfs-image-cache.ts';

const pieceBytes = 65_536;

function plan(key: string, pieces: number): ContentPlan {
  return {key, sizeBytes: pieces * pieceBytes, pieceBytes, digests: Array.from({length: pieces}, () => '')};
}

/** A cache with room for four pieces, and the serving thread's view of it. `store()` does not tell the thread that something was dropped. */
async function lab(t: ExecutionContext) {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-contents-'));
  const dropped: string[] = [];
  const cache = await ImageCache.open({directory, limitBytes: 4 * pieceBytes, onDropped: (key) => dropped.push(key)});
  const contents = new LocalContents(cache.filesDir);
  t.teardown(async () => {
    contents[Symbol.dispose]();
    await cache[Symbol.asyncDispose]();
    await rm(directory, {recursive: true, force: true});
  });
  const store = async (key: string, pieces: number, piece: number, letter: string): Promise<void> => {
    await cache.store(plan(key, pieces), piece, Buffer.alloc(pieceBytes, letter));
  };
  const tell = (key: string, piece: number): void => contents.stored(key, [piece], cache.partOf(key));
  const read = (key: string, piece: number): string => {
    const out = Buffer.alloc(pieceBytes);
    contents.read(key, piece * pieceBytes, out);
    return out.toString('latin1', 0, 1);
  };
  return {cache, contents, dropped, store, tell, read};
}

test('a part that was dropped and begun anew is not taken for the one that was told', async (t) => {
  const {contents, dropped, store, tell, read} = await lab(t);
  await store('K', 3, 0, 'A');
  tell('K', 0);
  for (const piece of [0, 1, 2]) await store('L', 3, piece, 'x');
  await store('K', 3, 1, 'B');
  t.deepEqual(dropped, ['K']);
  // The thread has not heard of it yet.
  t.false(contents.has('K', 0));
  tell('K', 1);
  t.false(contents.has('K', 0));
  t.true(contents.has('K', 1));
  t.is(read('K', 1), 'B');
});

test('what the thread has open of a part stays what it was, also when the part is completed', async (t) => {
  const {contents, store, tell, read} = await lab(t);
  await store('K', 3, 0, 'A');
  tell('K', 0);
  t.is(read('K', 0), 'A');
  await store('K', 3, 1, 'B');
  await store('K', 3, 2, 'C');
  t.false(contents.has('K', 2));
  tell('K', 2);
  t.true(contents.isComplete('K'));
  t.deepEqual([read('K', 0), read('K', 1), read('K', 2)], ['A', 'B', 'C']);
});

test('a part that was completed before the thread opened it, and a content that was removed, are found out by looking', async (t) => {
  const {contents, store, tell, read} = await lab(t);
  await store('K', 2, 0, 'A');
  tell('K', 0);
  await store('K', 2, 1, 'B');
  t.is(read('K', 0), 'A');
  await store('M', 2, 0, 'M');
  tell('M', 0);
  await store('M', 2, 1, 'M');
  tell('M', 1);
  for (const piece of [0, 1, 2]) await store('L', 3, piece, 'x');
  t.false(contents.has('M', 0));
  t.false(contents.isComplete('M'));
});
