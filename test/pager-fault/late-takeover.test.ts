/** The pager is killed while the store cannot be read: instances wait for it and are not lost. */
import {mkdir, rename, rmdir} from 'node:fs/promises';
import {join} from 'node:path';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {app as appOfLab, crcOf, type FaultLab, faultLab, first, killPager} from './fault-lab.ts';

const crcs = (page: number, count: number): number[] => Array.from({length: count}, (_, n) => crcOf(page + n));
const zeros = (count: number): number[] => Array.from({length: count}, () => 0);

/** EISDIR says nothing about the checkpoint. @returns what makes it readable again */
async function storeAway({storeDir}: FaultLab): Promise<() => Promise<void>> {
  const path = join(storeDir, 'apps', appOfLab, 'manifests', '00000001.json');
  await rename(path, `${path}.aside`);
  await mkdir(path);
  return async () => {
    await rmdir(path);
    await rename(`${path}.aside`, path);
  };
}

rootTest('a pager that is killed while the store cannot be read: faults wait, and are served when it can', async (t) => {
  await using lab = await faultLab();
  const generation = await lab.generation(256);
  const {instance, app} = await lab.wake({generation, count: 256});
  t.deepEqual(await app.ask(['read', first, 16]), crcs(first, 16));
  await app.ask(['dontneed', first + 8, 16]);
  const back = await storeAway(lab);
  await killPager(lab);
  app.send(['read', first, 256]);
  const answer = app.answer();
  await t.throwsAsync(lab.pager.stats(instance), {code: 'ERR_NOT_TAKEN_OVER'});
  // The one after that has to wait, too.
  await killPager(lab);
  await back();
  t.deepEqual(await answer, [...crcs(first, 8), ...zeros(16), ...crcs(first + 24, 232)]);
  t.false((await lab.pager.stats(instance)).complete);
  t.deepEqual(lab.lost, []);
  await killPager(lab);
  t.deepEqual(await app.ask(['read', first, 8]), crcs(first, 8));
  await app[Symbol.asyncDispose]();
  await lab.pager.release(instance);
  t.deepEqual(lab.lost, []);
});

rootTest('what a killed pager had read is kept until the instance is taken over, also by the one after that', async (t) => {
  await using armed = await armFaultPoint('pager:events:read', 5);
  await using lab = await faultLab();
  const generation = await lab.generation(512);
  const one = await lab.wake({generation, count: 512});
  t.deepEqual(await one.app.ask(['read', first, 16]), crcs(first, 16));
  const back = await storeAway(lab);
  for (let n = 0; n < 16; n++) one.app.send(['dontneed', first + 16 + n * 16, 8]);
  const answers = Array.from({length: 16}, async () => one.app.answer());
  await until(() => armed.hasKilled() && lab.restarts() === 1, {what: 'another pager'});
  await killPager(lab);
  await back();
  t.deepEqual(await Promise.all(answers), zeros(16));
  const kept = Array.from({length: 512}, (_, n) => (n >= 16 && n < 272 && n % 16 < 8 ? 0 : crcOf(first + n)));
  t.deepEqual(await one.app.ask(['read', first, 512]), kept);
  t.deepEqual(lab.lost, []);
});

rootTest('an instance that waits for its checkpoint is lost when that turns out to be gone, and can be released', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(16), count: 16});
  await storeAway(lab);
  await killPager(lab);
  await rmdir(join(lab.storeDir, 'apps', appOfLab, 'manifests', '00000001.json'));
  await until(() => lab.lost.length > 0, {what: 'the report'});
  t.like(lab.lost[0], {instance});
  await app[Symbol.asyncDispose]();
  await lab.pager.release(instance);
});
