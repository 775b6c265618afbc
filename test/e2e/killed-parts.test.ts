/** kill -9 of one process at a time: pager, Redis, CRIU, the app itself. */
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {askUntilAnswered, durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, leftovers, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {criuPids, killed, pagerPid, redisPid, runs} from '../helpers/gateway-processes.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rounds} from '../helpers/rounds.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

async function appPid(gateway: TestGateway, name: string): Promise<number> {
  const {pids} = JSON.parse(await gateway.cli('show', name, '--json')) as {pids: number[]};
  const [pid] = pids;
  if (pid === undefined) throw new Error(`${name} has no process`);
  return pid;
}

rootTest('the pager killed while pages of an app are missing: the app goes on, every byte as it was', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const pager = await pagerPid(gateway.stateDir);
  await killed(pager);
  t.is(await ask(port, 'verify'), verified);
  t.is(await ask(port, 'count'), '3');
  await until(async () => (await pagerPid(gateway.stateDir)) !== pager);
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '3 3');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('the pager killed at random moments of wake and hibernation: memory and files stay together', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after 50ms');
  await gateway.start();
  const times = rounds(3);
  for (let round = 1; round <= times; round += 1) {
    const committed = Number(await askUntilAnswered(port, 'count'));
    await gateway.reaches('a', 'hibernated');
    const wake = ask(port, 'count').catch(() => '');
    const delayMs = Math.random() * 250;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await killed(await pagerPid(gateway.stateDir));
    await wake;
    const [counter = Number.NaN, lines] = (await askUntilAnswered(port, 'agree')).split(' ').map(Number);
    t.is(counter, lines ?? -1, `round ${round}, killed after ${delayMs} ms: memory and files differ`);
    t.true(counter >= committed, `round ${round}, killed after ${delayMs} ms: ${counter} after ${committed}`);
    t.is(await askUntilAnswered(port, 'verify'), verified, `round ${round}, killed after ${delayMs} ms`);
  }
  await gateway.reaches('a', 'hibernated');
});

