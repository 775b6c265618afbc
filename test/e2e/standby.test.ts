/** The next restore of a sleeping app is begun while it sleeps, by a CRIU that waits. */
import {readFile, readlink} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {appName, gatewayIdentity} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {storeKeys} from '../../src/store/keys.ts';
import {openLeases} from '../../src/store/lease.ts';
import {embeddedRedisPath} from '../../src/store/redis-server.ts';
import {durableGateway, verified} from '../helpers/durable-app.ts';
import type {TestGateway} from '../helpers/gateway.ts';
import {criuPids, killed, pagerPid, runs} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

interface Waiting {
  readonly pid: number;
  /** The name that the instance is going to have. */
  readonly instance: string;
}

/** The CRIU that has begun the restore of app `a`: it works in the directory of that restore from then on. */
async function waitingCriu(gateway: TestGateway, isMeant: (waiting: Waiting) => boolean = () => true): Promise<Waiting> {
  let found: Waiting | undefined;
  await until(
    async () => {
      for (const pid of await criuPids(gatewayIdentity(gateway.stateDir), 'a')) {
        const directory = await readlink(`/proc/${pid}/cwd`).catch(() => '');
        const waiting = {pid, instance: basename(directory)};
        if (basename(dirname(directory)) === 'a' && isMeant(waiting)) found = waiting;
      }
      return found !== undefined;
    },
    {timeoutMs: 20_000, what: 'a CRIU that waits'},
  );
  return found ?? {pid: 0, instance: ''};
}

async function layers(gateway: TestGateway): Promise<string[]> {
  return (JSON.parse(await gateway.cli('show', 'a', '--json')) as {layers: string[]}).layers;
}

rootTest('a CRIU waits while the app sleeps, has made no process, and is the one that wakes it', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  for (const round of [1, 2, 3]) {
    t.is(await ask(port, 'count'), String(round));
    await gateway.hibernate('a');
    const {pid, instance} = await waitingCriu(gateway);
    t.is(await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1'), '');
    t.like(await gateway.app('a'), {state: 'hibernated', residency: 'warm'});
    t.is(await ask(port, 'verify'), verified);
    t.is((await layers(gateway)).at(-1), instance);
    t.false(await runs(pid));
  }
});

rootTest('the waiting CRIU or the pager is killed while the app sleeps: it wakes all the same', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  await killed((await waitingCriu(gateway)).pid);
  t.is(await ask(port, 'count'), '2');

  await gateway.hibernate('a');
  const before = await waitingCriu(gateway);
  await killed(await pagerPid(gateway.stateDir));
  const after = await waitingCriu(gateway, ({instance}) => instance !== before.instance);
  t.false(await runs(before.pid));
  t.is(await ask(port, 'count'), '3');
  t.is((await layers(gateway)).at(-1), after.instance);

  await gateway.hibernate('a');
  await waitingCriu(gateway);
  process.kill(await pagerPid(gateway.stateDir), 'SIGKILL');
  t.is(await ask(port, 'count'), '4', 'asked while no pager serves');
  t.is(await ask(port, 'verify'), verified);
  t.is(await ask(port, 'agree'), '4 4');
});

rootTest('the gateway is killed while a CRIU waits: it ends, and the next gateway wakes the app', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  const {pid} = await waitingCriu(gateway);
  await gateway.stop('SIGKILL');
  await until(async () => !(await runs(pid)), {what: 'the end of the CRIU that waited'});
  await gateway.start();
  await waitingCriu(gateway);
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('an app that another worker has taken does not run, and wakes when that one has let go', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  await waitingCriu(gateway);
  const before = await layers(gateway);
  await using connection = await connectRedis({url: `unix:${embeddedRedisPath(join(gateway.stateDir, 'run'))}`, log: createLog('silent')});
  const other = {worker: 'another-host', ttlMs: 60_000};
  await until(async () => (await openLeases(connection).acquire(appName('a'), other)).kind === 'acquired', {what: 'the lease to be free'});
  await t.throwsAsync(gateway.cli('wake', 'a'), {message: /worker "another-host" has it/});
  t.like(await gateway.app('a'), {state: 'hibernated'});
  t.deepEqual(await layers(gateway), before);
  await connection.call('DEL', storeKeys().lease(appName('a')));
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'verify'), verified);
});
