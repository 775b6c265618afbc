import {join} from 'node:path';
import {faultLab, killPager} from './fault-lab.ts';
import {criuTest, Sleeper} from './sleeper.ts';

const megabytes = 32;

criuTest('a process restored by CRIU has every byte, over forks, deltas and a kill -9 of the pager', async (t) => {
  await using lab = await faultLab();
  await using sleeper = await Sleeper.start(join(lab.runtimeDir, 'sleeper'), 'sleeping-memory.py', megabytes);
  const first = await sleeper.sleep(t, lab, {token: 1, instance: null});
  t.true(first.bytesWritten > megabytes << 20);
  const one = await sleeper.wake(t, lab, {token: 2, generation: first.generation, prefetch: 'off'});
  t.is(await sleeper.ask('check 4'), 'good');
  const before = await lab.pager.stats(one);
  const touched = before.faults + before.brought;
  t.true(touched >= 1024);

  const second = await sleeper.sleep(t, lab, {token: 2, instance: one});
  t.true(second.bytesWritten < 2 << 20, `${second.bytesWritten} bytes for a process that only read`);
  const two = await sleeper.wake(t, lab, {token: 3, generation: second.generation, prefetch: 'last'});
  t.is(await sleeper.ask('check 4'), 'good');
  const stats = await lab.pager.stats(two);
  t.true(stats.prefetched >= 0.95 * touched && stats.faults < 0.05 * touched, `${stats.prefetched} installed, ${stats.faults} faults`);
  t.is(await sleeper.ask('fork'), 'forked');

  const third = await sleeper.sleep(t, lab, {token: 3, instance: two});
  await sleeper.wake(t, lab, {token: 4, generation: third.generation, prefetch: 'last'});
  await killPager(lab);
  // Parent or child, whoever is first.
  for (let n = 0; n < 6; n++) t.is(await sleeper.ask(`check ${megabytes}`), 'good');
  t.deepEqual(lab.lost, []);
});

criuTest('threads that drop, move, resize, unmap and fork under load find every byte, over sleeps and a kill -9 of the pager', async (t) => {
  t.timeout(90_000);
  await using lab = await faultLab();
  await using sleeper = await Sleeper.start(join(lab.runtimeDir, 'churner'), 'churning-memory.py', 4);
  let slept = await sleeper.sleep(t, lab, {token: 1, instance: null});
  for (let round = 2; round <= 5; round++) {
    const prefetch = round % 2 === 0 ? 'off' : 'last';
    const instance = await sleeper.wake(t, lab, {token: round, generation: slept.generation, prefetch});
    const until = performance.now() + 500;
    while (performance.now() < until) t.regex(await sleeper.ask('check'), /^good/);
    if (round === 3) await killPager(lab);
    t.deepEqual(lab.lost, []);
    t.regex(await sleeper.ask('check'), /^good/);
    slept = await sleeper.sleep(t, lab, {token: round, instance});
  }
  t.deepEqual(lab.lost, []);
});