rootTest('pager and gateway killed together: the app waits for its memory and reads no zero page; cleanup ends it', async (t) => {
  t.timeout(60_000);
  const seen = await temporaryDirectory();
  t.teardown(() => seen[Symbol.asyncDispose]());
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off', `volume ${seen.path}:/seen`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'watch'), 'ok');
  const pages = async (): Promise<string[]> => (await readFile(join(seen.path, 'pages'), 'utf8').catch(() => '')).trim().split('\n');
  await until(async () => (await pages()).length > 100, {what: 'the first pages'});
  const pid = await appPid(gateway, 'a');
  process.kill(await pagerPid(gateway.stateDir), 'SIGKILL');
  await gateway.stop('SIGKILL');

  let before = -1;
  await until(
    async () => {
      const now = (await pages()).length;
      const waits = now === before;
      before = now;
      return waits;
    },
    {intervalMs: 500, what: 'the app to wait for a page'},
  );
  t.true(await runs(pid), 'the app waits');
  t.true(before < 2048, 'not all pages were there');
  await gateway.cli('cleanup');
  t.false(await runs(pid));
  t.deepEqual(
    (await pages()).filter((line) => !line.endsWith(' ok')),
    [],
  );
  t.deepEqual(await leftovers(gateway.stateDir), []);
  await gateway.start();
  t.is(await ask(port, 'agree'), '1 1');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('the embedded Redis killed: an app that is awake serves on, one that sleeps wakes when Redis is back', async (t) => {
  t.timeout(60_000);
  const [portA, portB] = [await freePort(), await freePort()];
  const options = ['hibernate-after never'];
  const gateway = await testGateway(t, `${await durableApp('a', options)}${listen('a', portA)}${await durableApp('b', options)}${listen('b', portB)}`);
  await gateway.start();
  t.is(await ask(portA, 'count'), '1');
  t.is(await ask(portB, 'count'), '1');
  await gateway.hibernate('b');
  const redis = await redisPid(gateway.stateDir);
  process.kill(redis, 'SIGKILL');
  t.is(await ask(portA, 'count'), '2');
  t.is(await askUntilAnswered(portB, 'count'), '2');
  t.not(await redisPid(gateway.stateDir), redis);
  t.is((await gateway.reaches('b', 'running')).generation, 1);
});

rootTest('the embedded Redis killed at random moments of wake and hibernation: no checkpoint is lost', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after 50ms');
  await gateway.start();
  const times = rounds(3);
  // The record of a wake is written when the client has its answer, and this Redis is killed then: one that says 'hibernated' may be that of the sleep before.
  const asleep = async (sleeps: number): Promise<number> => {
    let generation = 0;
    const sleptSo = async (): Promise<boolean> => {
      generation = (await gateway.reaches('a', 'hibernated')).generation ?? 0;
      return generation >= sleeps;
    };
    await until(sleptSo, {timeoutMs: 30_000, what: `sleep ${sleeps}`});
    return generation;
  };
  for (let round = 1; round <= times; round += 1) {
    if (round === 1) await gateway.reaches('a', 'stopped');
    else await asleep(round - 1);
    const count = Number(await askUntilAnswered(port, 'count'));
    t.is(count, round);
    const delayMs = Math.random() * 250;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await killed(await redisPid(gateway.stateDir));
    t.is(await askUntilAnswered(port, 'agree'), `${round} ${round}`, `round ${round}, killed after ${delayMs} ms`);
  }
  const generation = await asleep(times);
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is((await gateway.app('a')).generation, generation);
  t.is(await ask(port, 'agree'), `${times} ${times}`);
  t.is(await ask(port, 'verify'), verified);
});

rootTest('an app that is killed is started from its files by the next request', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await killed(await appPid(gateway, 'a'));
  await gateway.reaches('a', 'stopped');
  t.is(await ask(port, 'agree'), '0 2');
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '1 3');
});

/** Kills CRIU when it has begun to write pages. @returns what the attempt to put app `a` to sleep ended with */
async function breakHibernation(gateway: TestGateway): Promise<string> {
  const hibernation = gateway.cli('hibernate', 'a').then(
    () => 'hibernated',
    (error: unknown) => String(error),
  );
  const dumps = join(gateway.stateDir, 'dumps', 'a');
  let criu: number[] = [];
  await until(
    async () => {
      criu = await criuPids(gatewayIdentity(gateway.stateDir), 'a');
      return criu.length > 0;
    },
    {intervalMs: 0, what: 'a CRIU at work'},
  );
  await until(async () => (await readdir(dumps, {recursive: true}).catch(() => [])).some((file) => /pages-.*\.img$/.test(file)), {
    intervalMs: 0,
    what: 'a CRIU that writes pages',
  });
  for (const pid of criu) process.kill(pid, 'SIGKILL');
  return hibernation;
}

rootTest('CRIU killed in the middle of a dump: the app goes on, and the next hibernation works', async (t) => {
  t.timeout(60_000);
  const port = await freePort();
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never'], {mebibytes: 160})}${listen('a', port)}`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  t.regex(await breakHibernation(gateway), /Cannot checkpoint app "a"/);
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'verify'), 'ok 40960');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '2 2');
});

rootTest('CRIU killed in the middle of a dump, then the app: it listens again, although the kernel still has connections of it', async (t) => {
  t.timeout(60_000);
  const port = await freePort();
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never'], {mebibytes: 160})}${listen('a', port)}`);
  await gateway.start();
  using client = await lineClient(port);
  t.is(await client.request('count'), '1');
  t.regex(await breakHibernation(gateway), /Cannot checkpoint app "a"/);
  t.is(await client.request('count'), '2');
  await killed(await appPid(gateway, 'a'));
  await gateway.reaches('a', 'stopped');
  t.is(await ask(port, 'agree'), '0 2');
});
