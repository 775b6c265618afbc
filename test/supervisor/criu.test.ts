import {existsSync, readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError} from '../../src/core/errors.ts';
import {savedClocks} from '../../src/supervisor/app-clock.ts';
import type {Container} from '../../src/supervisor/container.ts';
import type {CheckpointOutcome} from '../../src/supervisor/criu.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {until} from '../helpers/until.ts';
import {type ContainerLab, containerLab, lineServer} from './container-lab.ts';

const server = ['/usr/bin/python3', '-u', '-c', lineServer] as const;

interface Running {
  readonly container: Container;
  pid: number;
  readonly layers: string[];
}

async function startServer(lab: ContainerLab, settings: Parameters<ContainerLab['container']>[0] = {}): Promise<Running> {
  const container = await lab.container({exec: server, ...settings});
  const {pid} = await container.start([], 'layer1');
  await until(async () => (await container.output()).includes('listening'));
  return {container, pid, layers: ['layer1']};
}

async function checkpoint(lab: ContainerLab, app: Running, images: string, decide: () => Promise<'commit' | 'cancel'>): Promise<CheckpointOutcome> {
  const dumpDir = await lab.newDirectory(images);
  return lab.criu.checkpoint({pid: app.pid, dumpDir, workDir: dumpDir, target: app.container.restoreTarget(), decide});
}

async function putAway({container}: Running): Promise<void> {
  await container.kill();
  await container.unmountRoot();
}

/** @returns the app's processes while CRIU waits */
async function restore(lab: ContainerLab, app: Running, images: string): Promise<readonly number[]> {
  const layer = `layer${app.layers.length + 1}`;
  const imagesDir = join(lab.directory, images);
  const begun = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target: app.container.restoreTarget(), lazy: false});
  const before = app.container.pids();
  await app.container.mountRoot(app.layers, layer);
  app.layers.push(layer);
  const {pid} = await begun.finish({signal: new AbortController().signal, mayRun: Promise.resolve()});
  app.container.adopt(pid);
  app.pid = pid;
  return before;
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);
}

const commit = (): Promise<'commit'> => Promise.resolve('commit');

rootTest('checkpoint() and restore() keep memory, files, output and an open connection, again and again', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  const {container} = app;
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  t.is(await client.request('write a'), 'ok');
  for (const round of [1, 2, 3]) {
    await lab.hold();
    const outcome = await checkpoint(lab, app, `images${round}`, commit);
    t.is(outcome.kind, 'committed');
    t.true(outcome.frozenMs > 0);
    t.deepEqual(container.pids(), []);
    await putAway(app);
    t.deepEqual(await restore(lab, app, `images${round}`), [], 'a CRIU that waits is no process of the app, and has made none');
    await lab.release();
    t.is(await client.request('count'), String(round + 1));
    t.is(await client.request('write b'), 'ok');
    t.is(await client.request('read'), `a${'b'.repeat(round)}`);
    t.is(await client.request(`say round ${round}`), 'ok');
  }
  await until(async () => (await container.output()).includes('round 3'));
  t.is(await container.output(), 'listening\nround 1\nround 2\nround 3\n');
  t.deepEqual(container.processes(), [{pid: app.pid, vpid: 1}]);
});

rootTest('a cancelled checkpoint leaves the app and its connections as they were', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  const asked: string[] = [];
  let answer: Promise<string> | undefined;
  const outcome = await checkpoint(lab, app, 'images', () => {
    asked.push(processState(app.pid));
    // Reaches the frozen app's host while it decides.
    answer = client.request('count');
    return Promise.resolve('cancel');
  });
  t.is(outcome.kind, 'cancelled');
  t.deepEqual(asked, ['t'], 'asked once, while the tasks are stopped');
  t.is(await answer, '2');
  t.deepEqual(app.container.pids(), [app.pid]);
});

rootTest('a decision that fails cancels the checkpoint and is thrown', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  const error = new CodedError('ERR_STORE', 'Cannot store', {source: 'host'});
  t.is(await t.throwsAsync(checkpoint(lab, app, 'images', () => Promise.reject(error))), error);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
});

