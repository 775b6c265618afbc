import {open, readFile, rm, stat} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {pino} from 'pino';
import {type CachedStore, openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {type UnreliableStore, unreliableStore} from '../helpers/unreliable-store.ts';
import {until} from '../helpers/until.ts';
import {objectStoreConformance} from './object-store-conformance.ts';

const log = pino({level: 'silent'});
const chunk = 128 * 1024;

interface Setup extends AsyncDisposable {
  readonly path: string;
  /** What is really in the remote store. */
  readonly behind: ObjectStore;
  readonly remote: UnreliableStore;
  readonly store: CachedStore;
  readonly inUse: Set<string>;
  /** As after a crash: nothing is closed. */
  again(): Promise<CachedStore>;
}

async function setup(cacheBytes = 1024 ** 3, cacheRoot?: string): Promise<Setup> {
  const scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const behind = await openDirectoryStore(join(path, 'remote'));
  const remote = unreliableStore(behind);
  const inUse = new Set<string>();
  const directories = {pendingDir: join(cacheRoot ?? path, 'pending'), cacheDir: join(cacheRoot ?? path, 'cache')};
  const again = async (): Promise<CachedStore> => scope.use(await openCachedStore({remote, ...directories, cacheBytes, log, inUse: () => inUse}));
  const store = await again();
  return {path, behind, remote, store, inUse, again, [Symbol.asyncDispose]: () => scope.disposeAsync()};
}

function bytes(length: number, seed = 1): Buffer {
  const data = Buffer.alloc(length);
  for (let at = 0, state = seed; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    data.writeUInt32LE(state, at);
  }
  return data;
}

/** `deepEqual` takes its time with large ones. */
function same(t: ExecutionContext, found: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  t.is(Buffer.compare(found, expected), 0, what);
}

const gets = (remote: UnreliableStore): number => remote.requests.filter((request) => request.startsWith('get ')).length;

objectStoreConformance(test, 'cached', setup);

test('put() is durable without the remote store, upload() brings it there and keeps the copy', async (t) => {
  await using s = await setup();
  const data = bytes(3 * chunk + 5);
  await s.store.list('apps/a/');
  s.remote.fails = () => true;
  await s.store.put('apps/a/x', data, {ifAbsent: true});
  same(t, await s.store.get('apps/a/x'), data);
  await t.throwsAsync(s.store.upload('apps/a/x', {ifAbsent: true}), {code: 'ERR_STORE_FAILED'});
  t.true(await s.store.isPending('apps/a/x'));
  s.remote.fails = () => false;
  await s.store.upload('apps/a/x', {ifAbsent: true});
  same(t, await s.behind.get('apps/a/x'), data);
  t.false(await s.store.isPending('apps/a/x'));
  t.true(await s.store.isStored('apps/a/x'));
  t.is(await s.store.localBytes('apps/a/x'), data.length);
  const before = gets(s.remote);
  same(t, await s.store.get('apps/a/x'), data);
  t.is(gets(s.remote), before);
});

test('what was not uploaded is found again after a crash, also one whose upload was answered by nobody', async (t) => {
  await using s = await setup();
  await s.store.put('apps/a/x', bytes(100));
  await s.store.put('apps/a/y', bytes(200));
  // The object arrives, its answer does not.
  s.remote.fails = (method, key) => method === 'size' && key === 'apps/a/x';
  await t.throwsAsync(s.store.upload('apps/a/x', {ifAbsent: true}));
  s.remote.fails = () => false;
  const store = await s.again();
  t.deepEqual(await store.pendingObjects('apps/'), [
    {key: 'apps/a/x', sizeBytes: 100},
    {key: 'apps/a/y', sizeBytes: 200},
  ]);
  for (const key of ['apps/a/x', 'apps/a/y']) await store.upload(key, {ifAbsent: true});
  t.deepEqual(await store.pendingObjects('apps/'), []);
  t.is((await s.behind.list('')).length, 2);
});

test('upload() refuses to replace what another worker has stored', async (t) => {
  await using s = await setup();
  await s.store.put('apps/a/x', bytes(100, 1));
  await s.behind.put('apps/a/x', bytes(100, 2));
  await t.throwsAsync(s.store.upload('apps/a/x', {ifAbsent: true}), {code: 'ERR_UPLOAD_CONFLICT'});
  t.deepEqual(await s.behind.get('apps/a/x'), bytes(100, 2));
  t.true(await s.store.isPending('apps/a/x'));
});

test('an object that is replaced during its upload stays pending in its new form', async (t) => {
  await using s = await setup();
  await s.store.put('apps/a/predicted', bytes(100, 1));
  s.remote.delayMs = 30;
  const uploading = s.store.upload('apps/a/predicted', {ifAbsent: false});
  const replacing = s.store.put('apps/a/predicted', bytes(100, 2));
  await Promise.all([uploading, replacing]);
  t.deepEqual(await s.store.get('apps/a/predicted'), bytes(100, 2));
  t.true(await s.store.isPending('apps/a/predicted'));
  await s.store.upload('apps/a/predicted', {ifAbsent: false});
  t.deepEqual(await s.behind.get('apps/a/predicted'), bytes(100, 2));
});

test('ensureLocal() fetches each chunk once for all who want it, and presence follows the bytes', async (t) => {
  await using s = await setup();
  const data = bytes(20 * chunk + 77);
  await s.behind.put('apps/a/x', data);
  s.remote.delayMs = 10;
  const copy = await s.store.openLocal('apps/a/x');
  const present = (): number[] => [...new Uint8Array(copy.presence?.map ?? new SharedArrayBuffer(0))];
  t.deepEqual(
    present(),
    Array.from({length: 21}, () => 0),
  );
  await Promise.all(Array.from({length: 30}, async (_, at) => s.store.ensureLocal('apps/a/x', {position: 2 * chunk + 1 + at, length: chunk})));
  t.deepEqual(present().slice(0, 5), [0, 0, 1, 1, 0]);
  t.is(gets(s.remote), 1);
  await using file = await open(copy.path, 'r');
  const read = Buffer.alloc(2 * chunk);
  await file.read(read, 0, read.length, 2 * chunk);
  same(t, read, data.subarray(2 * chunk, 4 * chunk));
  t.is(await s.store.localFile('apps/a/x'), undefined);
  await s.store.ensureLocal('apps/a/x');
  t.true(present().every((byte) => byte === 1));
  same(t, await readFile((await s.store.localFile('apps/a/x')) ?? t.fail()), data);
  same(t, await readFile(join(s.path, 'cache/apps/a/x')), data);
});

test('a small object is fetched once for all who want it at the same time', async (t) => {
  await using s = await setup();
  const data = bytes(1000);
  await s.behind.put('apps/a/x', data);
  await s.store.size('apps/a/x');
  s.remote.delayMs = 10;
  const parts = await Promise.all(Array.from({length: 10}, async (_, at) => s.store.get('apps/a/x', {position: at, length: 10})));
  for (const [at, part] of parts.entries()) same(t, part, data.subarray(at, at + 10));
  t.is(gets(s.remote), 1);
});

test('a fetch that fails is told to all who wait, and may be repeated', async (t) => {
  await using s = await setup();
  await s.behind.put('apps/a/x', bytes(4 * chunk));
  await s.store.openLocal('apps/a/x');
  s.remote.fails = (method) => method === 'get';
  const results = await Promise.allSettled([1, 2].map(async () => s.store.ensureLocal('apps/a/x', {position: 0, length: 10})));
  t.true(results.every(({status}) => status === 'rejected'));
  s.remote.fails = () => false;
  same(t, await s.store.get('apps/a/x', {position: 3, length: 9}), bytes(4 * chunk).subarray(3, 12));
});

test('the cache may be emptied while it is used: open copies are read on, others are fetched again', async (t) => {
  await using s = await setup();
  const data = bytes(6 * chunk);
  for (const key of ['apps/a/open', 'apps/a/partial', 'apps/a/closed']) await s.behind.put(key, data);
  await s.store.ensureLocal('apps/a/open');
  await s.store.ensureLocal('apps/a/closed');
  await s.store.ensureLocal('apps/a/partial', {position: 0, length: chunk});
  const [whole, half] = [await s.store.openLocal('apps/a/open'), await s.store.openLocal('apps/a/partial')];
  await s.store.put('apps/a/pending', data);
  await rm(join(s.path, 'cache'), {recursive: true});
  same(t, await readFile(whole.path), data);
  await s.store.ensureLocal('apps/a/partial');
  same(t, await readFile(half.path), data);
  for (const key of ['apps/a/open', 'apps/a/partial', 'apps/a/closed', 'apps/a/pending']) same(t, await s.store.get(key), data, key);
  await s.behind.put('apps/a/later', data);
  await s.store.ensureLocal('apps/a/later');
  same(t, await s.store.get('apps/a/later'), data);
});

test('partial copies are forgotten at the next start, complete ones are not', async (t) => {
  await using s = await setup();
  for (const key of ['apps/a/half', 'apps/a/whole']) await s.behind.put(key, bytes(4 * chunk));
  await s.store.ensureLocal('apps/a/half', {position: 0, length: 1});
  await s.store.ensureLocal('apps/a/whole');
  const store = await s.again();
  t.is(await store.localBytes('apps/a/half'), 0);
  t.is(await store.localBytes('apps/a/whole'), 4 * chunk);
});

test('delete() removes from both, and from the remote store first', async (t) => {
  await using s = await setup();
  await s.store.put('apps/a/x', bytes(100));
  await s.store.upload('apps/a/x', {ifAbsent: true});
  s.remote.fails = (method) => method === 'delete';
  await t.throwsAsync(s.store.delete('apps/a/x'));
  t.deepEqual(await s.store.get('apps/a/x'), bytes(100));
  s.remote.fails = () => false;
  await s.store.delete('apps/a/x');
  t.deepEqual(await s.behind.list(''), []);
  await t.throwsAsync(s.store.get('apps/a/x'), {code: 'ERR_NO_OBJECT'});
});

test('list() asks the remote store once, and again after refresh()', async (t) => {
  await using s = await setup();
  await s.store.list('apps/a/');
  await s.behind.put('apps/a/other', bytes(1));
  await s.store.put('apps/a/own', bytes(1));
  t.deepEqual(
    (await s.store.list('apps/a/o')).map(({key}) => key),
    ['apps/a/own'],
  );
  s.store.refresh('apps/a/');
  t.deepEqual(
    (await s.store.list('apps/a/o')).map(({key}) => key),
    ['apps/a/other', 'apps/a/own'],
  );
  await s.store.put('apps/a/own2', bytes(1));
  s.remote.fails = () => true;
  t.is((await s.store.list('apps/a/')).length, 3);
  await t.throwsAsync(s.store.list('apps/b/'), {code: 'ERR_STORE_FAILED'});
});

rootTest('a disk that is full of copies has room: what is pending and in use stays', async (t) => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'small');
  await using _mounted = await tinyFileSystem(root, 4 * 1024 * 1024);
  await using s = await setup(1024 ** 3, root);
  const data = bytes(8 * chunk);
  for (const key of ['apps/a/1', 'apps/a/2', 'apps/a/3']) {
    await s.behind.put(key, data);
    await s.store.ensureLocal(key);
  }
  s.inUse.add('apps/a/3');
  const used = await s.store.openLocal('apps/a/3');
  // Copies are spared for some seconds after their last use.
  const soon = Date.now;
  t.teardown(() => {
    Date.now = soon;
  });
  Date.now = () => soon() + 60_000;
  async function* body(): AsyncGenerator<Uint8Array, undefined> {
    for (let at = 0; at < 16; at++) {
      await Promise.resolve();
      yield data.subarray(at * (chunk / 2), (at + 1) * (chunk / 2));
    }
    yield data;
    return undefined;
  }
  t.is(await s.store.put('apps/a/new', body()), 2 * data.length);
  same(t, await readFile(used.path), data);
  t.is(await s.store.localBytes('apps/a/1'), 0);
  await t.throwsAsync(s.store.put('apps/a/more', bytes(5 * 1024 * 1024)), {code: 'ERR_STORE_FULL'});
  same(t, (await s.store.get('apps/a/new')).subarray(data.length), data);
});

