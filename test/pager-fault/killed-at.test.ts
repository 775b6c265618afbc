/** The pager killed at each named point: another one takes over and every page is right, or the instance is said to be lost and waits. */
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {instanceId, newInstanceName} from '../../src/core/ids.ts';
import {findKeepers} from '../../src/pager/faults/parking.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {app as appOfLab, crcOf, FaultingApp, faultLab, first} from './fault-lab.ts';

const crcs = (page: number, count: number): number[] => Array.from({length: count}, (_, n) => crcOf(page + n));
const zeros = (count: number): number[] => Array.from({length: count}, () => 0);

for (const [point, passing] of [
  ['pager:events:read', 30],
  ['pager:events:recorded', 30],
  ['pager:fault:before-copy', 200],
] as const) {
  rootTest(`killed at ${point} while threads fault, drop and fork: another pager goes on, every page is right`, async (t) => {
    await using armed = await armFaultPoint(point, passing);
    await using lab = await faultLab();
    const {app} = await lab.wake({generation: await lab.generation(1024), count: 1024});
    const pages = Array.from({length: 512}, (_, n) => first + ((n * 389) % 512));
    await app.ask(['readLater', pages, 8]);
    for (let n = 0; n < 32; n++) app.send(['dontneed', first + 512 + n * 16, 8]);
    for (let n = 0; n < 32; n++) t.is(await app.answer(), 0);
    const child = Number(await app.ask(['forkChild']));
    const kept = Array.from({length: 512}, (_, n) => (n % 16 < 8 ? 0 : crcOf(first + 512 + n)));
    t.deepEqual(await app.ask(['read', first + 512, 512]), kept);
    t.deepEqual(await app.ask(['askChild', child, ['read', first, 1024]]), [...crcs(first, 512), ...kept]);
    t.deepEqual(await app.ask(['laterResults']), [pages.map(crcOf)]);
    t.true(armed.hasKilled());
    await until(() => lab.restarts() === 1, {what: 'another pager'});
    t.deepEqual(lab.lost, []);
  });
}

rootTest('killed in the middle of a prefetch: what was not installed comes with its faults', async (t) => {
  await using armed = await armFaultPoint('pager:prefetch:before-copy', 3);
  await using lab = await faultLab();
  const generation = await lab.generation(2048);
  const one = await lab.wake({generation, count: 2048});
  t.deepEqual(await one.app.ask(['read', first, 1500]), crcs(first, 1500));
  await one.app[Symbol.asyncDispose]();
  await lab.pager.release(one.instance);
  const two = await lab.wake({generation, count: 2048, prefetch: 'last'});
  await until(() => armed.hasKilled(), {what: 'the prefetch'});
  t.deepEqual(await two.app.ask(['dontneed', first + 1000, 100]), 0);
  t.deepEqual(await two.app.ask(['read', first, 2048]), [...crcs(first, 1000), ...zeros(100), ...crcs(first + 1100, 948)]);
  t.deepEqual(lab.lost, []);
  t.like(await lab.pager.stats(two.instance), {waiting: 0, complete: false});
});

for (const point of ['pager:restore:process-received', 'pager:restore:process-parked', 'pager:restore:finished'] as const) {
  rootTest(`killed at ${point}: the instance is lost and said to be, or every page is right`, async (t) => {
    await using armed = await armFaultPoint(point);
    await using lab = await faultLab();
    const generation = await lab.generation(64);
    const instance = instanceId(appOfLab, newInstanceName(Date.now()));
    const workDir = join(lab.runtimeDir, 'work');
    await mkdir(workDir);
    await lab.pager.prepareRestore({instance, app: appOfLab, generation, mode: 'lazy', prefetch: 'off', workDir});
    await using app = await FaultingApp.start(workDir, 64);
    await until(() => armed.hasKilled() && lab.restarts() === 1, {what: 'another pager'});
    app.send(['read', first, 64]);
    const answer = app.answer();
    if (point === 'pager:restore:finished') {
      t.deepEqual(await answer, crcs(first, 64));
      t.deepEqual(lab.lost, []);
    } else {
      await until(() => lab.lost.length > 0, {what: 'the report'});
      const early = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'still waiting'))]);
      t.is(early, 'still waiting');
    }
    await app[Symbol.asyncDispose]();
    await lab.pager.release(instance);
    await until(() => findKeepers(lab.runtimeDir).length === 1, {what: 'only the spare keeper to be left'});
  });
}

rootTest('killed in the middle of a release: the next pager is asked again, and nothing stays', async (t) => {
  await using armed = await armFaultPoint('pager:release:before-forget');
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(64), count: 64});
  t.deepEqual(await app.ask(['read', first, 64]), crcs(first, 64));
  await app[Symbol.asyncDispose]();
  await t.throwsAsync(lab.pager.release(instance), {code: 'ERR_PAGER_DIED'});
  t.true(armed.hasKilled());
  await lab.pager.release(instance);
  await t.throwsAsync(lab.pager.stats(instance), {code: 'ERR_UNKNOWN_INSTANCE'});
  await until(() => findKeepers(lab.runtimeDir).length === 1, {what: 'only the spare keeper to be left'});
});

for (const point of ['pager:commit:before-segment', 'pager:commit:before-bundle', 'pager:commit:before-manifest', 'pager:commit:before-answer'] as const) {
  rootTest(`killed at ${point}: the process goes on with all its pages, and the generation counts as a whole or not at all`, async (t) => {
    await using armed = await armFaultPoint(point, 2);
    await using lab = await faultLab();
    const {instance, app} = await lab.wake({generation: await lab.generation(256), count: 256});
    t.deepEqual(await app.ask(['read', first, 100]), crcs(first, 100));
    await app.ask(['dontneed', first + 200, 20]);
    const processes = [{pid: 7, mappings: [{page: first, count: 256, lazy: true}], pages: new Map()}];
    const pids = [{vpid: 7, pid: app.daemon.pid}];
    await t.throwsAsync(lab.commit(processes, instance, pids), {code: 'ERR_PAGER_DIED'});
    t.true(armed.hasKilled());
    t.deepEqual(await lab.pager.generations(appOfLab), (point === 'pager:commit:before-answer' ? [1, 2] : [1]) as never);
    if (point === 'pager:commit:before-answer') await lab.pager.discard(appOfLab, 2 as never);
    t.deepEqual(await app.ask(['read', first, 256]), [...crcs(first, 200), ...zeros(20), ...crcs(first + 220, 36)]);
    const next = await lab.commit(processes, instance, pids);
    t.is(next, 2 as never);
    await app[Symbol.asyncDispose]();
    await lab.pager.release(instance);
    const again = await lab.wake({generation: next, count: 256});
    t.deepEqual(await again.app.ask(['read', first, 256]), [...crcs(first, 200), ...zeros(20), ...crcs(first + 220, 36)]);
    t.deepEqual(lab.lost, []);
  });
}