rootTest('an abort before the decision cancels, with its reason', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  const dumpDir = await lab.newDirectory('images');
  const abort = new AbortController();
  const reason = new Error('no longer wanted');
  const working = lab.criu.checkpoint({
    pid: app.pid,
    dumpDir,
    workDir: dumpDir,
    target: app.container.restoreTarget(),
    decide: () => Promise.reject(new Error('asked')),
    signal: abort.signal,
  });
  abort.abort(reason);
  t.is(await t.throwsAsync(working), reason);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
});

rootTest('a checkpoint that takes too long is given up, and the app and its connections go on', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  const dumpDir = await lab.newDirectory('images');
  let answer: Promise<string> | undefined;
  const outcome = await lab.criu.checkpoint({
    pid: app.pid,
    dumpDir,
    workDir: dumpDir,
    target: app.container.restoreTarget(),
    timeoutMs: 1000,
    async decide() {
      answer = client.request('count');
      await until(() => tracerOf(app.pid) === 0);
      return 'cancel';
    },
  });
  t.is(outcome.kind, 'cancelled');
  t.is(await answer, '2');
  t.is((await checkpoint(lab, app, 'images2', () => Promise.resolve('cancel'))).kind, 'cancelled');
  t.is(await client.request('count'), '3');
});

rootTest('a CRIU that is killed from outside leaves the app running', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  const dumpDir = await lab.newDirectory('images');
  const error = await t.throwsAsync(
    lab.criu.checkpoint({
      pid: app.pid,
      dumpDir,
      workDir: dumpDir,
      target: app.container.restoreTarget(),
      async decide() {
        process.kill(tracerOf(app.pid), 'SIGKILL');
        await until(() => tracerOf(app.pid) === 0);
        throw new CodedError('ERR_TEST', 'too late', {source: 'bug'});
      },
    }),
  );
  t.is(error.message, 'too late');
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
});

rootTest('a dump that fails on a full disk leaves the app running, and the error says why', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  const dumpDir = join(lab.directory, 'small');
  await using _small = await tinyFileSystem(dumpDir, 1 << 20);
  const workDir = await lab.newDirectory('work');
  const working = lab.criu.checkpoint({pid: app.pid, dumpDir, workDir, target: app.container.restoreTarget(), decide: commit});
  const error = await t.throwsAsync(working, {instanceOf: CodedError, code: 'ERR_CHECKPOINT'});
  t.regex(error.message, /^Cannot checkpoint app "app": the disk is full; CRIU's log: Error/);
  t.is(await client.request('count'), '2');
  t.deepEqual(app.container.pids(), [app.pid]);
});

rootTest('a connection that waits to be accepted cancels the checkpoint', async (t) => {
  await using lab = await containerLab();
  const program = `
import socket, time
listener = socket.create_server(('0.0.0.0', 7000))
print('listening')
while True: time.sleep(1)`;
  const app = await startServer(lab, {exec: ['/usr/bin/python3', '-u', '-c', program]});
  using _client = await lineClient(7000, {host: lab.address});
  t.is((await checkpoint(lab, app, 'images', () => Promise.reject(new Error('asked')))).kind, 'cancelled');
  t.deepEqual(app.container.pids(), [app.pid]);
});

rootTest('a dump that needs a missing capability is explained', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab, {user: '1000:1000'});
  const mayReadLimits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  if ((BigInt(`0x${mayReadLimits}`) >> 24n) & 1n) {
    t.is((await checkpoint(lab, app, 'images', () => Promise.resolve('cancel'))).kind, 'cancelled');
    return;
  }
  const error = await t.throwsAsync(checkpoint(lab, app, 'images', commit), {code: 'ERR_CHECKPOINT'});
  t.regex(error.message, /CAP_SYS_RESOURCE/);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
});

