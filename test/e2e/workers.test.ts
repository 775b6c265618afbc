/** Several workers that share one Redis and one store, each in a namespace of its own. */
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import {Agent, get, type IncomingMessage} from 'node:http';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {askSocket} from '../admin/stats-client.ts';
import {durableApp, durableOptions, verified} from '../helpers/durable-app.ts';
import {freePort} from '../helpers/gateway.ts';
import {appPids, criuPids, isStopped} from '../helpers/gateway-processes.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {storedRow} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {leaseMs, type TestWorker, workerNetwork} from '../helpers/worker-network.ts';
import {parseStat, type StatLine} from './stat-table.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
/** Longer than it takes to put an app to sleep, kill its worker and wake another app elsewhere. */
const timerSeconds = 20;

const workerTest = hasS3Server ? rootTest : test.skip;

async function ask({address}: TestWorker, port: number, ...requests: readonly string[]): Promise<string[]> {
  using client = await lineClient(port, {host: address});
  const answers: string[] = [];
  for (const request of requests) answers.push(await client.request(request));
  return answers;
}

async function getText(url: string, agent: Agent): Promise<string> {
  const request = get(url, {agent, timeout: 20_000}).on('timeout', () => request.destroy(new Error('no answer')));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return text(response);
}

interface TwoWorkers {
  readonly first: TestWorker;
  readonly second: TestWorker;
  readonly port: number;
  readonly edge: () => Promise<TestWorker>;
}

async function twoWorkers(t: ExecutionContext, ...options: readonly string[]): Promise<TwoWorkers> {
  return twoWorkersWith(t, options, '');
}

function stats(socket: string): string {
  return `    stats socket ${socket} level admin\n`;
}

/** Columns of the server that is checked, in `show stat` of a worker or an edge. */
async function checkedServer(socket: string): Promise<StatLine> {
  return parseStat(await askSocket(socket, 'show stat\n')).get('checked/s') ?? {};
}

interface Globals {
  /** Of the second one. */
  readonly worker?: string;
  readonly edge?: string;
  readonly leaseTimeMs?: number;
}

/** @param more further sections */
async function twoWorkersWith(t: ExecutionContext, options: readonly string[], more: string, globals: Globals = {}): Promise<TwoWorkers> {
  const network = await workerNetwork(t, globals);
  const port = await freePort();
  const sections = `${more}${await durableApp('a', options.length === 0 ? ['hibernate-after never'] : options)}listen a
    bind 0.0.0.0:${port}
    server s app:a:80
`;
  const [first, second] = [await network.worker('w1', sections), await network.worker('w2', sections, {globals: globals.worker ?? ''})];
  await first.gateway.start();
  await second.gateway.start();
  return {first, second, port, edge: () => network.worker('edge', sections, {command: 'edge', globals: globals.edge ?? ''})};
}

workerTest('an app runs on one worker, and is reached through all of them', async (t: ExecutionContext) => {
  await using directory = await temporaryDirectory();
  const [socket, natPort] = [join(directory.path, 'stats'), await freePort()];
  const nat = `frontend n
    mode nat
    bind 0.0.0.0:${natPort}
    default_backend a
`;
  const {first, second, port} = await twoWorkersWith(t, ['hibernate-after never'], nat, {worker: stats(socket)});
  t.deepEqual(await ask(first, port, 'count', 'verify'), ['1', verified]);
  const {worker, state} = await first.gateway.app('a');
  t.deepEqual([worker, state], ['w1', 'running']);
  t.deepEqual(await ask(second, port, 'count', 'agree'), ['2', '2 2']);
  t.is((await second.gateway.app('a')).worker, 'w1');
  const guest = await runProgram(['exec', 'a', '-f', second.gateway.configFile, '--', 'true']);
  t.deepEqual([guest.exitCode, /it runs on worker "w1", and this is "w2"; run it there/.test(guest.stderr)], [125, true], guest.stderr);
  // The kernel of the second one leads there too, and wakes it there.
  await until(() => ask(second, natPort, 'agree').then(([counts]) => counts === '2 2'), {timeoutMs: 20_000, what: 'the way of mode nat'});
  t.is((await second.gateway.app('a')).worker, 'w1');
  t.regex(await askSocket(socket, 'show app\n'), /^a running /m);
  // A client of the other worker waited for an answer a moment ago.
  await until(async () => (await askSocket(socket, 'hibernate app a\n')) === '\n', {timeoutMs: 20_000, what: 'the sleep'});
  t.regex(await askSocket(socket, 'show app a\n'), /^state: hibernated$/m);
  t.deepEqual(await ask(second, natPort, 'count', 'agree'), ['3', '3 3']);
  t.like(await second.gateway.app('a'), {worker: 'w1', generation: 1});
  const listed = JSON.parse(await second.gateway.cli('workers', '--json')) as {name: string; state: string; running: string[]}[];
  t.deepEqual(listed.map(({name, state: now, running}) => [name, now, running]).sort(), [
    ['w1', 'alive', ['a']],
    ['w2', 'alive', []],
  ]);
});

