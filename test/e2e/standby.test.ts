/** The next restore of a sleeping app is begun while it sleeps, by a CRIU that waits. */
import {mkdir, readdir, readFile, readlink, rename, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {appName, gatewayIdentity} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {storeKeys} from '../../src/store/keys.ts';
import {openLeases} from '../../src/store/lease.ts';
import {embeddedRedisPath} from '../../src/store/redis-server.ts';
import {durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {criuPids, killed, pagerPid, runs} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

interface Waiting {
  readonly pid: number;
  /** The name that the instance is going to have. */
  readonly instance: string;
  /** The app's first process, which CRIU has made; null: none yet. */
  readonly task: number | null;
}

const isInside = ({task}: Waiting): boolean => task !== null;

/** The CRIU that has begun the restore of app `a`: it works in the directory of that restore from then on. What is prepared may be prepared again. */
async function waitingCriu(gateway: TestGateway, isMeant: (waiting: Waiting) => boolean = isInside, timeoutMs = 20_000): Promise<Waiting> {
  let found: Waiting = {pid: 0, instance: '', task: null};
  await until(
    async () => {
      for (const pid of await criuPids(gatewayIdentity(gateway.stateDir), 'a')) {
        const directory = await readlink(`/proc/${pid}/cwd`).catch(() => '');
        const waiting = {pid, instance: basename(directory), task: await waitingTask(pid)};
        if (basename(dirname(directory)) === 'a' && isMeant(waiting)) found = waiting;
      }
      return found.pid > 0;
    },
    {timeoutMs, what: 'a CRIU that waits'},
  );
  return found;
}

/** It is prepared to go on when its next time namespace is open. */
async function waitingTask(criu: number): Promise<number | null> {
  const [child] = (await readFile(`/proc/${criu}/task/${criu}/children`, 'latin1').catch(() => '')).split(' ');
  const task = Number(child);
  return task > 0 && (await openFiles(task)).some((file) => file.startsWith('time:')) ? task : null;
}

async function openFiles(pid: number): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return Promise.all(descriptors.map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')));
}

async function layers(gateway: TestGateway): Promise<string[]> {
  return (JSON.parse(await gateway.cli('show', 'a', '--json')) as {layers: string[]}).layers;
}

rootTest('a CRIU waits while the app sleeps, with a process that is not counted, and is the one that wakes it', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  for (const round of [1, 2, 3]) {
    t.is(await ask(port, 'count'), String(round));
    await gateway.hibernate('a');
    const {pid, instance, task} = await waitingCriu(gateway);
    t.like(await gateway.app('a'), {state: 'hibernated', residency: 'warm'});
    t.is(await ask(port, 'verify'), verified);
    t.true(await runs(task ?? 0), 'it is the app now');
    t.deepEqual(
      (await openFiles(task ?? 0)).filter((file) => file.startsWith('time:')),
      [],
    );
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
  process.kill((await waitingCriu(gateway)).task ?? 0, 'SIGKILL');
  t.is(await ask(port, 'count'), '3');

  await gateway.hibernate('a');
  const before = await waitingCriu(gateway);
  await killed(await pagerPid(gateway.stateDir));
  const after = await waitingCriu(gateway, ({instance}) => instance !== before.instance);
  t.false(await runs(before.pid));
  t.is(await ask(port, 'count'), '4');
  t.is((await layers(gateway)).at(-1), after.instance);

  await gateway.hibernate('a');
  await waitingCriu(gateway);
  process.kill(await pagerPid(gateway.stateDir), 'SIGKILL');
  t.is(await ask(port, 'count'), '5', 'asked while no pager serves');
  t.is(await ask(port, 'verify'), verified);
  t.is(await ask(port, 'agree'), '5 5');
});

rootTest('the gateway is killed while a CRIU waits: it ends, and the next gateway wakes the app', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  const {pid, task} = await waitingCriu(gateway);
  await gateway.stop('SIGKILL');
  await until(async () => !(await runs(pid)) && !(await runs(task ?? 0)), {what: 'the end of the CRIU that waited'});
  await gateway.start();
  await waitingCriu(gateway);
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('an app wakes with the volume that is there then, and with the files that are its own', async (t) => {
  t.timeout(60_000);
  await using directory = await temporaryDirectory();
  const volume = join(directory.path, 'volume');
  await mkdir(volume);
  await writeFile(join(volume, 'which'), 'print("first")');
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', `volume ${volume}:/volume`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  const which = (): Promise<string> => gateway.cli('exec', 'a', 'python3', '/volume/which');
  t.is((await which()).trim(), 'first');
  await gateway.hibernate('a');
  await waitingCriu(gateway);
  await rename(volume, `${volume}.old`);
  await mkdir(volume);
  await writeFile(join(volume, 'which'), 'print("second")');
  t.is(await ask(port, 'agree'), '1 1');
  t.is((await which()).trim(), 'second');
});

const sharedMemoryServer = `
import ctypes, socket
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
memory = libc.shmat(libc.shmget(1, 1 << 20, 0o1600), None, 0)
ctypes.memset(memory, 65, 1 << 20)
listener = socket.create_server(("0.0.0.0", 80))
while True:
    listener.accept()[0].sendall(ctypes.string_at(memory + (1 << 20) - 3, 3) + b"\\n")
`;

rootTest('an app with shared memory of System V gets it when it wakes, not before', async (t) => {
  t.timeout(60_000);
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'server.py'), sharedMemoryServer);
  const port = await freePort();
  const app = `app a
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/server.py
    volume ${directory.path}:/srv:ro
    expose tcp 80
`;
  const gateway = await testGateway(t, `${app}${listen('a', port)}`);
  await gateway.start();
  t.is(await ask(port, ''), 'AAA');
  await gateway.hibernate('a');
  await t.throwsAsync(waitingCriu(gateway, isInside, 2000));
  await waitingCriu(gateway, ({task}) => task === null);
  t.is(await ask(port, ''), 'AAA');
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