rootTest('restore() from damaged images tells why and leaves no process', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  await checkpoint(lab, app, 'images', commit);
  await putAway(app);
  await writeFile(join(lab.directory, 'images', 'core-1.img'), 'nonsense');
  const error = await t.throwsAsync(restore(lab, app, 'images'), {instanceOf: CodedError, code: 'ERR_RESTORE'});
  t.regex(error.message, /^Cannot restore app "app": .*core/i);
  t.deepEqual(app.container.pids(), []);
  await rm(join(lab.directory, 'images', 'files.img'));
  await putAway(app);
  await t.throwsAsync(restore(lab, app, 'images'), {instanceOf: CodedError, code: 'ERR_RESTORE', message: /files\.img/});
  t.deepEqual(app.container.pids(), []);
});

for (const isInside of [false, true]) {
  const begun = isInside ? 'its first process was made' : 'its restore was begun';
  rootTest(`the clock of an app stands still while it sleeps, also when ${begun} long before`, async (t) => {
    await using lab = await containerLab();
    const program = lineServer.replace(
      "if word == 'count':",
      "if word == 'clock':\n                import time; answer = str(time.monotonic())\n            elif word == 'count':",
    );
    const app = await startServer(lab, {exec: ['/usr/bin/python3', '-u', '-c', program]});
    using client = await lineClient(7000, {host: lab.address});
    const before = Number(await client.request('clock'));
    await lab.hold();
    await checkpoint(lab, app, 'images', commit);
    await putAway(app);
    const imagesDir = join(lab.directory, 'images');
    await using begun = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target: app.container.restoreTarget(), lazy: false});
    const asleepFrom = performance.now();
    if (isInside) {
      await app.container.mountRoot(app.layers, 'layer2');
      const clocks = (await savedClocks(imagesDir)) ?? {monotonic: 0n, boottime: 0n};
      await begun.makeNamespaces(clocks);
      t.deepEqual(app.container.pids(), [], 'it is not a process of the app yet');
    }
    await until(() => performance.now() - asleepFrom > 1500);
    if (!isInside) await app.container.mountRoot(app.layers, 'layer2');
    const {pid} = await begun.finish({signal: new AbortController().signal, mayRun: Promise.resolve()});
    app.container.adopt(pid);
    await lab.release();
    const passed = Number(await client.request('clock')) - before;
    t.true(Number(await client.request('clock')) - before < 1.5, 'nor did it jump');
    const open = readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
    t.deepEqual(
      open.filter((file) => file.startsWith('time:')),
      [],
      'nothing is left open',
    );
    t.true(passed > 0 && passed * 1000 < performance.now() - asleepFrom, `${passed} s passed for it`);
  });
}

rootTest('processes that are not allowed to run are ended before they did', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  await lab.hold();
  await checkpoint(lab, app, 'images', commit);
  await putAway(app);
  const imagesDir = join(lab.directory, 'images');
  const begin = async (layer: string): ReturnType<typeof lab.criu.beginRestore> => {
    const begun = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target: app.container.restoreTarget(), lazy: false});
    await app.container.mountRoot(app.layers, layer);
    return begun;
  };
  const signal = new AbortController().signal;
  const refused = await begin('refused');
  const permission = Promise.withResolvers<undefined>();
  const finished = refused.finish({signal, mayRun: permission.promise});
  await until(() => app.container.pids().some((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1').startsWith('python3')), {what: 'a process'});
  permission.reject(new Error('somebody else has it'));
  await t.throwsAsync(finished, {code: 'ERR_RESTORE'});
  t.deepEqual(app.container.pids(), []);
  await refused[Symbol.asyncDispose]();
  await putAway(app);

  const late = await begin('late');
  const before = app.container.pids();
  const gone = late.finish({signal: AbortSignal.abort(new Error('already refused')), mayRun: Promise.resolve()});
  await t.throwsAsync(gone, {message: 'already refused'});
  t.deepEqual([before, app.container.pids(), late.alive], [[], [], false], 'CRIU was ended before it made a process');
  await late[Symbol.asyncDispose]();
  await putAway(app);

  const allowed = await begin('allowed');
  const {pid} = await allowed.finish({signal, mayRun: Promise.resolve()});
  app.container.adopt(pid);
  await lab.release();
  t.is(await client.request('count'), '2');
});

rootTest('a CRIU that is killed while it makes namespaces leaves no process', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  await checkpoint(lab, app, 'images', commit);
  await putAway(app);
  const imagesDir = join(lab.directory, 'images');
  const begun = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target: app.container.restoreTarget(), lazy: false});
  await app.container.mountRoot(app.layers, 'layer2');
  const clocks = (await savedClocks(imagesDir)) ?? {monotonic: 0n, boottime: 0n};
  const made = begun.makeNamespaces(clocks);
  const [criu] = childrenOf(process.pid).filter((pid) => readlinkSync(`/proc/${pid}/exe`).includes('criu'));
  await until(() => childrenOf(criu ?? 0).length > 0, {intervalMs: 0});
  const [task] = childrenOf(criu ?? 0);
  process.kill(criu ?? 0, 'SIGKILL');
  await t.throwsAsync(made, {code: 'ERR_RESTORE'});
  await begun[Symbol.asyncDispose]();
  t.deepEqual([existsSync(`/proc/${task}`), app.container.pids()], [false, []]);
});