workerTest('an app is checked from other workers and edges while it is awake, and sleeps all the same', async (t: ExecutionContext) => {
  await using directory = await temporaryDirectory();
  const [workerSocket, edgeSocket] = [join(directory.path, 'worker'), join(directory.path, 'edge')];
  const more = `backend checked
    server s app:a:80 check inter 200ms
`;
  const {first, second, port, edge} = await twoWorkersWith(t, ['hibernate-after 2s'], more, {worker: stats(workerSocket), edge: stats(edgeSocket)});
  await (await edge()).gateway.start();
  const checks = async (column: string): Promise<(string | undefined)[]> =>
    Promise.all([workerSocket, edgeSocket].map(async (socket) => (await checkedServer(socket))[column]));
  t.deepEqual(await checks('check_status'), ['INI', 'INI']);
  for (const [at, worker] of [first, second].entries()) {
    t.deepEqual(await ask(worker, port, 'count'), [`${at + 1}`]);
    t.is((await first.gateway.app('a')).worker, 'w1');
    await until(async () => (await checks('check_status')).every((status) => status === 'L4OK'), {timeoutMs: 10_000, what: 'checks from elsewhere'});
    await until(async () => (await first.gateway.app('a')).state === 'hibernated', {timeoutMs: 20_000, what: 'the sleep'});
    const {generation} = await first.gateway.app('a');
    // For some times the interval of the checks.
    await sleep(1000);
    t.like(await first.gateway.app('a'), {state: 'hibernated', generation});
    t.deepEqual(await checks('status'), ['UP', 'UP']);
  }
});

workerTest('drain moves an app with its memory and its files, and undrain brings the worker back', async (t: ExecutionContext) => {
  const {first, second, port, edge: edgeWithout} = await twoWorkers(t);
  t.deepEqual(await ask(first, port, 'count'), ['1']);
  // A host that has no apps reaches them at whichever worker has them.
  const edge = await edgeWithout();
  await edge.gateway.start();
  t.deepEqual(await ask(edge, port, 'agree'), ['1 1']);
  t.regex(await second.gateway.cli('drain', 'w1'), /w1 is drained; moved: a/);
  t.deepEqual(await ask(edge, port, 'agree'), ['1 1']);
  t.is((await first.gateway.app('a')).worker, 'w2');
  t.deepEqual(await ask(first, port, 'agree', 'verify', 'count'), ['1 1', verified, '2']);
  await first.gateway.cli('undrain', 'w1');
  await first.gateway.cli('drain', 'w2');
  t.is((await first.gateway.app('a')).worker, 'w1');
  t.deepEqual(await ask(second, port, 'agree', 'verify', 'count'), ['2 2', verified, '3']);
  await first.gateway.cli('undrain', 'w2');

  // An app that is added to one of them is there for all.
  const added = await freePort();
  const options = [...durableOptions(await rootfsWith('python3')), '--publish', `${added}:80`];
  await second.gateway.cli('app', 'add', 'b', ...options);
  const counts: string[] = [];
  for (const {name, ...worker} of [edge, first, second]) {
    const answer = async (): Promise<boolean> =>
      ask({name, ...worker}, added, 'count').then(
        ([count = '']) => counts.push(count) > 0,
        () => false,
      );
    await until(answer, {timeoutMs: 20_000, what: `the app that was added, at ${name}`});
  }
  t.deepEqual(counts, ['1', '2', '3']);
  await first.gateway.cli('app', 'rm', 'b', '--yes', '--purge');
  for (const {address} of [edge, first, second]) {
    const isRefused = async (): Promise<boolean> =>
      lineClient(added, {host: address}).then(
        (client) => client[Symbol.dispose]() !== undefined,
        () => true,
      );
    await until(isRefused, {timeoutMs: 20_000, what: 'the end of the app that was removed'});
  }
});

