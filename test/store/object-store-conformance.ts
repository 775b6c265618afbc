/** What every object store must do; each implementation's test file runs it with a way to open an empty store. */
import {createHash} from 'node:crypto';
import type {ExecutionContext} from 'ava';
import {type ObjectStore, ObjectStoreError} from '../../src/store/object-store.ts';

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ObjectStore;
}

async function* pieces(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    await Promise.resolve();
    yield Buffer.from(part);
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ObjectStoreError) return error.code;
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return 'no error';
}

/** `test`, or `test.skip`. */
type Declare = (title: string, implementation: (t: ExecutionContext) => Promise<void>) => void;

export function objectStoreConformance(test: Declare, kind: string, open: () => Promise<StoreUnderTest>): void {
  test(`${kind}: put() then get() gives the same bytes, also of none`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    t.is(await store.put('apps/a/x', Buffer.from('hello')), 5);
    t.is(await store.put('apps/a/empty', new Uint8Array(0)), 0);
    t.is((await store.get('apps/a/x')).toString(), 'hello');
    t.is((await store.get('apps/a/empty')).length, 0);
    t.is(await store.size('apps/a/x'), 5);
  });

  test(`${kind}: get() of a range gives its bytes also when it is told where they may be put`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    const object = Buffer.from(Array.from({length: 100_000}, (_, at) => at % 251));
    await store.put('apps/a/x', object);
    const memory = Buffer.alloc(70_000, 255);
    const range = {position: 20_000, length: 50_000};
    const given = await store.get('apps/a/x', range, memory.subarray(10_000, 60_000));
    t.true(given.equals(object.subarray(20_000, 70_000)));
    t.true(memory.subarray(0, 10_000).every((byte) => byte === 255) && memory.subarray(60_000).every((byte) => byte === 255));
  });

  test(`${kind}: put() of a stream keeps pieces in order, put() again replaces`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    t.is(await store.put('k', pieces('ab', '', 'cde')), 5);
    t.is((await store.get('k')).toString(), 'abcde');
    await store.put('k', Buffer.from('new'));
    t.is((await store.get('k')).toString(), 'new');
  });

  test(`${kind}: put() ifAbsent refuses an existing object and keeps it`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    await store.put('k', Buffer.from('first'), {ifAbsent: true});
    t.is(await codeOf(store.put('k', Buffer.from('second'), {ifAbsent: true})), 'ERR_OBJECT_EXISTS');
    t.is((await store.get('k')).toString(), 'first');
  });

  test(`${kind}: put() ifAbsent lets exactly one of ten writers win`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    const results = await Promise.all(Array.from({length: 10}, async (_, at) => codeOf(store.put('k', pieces(`writer ${at}`), {ifAbsent: true}))));
    t.is(results.filter((result) => result === 'no error').length, 1);
    t.is(results.filter((result) => result === 'ERR_OBJECT_EXISTS').length, 9);
    t.is((await store.get('k')).toString(), `writer ${results.indexOf('no error')}`);
  });

  test(`${kind}: a body that fails leaves the old object and nothing new`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    await store.put('k', Buffer.from('old'));
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield* pieces('half');
      throw new Error('no more');
    }
    t.is(await codeOf(store.put('k', broken())), 'Error: no more');
    t.is(await codeOf(store.put('k2', broken())), 'Error: no more');
    t.is((await store.get('k')).toString(), 'old');
    t.deepEqual(await store.list(''), [{key: 'k', sizeBytes: 3}]);
  });

  test(`${kind}: an aborted put() leaves nothing`, async (t) => {
    await using opened = await open();
    const abort = new AbortController();
    async function* aborting(): AsyncGenerator<Uint8Array> {
      yield* pieces('one');
      abort.abort();
      yield* pieces('two');
    }
    t.regex(await codeOf(opened.store.put('k', aborting(), {signal: abort.signal})), /^AbortError/);
    t.deepEqual(await opened.store.list(''), []);
  });

  test(`${kind}: get() of a range gives exactly it, or says that the object ends`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    await store.put('k', Buffer.from('0123456789'));
    t.is((await store.get('k', {position: 3, length: 4})).toString(), '3456');
    t.is((await store.get('k', {position: 10, length: 0})).length, 0);
    t.is(await codeOf(store.get('k', {position: 8, length: 4})), 'ERR_OBJECT_TRUNCATED');
  });

  test(`${kind}: what does not exist is named as such`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    t.is(await codeOf(store.get('a/b')), 'ERR_NO_OBJECT');
    t.is(await codeOf(store.size('a/b')), 'ERR_NO_OBJECT');
    t.is(await store.localFile('a/b'), undefined);
    t.is(await codeOf(store.delete('a/b')), 'no error');
    t.deepEqual(await store.list('a/'), []);
  });

  test(`${kind}: list() is ordered and matches prefixes inside a name`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    for (const key of ['apps/b/2', 'apps/a/10', 'apps/a/1', 'apps/ab/1', 'other']) await store.put(key, Buffer.from(key));
    const keys = async (prefix: string): Promise<readonly string[]> => (await store.list(prefix)).map((object) => object.key);
    t.deepEqual(await keys('apps/a/'), ['apps/a/1', 'apps/a/10']);
    t.deepEqual(await keys('apps/a'), ['apps/a/1', 'apps/a/10', 'apps/ab/1']);
    t.deepEqual(await keys('apps/a/1'), ['apps/a/1', 'apps/a/10']);
    t.is((await keys('')).length, 5);
  });

  test(`${kind}: delete() removes one object`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    await store.put('a/x', Buffer.from('1'));
    await store.put('a/y', Buffer.from('2'));
    await store.delete('a/x');
    t.deepEqual(await store.list('a/'), [{key: 'a/y', sizeBytes: 1}]);
  });

  test(`${kind}: keys that could leave the store are refused`, async (t) => {
    await using opened = await open();
    for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/..', 'a/./b', '.incoming/x', 'a\0b', 'a b', 'x'.repeat(600)]) {
      t.is(await codeOf(opened.store.put(key, Buffer.from('x'))), 'ERR_BAD_OBJECT_KEY', JSON.stringify(key));
    }
  });

  test(`${kind}: an object of 20 MiB in pieces of uneven size comes back whole`, async (t) => {
    await using opened = await open();
    const {store} = opened;
    const written = createHash('sha256');
    async function* body(): AsyncGenerator<Uint8Array> {
      let left = 20 * 1024 * 1024;
      for (let size = 1; left > 0; size = (size * 7) % 999_983) {
        const piece = Buffer.alloc(Math.min(left, size), size);
        written.update(piece);
        left -= piece.length;
        await Promise.resolve();
        yield piece;
      }
    }
    t.is(await store.put('big', body()), 20 * 1024 * 1024);
    const read = createHash('sha256').update(await store.get('big'));
    t.is(read.digest('hex'), written.digest('hex'));
  });
}