rootTest('a restore that is given up at any moment ends, with the tasks that CRIU has forked by then', async (t) => {
  await using lab = await containerLab();
  const app = await startServer(lab);
  using client = await lineClient(7000, {host: lab.address});
  await client.request('count');
  await lab.hold();
  await checkpoint(lab, app, 'images', commit);
  await putAway(app);
  const imagesDir = join(lab.directory, 'images');
  const children = (): number => readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'latin1').trim().split(' ').length;
  const before = children();
  for (let delayMs = 0; delayMs < 40; delayMs += 2) {
    const begun = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target: app.container.restoreTarget(), lazy: false});
    await app.container.mountRoot(app.layers, `given-up-${delayMs}`);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('given up')), delayMs);
    const {promise: never} = Promise.withResolvers<undefined>();
    await t.throwsAsync(begun.finish({signal: controller.signal, mayRun: never}), {message: 'given up'});
    await begun[Symbol.asyncDispose]();
    t.deepEqual(app.container.pids(), []);
    await putAway(app);
  }
  await until(() => children() <= before, {what: 'all that was forked to be gone'});
});

rootTest('several processes, a volume and a shared memory segment come back', async (t) => {
  await using lab = await containerLab();
  const volume = await lab.newDirectory('volume');
  const program = `
import multiprocessing.shared_memory as shared, os, threading
segment = shared.SharedMemory('numbers', create=True, size=4096)
read, write = os.pipe()
if os.fork() == 0:
    while os.read(read, 1): segment.buf[0] += 1; open('/mnt/seen', 'w').write(str(segment.buf[0]))
    os._exit(0)
${lineServer.replace("if word == 'count':", "if word == 'add':\n                os.write(write, b'x'); answer = 'ok'\n            elif word == 'count':")}`;
  const app = await startServer(lab, {
    exec: ['/usr/bin/python3', '-u', '-c', program],
    volumes: [{source: volume, destination: '/mnt', readOnly: false}],
    memoryBytes: 64 << 20,
    pidsMax: 16,
  });
  const seen = (): string => (existsSync(join(volume, 'seen')) ? readFileSync(join(volume, 'seen'), 'utf8') : '');
  using client = await lineClient(7000, {host: lab.address});
  for (const round of [1, 2]) {
    t.is(await client.request('add'), 'ok');
    await until(() => seen() === String(round));
    if (round === 2) break;
    await lab.hold();
    await checkpoint(lab, app, 'images', commit);
    await putAway(app);
    await restore(lab, app, 'images');
    await lab.release();
  }
  t.is(app.container.pids().length, 3, 'the server, its child, and the tracker of shared memory');
});

function processState(pid: number): string {
  return /^State:\t(.)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}

/** The process that traces `pid`, or 0. */
function tracerOf(pid: number): number {
  return Number(/^TracerPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