/** Requests one after the other, each answered before the next; the time of the longest wait. */
async function load(isOver: () => boolean, request: () => Promise<string>): Promise<{counts: number[]; failures: string[]; longestMs: number}> {
  const result = {counts: [] as number[], failures: [] as string[], longestMs: 0};
  while (!isOver()) {
    const beganMs = performance.now();
    await request().then(
      (answer) => result.counts.push(Number(answer)),
      (error: unknown) => result.failures.push(String(error)),
    );
    result.longestMs = Math.max(result.longestMs, performance.now() - beganMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return result;
}

workerTest('a rolling restart of all workers loses no request: clients are held', async (t: ExecutionContext) => {
  const network = await workerNetwork(t);
  const [port, httpPort] = [await freePort(), await freePort()];
  const sections = `${await durableApp('a', ['hibernate-after never'], {mebibytes: 1})}listen a
    bind 0.0.0.0:${port}
    server s app:a:80
listen h
    mode http
    bind 0.0.0.0:${httpPort}
    server s app:a:80
`;
  const workers = [await network.worker('w1', sections), await network.worker('w2', sections)];
  const edge = await network.worker('edge', sections, {command: 'edge'});
  await Promise.all([...workers, edge].map(({gateway}) => gateway.start()));
  t.deepEqual(await ask(edge, port, 'count'), ['1']);
  using idle = await lineClient(port, {host: edge.address});
  t.is(await idle.request('agree'), '1 1');
  const idleEnds = once(idle.socket, 'end');

  let isOver = false;
  const agent = new Agent({keepAlive: true});
  t.teardown(() => agent.destroy());
  const overTcp = async (): Promise<string> => (await ask(edge, port, 'count'))[0] ?? '';
  const overHttp = (): Promise<string> => getText(`http://${edge.address}:${httpPort}/count`, agent);
  const loads = [overTcp, overTcp, overHttp, overHttp].map((request) => load(() => isOver, request));
  for (const {name, gateway} of workers) {
    t.regex(await edge.gateway.cli('drain', name), /is drained/);
    await gateway.stop();
    await gateway.start();
    await edge.gateway.cli('undrain', name);
  }
  isOver = true;
  const results = await Promise.all(loads);
  t.deepEqual(
    results.flatMap(({failures}) => failures),
    [],
  );
  const counts = results.flatMap((result) => result.counts).sort((a, b) => a - b);
  t.deepEqual(
    counts,
    counts.map((_, at) => at + 2),
  );
  t.log(`${counts.length} requests, none waited longer than ${Math.round(Math.max(...results.map(({longestMs}) => longestMs)))} ms`);
  // One that said nothing is told that its connection is over, and not when it says something.
  await idleEnds;
});

workerTest(
  'what ran on a worker that is killed is woken elsewhere from its last checkpoint, within the lease; what slept, at its time',
  async (t: ExecutionContext) => {
    await using directory = await temporaryDirectory();
    const sleeper = `app sleeper
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/timer-server.py /out/over ${timerSeconds} timerfd
    volume ${fixtures}:/srv:ro
    volume ${directory.path}:/out
    hibernate-after never
    timers on
`;
    const {first, second, port} = await twoWorkersWith(t, ['hibernate-after never'], sleeper);
    // Which of the two has more room is not known.
    await first.gateway.cli('drain', 'w2');
    await first.gateway.cli('wake', 'sleeper');
    const {worker: home, lastWake} = await first.gateway.app('sleeper');
    t.is(home, 'w1');
    const dueAt = (lastWake?.at ?? 0) + timerSeconds * 1000;
    await first.gateway.cli('hibernate', 'sleeper', '--cold');
    t.deepEqual(await ask(first, port, 'count'), ['1']);
    await first.gateway.cli('hibernate', 'a', '--cold');
    t.deepEqual(await ask(first, port, 'agree'), ['1 1']);
    t.is((await first.gateway.app('a')).worker, 'w1');
    await first.gateway.cli('undrain', 'w2');
    using client = await lineClient(port, {host: second.address});
    t.is(await client.request('agree'), '1 1');
    const ended = once(client.socket, 'close');
    const killedMs = performance.now();
    await first.gateway.stop('SIGKILL');
    // What is acknowledged from now on would be lost, so nothing is.
    await ended;
    t.deepEqual(await ask(second, port, 'agree'), ['1 1']);
    t.log(`answered elsewhere ${Math.round(performance.now() - killedMs)} ms after the worker was killed, with a lease of ${leaseMs} ms`);
    t.deepEqual(await ask(second, port, 'verify', 'count'), [verified, '2']);
    t.like(await second.gateway.app('sleeper'), {state: 'hibernated'});
    const over = async (): Promise<string> => readFile(join(directory.path, 'over'), 'utf8').catch(() => '');
    await until(async () => (await over()) !== '', {timeoutMs: 60_000, what: 'the timer of an app whose worker is gone'});
    const lateMs = Number((await over()).split(' ')[1]) - dueAt;
    t.log(`a timer on a worker that was killed: ${Math.round(lateMs)} ms after its time`);
    t.true(lateMs > -200 && lateMs < 10_000, `${lateMs} ms`);
    t.is((await second.gateway.app('sleeper')).lastWake?.trigger, 'timer');
    // What it had is nobody's when it is back.
    await first.gateway.start();
    t.deepEqual(await ask(first, port, 'agree', 'count'), ['2 2', '3']);
  },
);

workerTest('what ran on a worker that is killed goes on when it is back before anybody else has had it; else that ends', async (t: ExecutionContext) => {
  t.timeout(120_000);
  const {first, second, port} = await twoWorkersWith(t, ['hibernate-after never'], '', {leaseTimeMs: 20_000});
  t.deepEqual(await ask(first, port, 'count'), ['1']);
  await first.gateway.cli('hibernate', 'a', '--cold');
  t.deepEqual(await ask(first, port, 'count'), ['2']);
  t.is((await first.gateway.app('a')).worker, 'w1');
  const pids = (): Promise<number[]> => appPids(gatewayIdentity(first.gateway.stateDir), 'a');
  const before = await pids();
  await first.gateway.stop('SIGKILL');
  // Its lease may run out, so it must not answer anybody.
  await until(async () => (await Promise.all(before.map(isStopped))).every(Boolean), {timeoutMs: 5000, what: 'the app to stand still'});
  await first.gateway.start();
  t.like(await first.gateway.app('a'), {worker: 'w1', state: 'running', generation: 1});
  t.deepEqual(await ask(second, port, 'count', 'agree', 'verify'), ['3', '3 3', verified]);
  t.deepEqual(await pids(), before);

  await first.gateway.stop('SIGKILL');
  await until(async () => (await second.gateway.app('a')).worker === 'w2', {timeoutMs: 60_000, what: 'the app on the other worker'});
  t.deepEqual(await ask(second, port, 'agree', 'count'), ['1 1', '2']);
  await first.gateway.start();
  t.deepEqual(await pids(), []);
  t.deepEqual(await ask(first, port, 'count', 'agree'), ['3', '3 3']);
});

workerTest("a worker that is cut off answers nobody, and what it has is nobody's when it is back", async (t: ExecutionContext) => {
  const {first, second, port} = await twoWorkers(t, 'hibernate-after never', 'checkpoint-every 4s');
  t.deepEqual(await ask(first, port, 'count'), ['1']);
  // Durable without a sleep that anybody asked for.
  await until(async () => (await first.gateway.app('a')).generation !== null && (await first.gateway.app('a')).state === 'running', {
    timeoutMs: 30_000,
    what: 'a checkpoint',
  });
  await until(async () => (await storedRow(first.gateway)).stored, {timeoutMs: 30_000, what: 'the upload'});
  await first.cutOff('all');
  await until(async () => (await second.gateway.app('a')).worker === 'w2', {timeoutMs: 30_000, what: 'the app on the other worker'});
  t.deepEqual(await ask(second, port, 'agree', 'count'), ['1 1', '2']);
  // The instance on the first one stands still: nothing that it might promise would last.
  t.regex(await first.gateway.log(), /the lease cannot be extended: the app stands still/);
  await first.cutOff(null);
  await until(async () => (await first.gateway.log()).includes('it has a newer owner'), {timeoutMs: 30_000, what: 'the end of the old instance'});
  t.deepEqual(await ask(first, port, 'agree', 'count'), ['2 2', '3']);
  t.deepEqual(await ask(second, port, 'agree', 'verify'), ['3 3', verified]);
  // Not while a checkpoint is made.
  await until(async () => (await second.gateway.app('a')).worker === 'w2', {timeoutMs: 10_000, what: 'the app on the other worker'});
});

workerTest('what is prepared for the end of a worker that was only late is given up, and its app runs on', async (t: ExecutionContext) => {
  const {first, second, port} = await twoWorkersWith(t, ['hibernate-after never'], '', {leaseTimeMs: 10_000});
  t.deepEqual(await ask(first, port, 'count'), ['1']);
  await first.gateway.cli('hibernate', 'a', '--cold');
  t.deepEqual(await ask(first, port, 'count'), ['2']);
  const identity = gatewayIdentity(second.gateway.stateDir);
  const isPrepared = async (): Promise<boolean> => (await criuPids(identity, 'a')).length > 0;
  t.false(await isPrepared());
  process.kill(first.gateway.pid, 'SIGSTOP');
  try {
    await until(isPrepared, {timeoutMs: 9000, what: 'what is prepared elsewhere'});
  } finally {
    process.kill(first.gateway.pid, 'SIGCONT');
  }
  await until(async () => !(await isPrepared()), {timeoutMs: 10_000, what: 'the end of that'});
  t.deepEqual(await ask(second, port, 'count', 'agree'), ['3', '3 3']);
  t.like(await second.gateway.app('a'), {worker: 'w1', generation: 1});
});
