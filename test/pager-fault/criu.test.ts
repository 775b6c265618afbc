import {mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {errorCode} from '../../src/core/errors.ts';
import {fencingToken, type Generation, type InstanceId, instanceId, newInstanceName} from '../../src/core/ids.ts';
import {criuCommand} from '../../src/core/tools.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {app, type FaultLab, faultLab, killPager} from './fault-lab.ts';

function criuOrNone(): readonly string[] | undefined {
  try {
    return criuCommand();
  } catch {
    return undefined;
  }
}

const criu = criuOrNone();
const criuTest = criu === undefined ? test.skip : rootTest;
const megabytes = 32;
const common = ['--tcp-established', '--file-locks', '--ext-unix-sk', '--link-remap', '--manage-cgroups=ignore', '--network-lock', 'skip'];

/** A real process, dumped and restored by CRIU; its tree is one pid namespace, so killing its first process ends it. */
class Sleeper implements AsyncDisposable {
  readonly #directory: string;
  #pid = 0;

  static async start(directory: string): Promise<Sleeper> {
    await mkdir(directory);
    await run(['mkfifo', join(directory, 'ask')], {timeoutMs: 5000});
    const script = join(import.meta.dirname, 'sleeping-memory.py');
    const python = await startDaemon(['unshare', '--pid', '--fork', 'python3', script, directory, String(megabytes)], {
      stdio: 'ignore',
      dieWithParent: false,
      cwd: '/',
    });
    const sleeper = new Sleeper(directory);
    await sleeper.#answer();
    sleeper.#pid = (await childrenOf(python.pid))[0] ?? 0;
    return sleeper;
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Pids of the tree, on the host and inside. */
  async processes(): Promise<{pid: number; vpid: number}[]> {
    const pids = [this.#pid, ...(await childrenOf(this.#pid))];
    return Promise.all(
      pids.map(async (pid) => {
        const status = await readFile(`/proc/${pid}/status`, 'utf8');
        return {pid, vpid: Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1])};
      }),
    );
  }

  async ask(question: string): Promise<string> {
    await writeFile(join(this.#directory, 'ask'), `${question}\n`);
    return this.#answer();
  }

  async #answer(): Promise<string> {
    const path = join(this.#directory, 'answer');
    let text = '';
    await until(
      async () => {
        text = await readFile(path, 'utf8').catch(() => '');
        return text !== '';
      },
      {timeoutMs: 20_000, what: 'an answer of the process'},
    );
    await rm(path);
    return text;
  }

  /** Dumps, commits while the processes stand still, and kills them. */
  async sleep(
    t: ExecutionContext,
    lab: FaultLab,
    state: {token: number; instance: InstanceId | null},
  ): Promise<{generation: Generation; bytesWritten: number}> {
    const dumpDir = join(this.#directory, 'dump');
    await mkdir(dumpDir);
    await runCriu(t, ['dump', '-t', String(this.#pid), '-D', dumpDir, '-W', dumpDir, ...common, '--leave-stopped'], join(dumpDir, 'criu.log'));
    const processes = await this.processes();
    const made = await lab.pager.commit({instance: state.instance, app, token: fencingToken(state.token), dumpDir, meta: null, processes});
    await this[Symbol.asyncDispose]();
    if (state.instance !== null) await lab.pager.release(state.instance);
    await rm(dumpDir, {recursive: true});
    return made;
  }

  async wake(t: ExecutionContext, lab: FaultLab, options: {token: number; generation: Generation; prefetch: 'off' | 'last'}): Promise<InstanceId> {
    const instance = instanceId(app, newInstanceName(Date.now()));
    const workDir = join(this.#directory, `work-${options.token}`);
    await mkdir(workDir);
    const {generation, prefetch} = options;
    const {imagesDir} = await lab.pager.prepareRestore({instance, app, generation, mode: 'lazy', prefetch, workDir});
    await lab.pager.expect(instance, {kind: 'operator'});
    const pidFile = join(workDir, 'pid');
    await runCriu(t, ['restore', '-D', imagesDir, '-W', workDir, ...common, '--lazy-pages', '-d', '--pidfile', pidFile], join(workDir, 'criu.log'));
    this.#pid = Number(await readFile(pidFile, 'utf8'));
    return instance;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pid === 0) return;
    const pid = this.#pid;
    this.#pid = 0;
    process.kill(pid, 'SIGKILL');
    await until(async () => !/^State:\s+[^ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')), {what: 'the process to end'});
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim() === '' ? [] : text.trim().split(' ').map(Number);
}

async function runCriu(t: ExecutionContext, args: readonly string[], logPath: string): Promise<void> {
  const [file = 'criu', ...rest] = criu ?? [];
  try {
    await run([file, ...rest, ...args, '-v4', '-o', 'criu.log'], {timeoutMs: 30_000});
  } catch (error) {
    t.log(errorCode(error), (await readFile(logPath, 'utf8').catch(() => '')).split('\n').slice(-20).join('\n'));
    throw error;
  }
}

criuTest('a process restored by CRIU has every byte, over forks, deltas and a kill -9 of the pager', async (t) => {
  await using lab = await faultLab();
  await using sleeper = await Sleeper.start(join(lab.runtimeDir, 'sleeper'));
  const first = await sleeper.sleep(t, lab, {token: 1, instance: null});
  t.true(first.bytesWritten > megabytes << 20);
  const one = await sleeper.wake(t, lab, {token: 2, generation: first.generation, prefetch: 'off'});
  t.is(await sleeper.ask('check 4'), 'good');
  const faults = (await lab.pager.stats(one)).faults;
  t.true(faults >= 1024);

  const second = await sleeper.sleep(t, lab, {token: 2, instance: one});
  t.true(second.bytesWritten < 2 << 20, `${second.bytesWritten} bytes for a process that only read`);
  const two = await sleeper.wake(t, lab, {token: 3, generation: second.generation, prefetch: 'last'});
  t.is(await sleeper.ask('check 4'), 'good');
  const stats = await lab.pager.stats(two);
  t.true(stats.prefetched >= 0.95 * faults && stats.faults < 0.05 * faults, `${stats.prefetched} installed, ${stats.faults} faults`);
  t.is(await sleeper.ask('fork'), 'forked');

  const third = await sleeper.sleep(t, lab, {token: 3, instance: two});
  await sleeper.wake(t, lab, {token: 4, generation: third.generation, prefetch: 'last'});
  await killPager(lab);
  // Parent or child, whoever is first.
  for (let n = 0; n < 6; n++) t.is(await sleeper.ask(`check ${megabytes}`), 'good');
  t.deepEqual(lab.lost, []);
});
