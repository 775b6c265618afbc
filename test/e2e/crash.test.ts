/** kill -9 of the gateway at any moment: no checkpoint is lost, memory and files belong together, nothing is left behind. */
import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {durableGateway, verified} from '../helpers/durable-app.ts';
import {leftovers, type TestGateway} from '../helpers/gateway.ts';
import {killWithApp, pagerPid, redisPid, runs} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rounds} from '../helpers/rounds.ts';
import {until} from '../helpers/until.ts';

/** Ends everything that a gateway is made of but the apps, as nearly at one moment as can be. */
async function killAll(gateway: TestGateway): Promise<void> {
  const pids = [await pagerPid(gateway.stateDir), await redisPid(gateway.stateDir)];
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await gateway.stop('SIGKILL');
  await until(async () => !(await Promise.all(pids.map(runs))).includes(true), {what: 'the end of pager and redis'});
}

rootTest('an app that was killed with the gateway ahead of its checkpoint goes back to it, memory and files together', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  for (const count of ['1', '2', '3']) t.is(await ask(port, 'count'), count);
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '4');
  t.is(await ask(port, 'agree'), '4 4');
  await killWithApp(gateway, 'a');

  await gateway.start();
  t.like(await gateway.app('a'), {state: 'hibernated', residency: 'warm', generation: 1, worker: null});
  t.is(await ask(port, 'agree'), '3 3');
  t.is(await ask(port, 'verify'), verified);
  const layers = await readdir(join(gateway.stateDir, 'apps', 'a', 'layers'));
  t.is(layers.filter((layer) => layer.startsWith('lost-')).length, 1, 'what it wrote after the checkpoint is kept for a person');

  t.is(await ask(port, 'count'), '4');
  await gateway.hibernate('a');
  await killAll(gateway);
  await gateway.start();
  t.is((await gateway.app('a')).generation, 2);
  t.is(await ask(port, 'agree'), '4 4');
  await killAll(gateway);
  await gateway.cli('cleanup');
  t.deepEqual(await leftovers(gateway.stateDir), []);
});

rootTest('an app that was killed with the gateway and has no checkpoint starts again from the files it wrote', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  for (const count of ['1', '2']) t.is(await ask(port, 'count'), count);
  await killWithApp(gateway, 'a');
  await gateway.start();
  t.is((await gateway.app('a')).state, 'stopped');
  t.is(await ask(port, 'agree'), '0 2');
});

/** Asks for a count again and again, with pauses in which the app goes to sleep, until `stopped`. @returns how many were asked for */
async function clientUntil(stopped: () => boolean, port: number): Promise<number> {
  let asked = 0;
  while (!stopped()) {
    asked += 1;
    // The gateway is killed under it: a connection that breaks is expected.
    await ask(port, 'count').catch(() => '');
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 250));
  }
  return asked;
}

for (const [who, kill, times] of [
  ['the gateway', (gateway: TestGateway) => gateway.stop('SIGKILL'), rounds(3)],
  ['gateway, pager and redis', killAll, rounds(2)],
] as const) {
  rootTest(`${who} killed at random moments of wake and hibernation: the last checkpoint is what the app continues from`, async (t) => {
    t.timeout(180_000);
    const {gateway, port} = await durableGateway(t, 'hibernate-after 50ms');
    await gateway.start();
    let generation = 0;
    for (let round = 1; round <= times; round += 1) {
      const committed = Number(await ask(port, 'count'));
      await gateway.reaches('a', 'hibernated');
      let stopped = false;
      const client = clientUntil(() => stopped, port);
      const delayMs = Math.random() * 900;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await kill(gateway);
      stopped = true;
      const asked = await client;

      await gateway.start();
      const row = await gateway.app('a');
      t.true((row.generation ?? 0) > generation, `round ${round}: generation ${row.generation} after ${generation}`);
      generation = row.generation ?? 0;
      const [counter = Number.NaN, lines = -1] = (await ask(port, 'agree')).split(' ').map(Number);
      t.is(counter, lines, `round ${round}, killed after ${delayMs} ms: memory and files differ`);
      t.true(
        counter >= committed && counter <= committed + asked,
        `round ${round}, killed after ${delayMs} ms: ${counter} after ${committed} and ${asked} more`,
      );
      t.is(await ask(port, 'verify'), verified, `round ${round}`);
    }
  });
}
