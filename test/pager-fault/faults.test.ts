import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {crcOf, faultLab, first} from './fault-lab.ts';

const crcs = (page: number, count: number): number[] => Array.from({length: count}, (_, n) => crcOf(page + n));
const zeros = (count: number): number[] => Array.from({length: count}, () => 0);

rootTest('a fault brings the stored page, and zeros where nothing is stored', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(64), count: 128});
  t.deepEqual(await app.ask(['read', first, 128]), [...crcs(first, 64), ...zeros(64)]);
  const stats = await lab.pager.stats(instance);
  t.like(stats, {missing: 0, waiting: 0, complete: true});
  t.is(stats.faults + stats.brought, 64);
  t.true(stats.zeroFaults >= 2 && stats.zeroFaults <= 64);
  t.deepEqual(stats.touched[0]?.pages.slice(0, 3), [first, first + 1, first + 2]);
  await app[Symbol.asyncDispose]();
  await lab.pager.release(instance);
  await t.throwsAsync(lab.pager.stats(instance), {code: 'ERR_UNKNOWN_INSTANCE'});
});

rootTest('many threads that fault at once all read what is stored', async (t) => {
  await using lab = await faultLab();
  const {app} = await lab.wake({generation: await lab.generation(1024), count: 1024});
  const pages = Array.from({length: 1024}, (_, n) => first + ((n * 389) % 1024));
  t.deepEqual(await app.ask(['readThreads', pages, 8]), pages.map(crcOf));
});

rootTest('memory that was dropped reads as zeros, moved memory is found where it went', async (t) => {
  await using lab = await faultLab();
  const {app} = await lab.wake({generation: await lab.generation(256), count: 256});
  t.deepEqual(await app.ask(['read', first, 8]), crcs(first, 8));
  // Some of the dropped pages were installed, some never.
  t.is(await app.ask(['dontneed', first + 4, 8]), 0);
  t.deepEqual(await app.ask(['read', first, 16]), [...crcs(first, 4), ...zeros(8), ...crcs(first + 12, 4)]);
  const away = first + 0x10000;
  t.true(await app.ask(['remap', first + 64, 64, away]));
  t.deepEqual(await app.ask(['read', away, 64]), crcs(first + 64, 64));
  t.is(await app.ask(['unmap', first + 128, 32]), 0);
  t.true(await app.ask(['remap', first + 160, 32, first + 128]));
  t.deepEqual(await app.ask(['read', first + 128, 32]), crcs(first + 160, 32));
});

rootTest('the child of a fork misses what its parent missed, and is on its own then', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(64), count: 64});
  t.deepEqual(await app.ask(['read', first, 8]), crcs(first, 8));
  const grandchild = ['fork', [['read', first + 16, 4]]] as const;
  const answers = await app.ask(['fork', [['read', first, 16], ['dontneed', first + 20, 4], ['read', first + 20, 4], ['write', first + 30, 1], grandchild]]);
  t.deepEqual(answers, [crcs(first, 16), 0, zeros(4), true, [crcs(first + 16, 4)]]);
  t.deepEqual(await app.ask(['read', first, 64]), crcs(first, 64));
  // What the children touched is theirs.
  t.is((await lab.pager.stats(instance)).touched.length, 1);
});

rootTest('a forking server leaves no descriptors behind', async (t) => {
  await using lab = await faultLab();
  const {app} = await lab.wake({generation: await lab.generation(16), count: 16});
  for (let n = 0; n < 200; n++) t.deepEqual(await app.ask(['fork', [['read', first + 3, 1]]]), [[crcOf(first + 3)]]);
  const {readdir} = await import('node:fs/promises');
  await until(async () => (await readdir(`/proc/${lab.pager.pid}/fd`)).length < 60, {timeoutMs: 15_000, what: 'descriptors to be closed'});
  t.deepEqual(await app.ask(['read', first, 16]), crcs(first, 16));
});

rootTest('the predicted set is installed before it is touched', async (t) => {
  await using lab = await faultLab();
  const generation = await lab.generation(2048);
  const one = await lab.wake({generation, count: 2048});
  t.deepEqual(await one.app.ask(['read', first, 1500]), crcs(first, 1500));
  await one.app[Symbol.asyncDispose]();
  await lab.pager.release(one.instance);
  const two = await lab.wake({generation, count: 2048, prefetch: 'last'});
  await until(async () => (await lab.pager.stats(two.instance)).prefetched >= 1500, {what: 'the predicted set'});
  t.deepEqual(await two.app.ask(['read', first, 2048]), crcs(first, 2048));
  const stats = await lab.pager.stats(two.instance);
  // And what was brought ahead of the last touch.
  t.true(stats.predictedPages >= 1500 && stats.predictedPages <= 1532, `${stats.predictedPages} pages`);
  t.is(stats.predictedPages + stats.faults + stats.brought, 2048);
});

rootTest('expect() installs the predicted set also when the restore was quicker', async (t) => {
  await using lab = await faultLab();
  const generation = await lab.generation(256);
  const one = await lab.wake({generation, count: 256});
  t.deepEqual(await one.app.ask(['read', first, 200]), crcs(first, 200));
  await one.app[Symbol.asyncDispose]();
  await lab.pager.release(one.instance);
  const two = await lab.wake({generation, count: 256, prefetch: 'last', expectLate: true});
  await until(async () => (await lab.pager.stats(two.instance)).prefetched >= 200, {what: 'the predicted set'});
  t.deepEqual(await two.app.ask(['read', first, 256]), crcs(first, 256));
  const {predictedPages, faults, brought, missing} = await lab.pager.stats(two.instance);
  t.is(predictedPages + faults + brought, 256);
  t.is(missing, 0);
});

rootTest('a second generation refers to pages that were never touched, also those of a forked child', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(64), count: 64});
  await app.ask(['read', first, 4]);
  await app.ask(['dontneed', first + 8, 8]);
  const child = await app.ask(['forkChild']);
  t.is(typeof child, 'number');
  await app.ask(['askChild', Number(child), ['dontneed', first + 32, 8]]);
  const pid = app.daemon.pid;
  const mappings = [{page: first, count: 64, lazy: true}];
  const next = await lab.commit(
    [
      {pid: 7, mappings, pages: new Map()},
      {pid: 9, mappings, pages: new Map()},
    ],
    instance,
    [
      {vpid: 7, pid},
      {vpid: 9, pid: Number(child)},
    ],
  );
  await app[Symbol.asyncDispose]();
  await lab.pager.release(instance);
  const again = await lab.wake({generation: next, count: 64});
  const all = crcs(first, 64);
  t.deepEqual(await again.app.ask(['read', first, 64]), [...all.slice(0, 8), ...zeros(8), ...all.slice(16)]);
  const stats = await lab.pager.stats(again.instance);
  t.is(stats.faults + stats.brought, 56);
});
