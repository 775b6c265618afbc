/** A real process that CRIU dumps and restores, with a pager for its memory. */
import {mkdir, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {errorCode} from '../../src/core/errors.ts';
import {fencingToken, type Generation, type InstanceId, instanceId, newInstanceName} from '../../src/core/ids.ts';
import {criuCommand} from '../../src/core/tools.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {app, type FaultLab} from './fault-lab.ts';

function criuOrNone(): readonly string[] | undefined {
  try {
    return criuCommand();
  } catch {
    return undefined;
  }
}

const criu = criuOrNone();
export const criuTest = criu === undefined ? test.skip : rootTest;
const common = ['--tcp-established', '--file-locks', '--ext-unix-sk', '--link-remap', '--manage-cgroups=ignore', '--network-lock', 'skip'];

/** A real process, dumped and restored by CRIU; its tree is one pid namespace, so killing its first process ends it. */
export class Sleeper implements AsyncDisposable {
  readonly #directory: string;
  #pid = 0;

  /** @param script a program of this directory that answers the lines of the FIFO `ask` in its first argument */
  static async start(directory: string, script: string, argument: number): Promise<Sleeper> {
    await mkdir(directory);
    await run(['mkfifo', join(directory, 'ask')], {timeoutMs: 5000});
    const python = await startDaemon(['unshare', '--pid', '--fork', 'python3', join(import.meta.dirname, script), directory, String(argument)], {
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

/** Of all its threads. */
async function childrenOf(pid: number): Promise<number[]> {
  const texts = await Promise.all((await readdir(`/proc/${pid}/task`)).map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')));
  return texts.flatMap((text) => text.split(' ').filter((word) => word.trim() !== '')).map(Number);
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
