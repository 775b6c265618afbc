import test from 'ava';
import {fencingToken, generation} from '../../src/core/ids.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {Uploads} from '../../src/pager/remote/uploads.ts';
import {until} from '../helpers/until.ts';
import {app, heapPages, heapProcess, samePages} from './checkpoint-bench.ts';
import {bench, log, newest, remoteKeys, restoredFully} from './uploading-workers.ts';

test('a generation is uploaded with its manifest last, and is complete for another worker', async (t) => {
  await using b = await bench();
  const first = await b.worker('a');
  await first.commit([heapProcess(heapPages(500))]);
  t.deepEqual(await remoteKeys(b), []);
  await first.uploads.finish(app);
  const puts = b.remote.requests.filter((request) => request.startsWith('put ')).map((request) => request.slice('put apps/shop/'.length));
  t.deepEqual(puts, ['images/00000001-1', 'segments/00000001', 'cold/00000001-1', 'manifests/00000001.json']);
  t.deepEqual(first.events, ['stored']);
  t.like(await first.uploads.progress(app), {pendingObjects: 0, pendingBytes: 0, lastError: null});
  const second = await b.worker('b');
  t.true(samePages(await restoredFully(second, await newest(t, second)), heapPages(500)));
});

/** Eager images need local files. */

test('an unreachable store delays uploads and loses nothing; commits go on', async (t) => {
  await using b = await bench();
  const worker = await b.worker('a');
  await worker.commit([heapProcess(heapPages(100))]);
  b.remote.fails = () => true;
  worker.uploads.kick(app);
  await until(() => worker.events.includes('store-unreachable'));
  await t.throwsAsync(worker.uploads.finish(app), {code: 'ERR_NOT_STORED'});
  await worker.commit([heapProcess(heapPages(100, 7))], {parent: await newest(t, worker)});
  t.regex((await worker.uploads.progress(app)).lastError ?? '', /connection was reset/);
  b.remote.fails = () => false;
  await until(async () => (await worker.uploads.progress(app)).pendingObjects === 0);
  t.deepEqual(worker.events, ['store-unreachable', 'store-unreachable', 'stored', 'stored']);
  t.is((await remoteKeys(b)).filter((key) => key.startsWith('manifests/')).length, 2);
  t.deepEqual(
    (await remoteKeys(b)).filter((key) => key.startsWith('cold/')),
    ['cold/00000002-1'],
  );
});

test('what is asked for at the moment at which an upload ends is not forgotten', async (t) => {
  await using b = await bench();
  const worker = await b.worker('a');
  const {objects} = worker;
  await worker.commit([heapProcess(heapPages(10))]);
  // The upload under way leaves the generation alone, and ends before anybody looks again.
  const onChange = (): void => queueMicrotask(() => uploads.release(app, 'uncertain'));
  await using uploads: Uploads = new Uploads({objects, log, cold: null, onChange, onEvent: () => undefined});
  uploads.hold(app, 'uncertain');
  uploads.kick(app);
  await until(async () => (await uploads.progress(app)).pendingObjects === 0);
  t.true((await remoteKeys(b)).includes('manifests/00000001.json'));
});

test('what is held back is not uploaded before every reason is gone, and who waits for it is told', async (t) => {
  await using b = await bench();
  const worker = await b.worker('a');
  await worker.commit([heapProcess(heapPages(10))]);
  // A copy of the first, as far as uploads are concerned.
  worker.uploads.hold(app, 'copy', 1);
  await worker.commit([heapProcess(heapPages(10))]);
  await t.throwsAsync(worker.uploads.finish(app), {code: 'ERR_NOT_STORED'});
  const stored = async (): Promise<number> => (await openCheckpointStore({objects: b.behind}).generations(app)).at(-1) ?? 0;
  await until(async () => (await stored()) === 1, {what: 'the upload of the original'});
  worker.uploads.hold(app, 'uncertain');
  worker.uploads.release(app, 'copy');
  worker.uploads.kick(app);
  await t.throwsAsync(worker.uploads.finish(app), {code: 'ERR_NOT_STORED'});
  t.is(await stored(), 1);
  worker.uploads.release(app, 'uncertain');
  await worker.uploads.finish(app);
  t.is(await stored(), 2);
});

test('of two workers that wrote one generation the newer token wins, whoever uploads first; the other is set aside', async (t) => {
  for (const olderFirst of [true, false]) {
    await using b = await bench();
    const base = await b.worker('base');
    await base.commit([heapProcess(heapPages(50))]);
    await base.uploads.finish(app);
    const [older, newer] = [await b.worker('older'), await b.worker('newer')];
    await older.commit([heapProcess(heapPages(50, 1000))], {token: 2});
    await newer.commit([heapProcess(heapPages(50, 2000))], {token: 3});
    for (const worker of olderFirst ? [older, newer] : [newer, older]) {
      worker.uploads.kick(app);
      await until(async () => (await worker.uploads.progress(app)).pendingObjects === 0, {what: 'the end of the upload'});
    }
    const third = await b.worker('third');
    const checkpoint = await newest(t, third);
    t.is(checkpoint.token, fencingToken(3));
    t.true(samePages(await restoredFully(third, checkpoint), heapPages(50, 2000)));
    const aside = (await (olderFirst ? b.behind : older.objects).list(keysOf(app).aside)).map(({key}) => key);
    t.true(aside.length > 0);
    t.is(older.events.includes('overruled'), !olderFirst);
    if (!olderFirst) t.is((await newest(t, older)).token, fencingToken(3));
  }
});

test('prune() keeps the newest stored generation until a newer one is stored', async (t) => {
  await using b = await bench();
  const worker = await b.worker('a');
  await worker.commit([heapProcess(heapPages(50))]);
  await worker.uploads.finish(app);
  b.remote.fails = (method) => method === 'put';
  for (let number = 2; number <= 4; number++) await worker.commit([heapProcess(heapPages(50, number * 100))], {parent: await newest(t, worker)});
  await worker.store.prune(app, 2);
  t.deepEqual(await worker.store.generations(app), [1, 3, 4].map(generation));
  b.remote.fails = () => false;
  await worker.uploads.finish(app);
  await worker.store.prune(app, 2);
  t.deepEqual(
    (await remoteKeys(b)).filter((key) => key.startsWith('manifests/')),
    ['manifests/00000003.json', 'manifests/00000004.json'],
  );
  await worker.objects.dropLocal('apps/shop/');
  t.true(samePages(await restoredFully(worker, await newest(t, worker)), heapPages(50, 400)));
});

test('sweep() of one worker leaves alone what another one is uploading', async (t) => {
  await using b = await bench();
  const [first, second] = [await b.worker('a'), await b.worker('b')];
  await first.commit([heapProcess(heapPages(50))]);
  await first.uploads.finish(app);
  await first.commit([heapProcess(heapPages(50, 500))], {parent: await newest(t, first)});
  b.remote.fails = (method, key) => method === 'put' && key.includes('/manifests/');
  await t.throwsAsync(first.uploads.finish(app));
  await second.store.sweep(app);
  b.remote.fails = () => false;
  await first.uploads.finish(app);
  const third = await b.worker('c');
  t.true(samePages(await restoredFully(third, await newest(t, third)), heapPages(50, 500)));
});