test('under load with a cache too small for it every read is right and the limit is kept', async (t) => {
  await using s = await setup(10 * chunk);
  const keys = Array.from({length: 12}, (_, at) => `apps/a/${at}`);
  for (const [at, key] of keys.entries()) await s.behind.put(key, bytes(4 * chunk, at));
  let now = Date.now();
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  Date.now = () => (now += 2000);
  let state = 7;
  for (let round = 0; round < 150; round++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const at = state % keys.length;
    const position = state % (3 * chunk);
    same(t, await s.store.get(keys[at] ?? '', {position, length: 1000}), bytes(4 * chunk, at).subarray(position, position + 1000));
  }
  await until(async () => {
    let used = 0;
    for (const key of keys) used += await s.store.localBytes(key);
    return used <= 24 * chunk;
  });
  t.true((await stat(join(s.path, 'cache'))).isDirectory());
});

test('openLocal() and ensureLocal() of one object at once share its first copy', async (t) => {
  await using s = await setup();
  const data = bytes(3 * chunk);
  await s.behind.put('apps/a/x', data);
  const range = {position: 0, length: 10};
  const [first, second] = await Promise.all([
    s.store.openLocal('apps/a/x'),
    s.store.openLocal('apps/a/x'),
    s.store.localFile('apps/a/x'),
    s.store.ensureLocal('apps/a/x', range),
    s.store.ensureLocal('apps/a/x', range),
  ]);
  t.is(first.path, second.path);
  same(t, (await readFile(second.path)).subarray(0, chunk), data.subarray(0, chunk));
  t.is(gets(s.remote), 1);
});

test('dropLocal() asks before each copy whether it may go on', async (t) => {
  await using s = await setup();
  for (const key of ['apps/a/x', 'apps/a/y', 'apps/a/z']) {
    await s.behind.put(key, bytes(100));
    await s.store.get(key);
  }
  let left = 2;
  t.is(await s.store.dropLocal('apps/a/', () => left-- > 0), 200);
  t.is(await s.store.localBytes('apps/a/z'), 100);
  t.is(await s.store.dropLocal('apps/a/'), 100);
});
