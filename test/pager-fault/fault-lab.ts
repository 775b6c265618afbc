/** A real pager process with a generation made from a synthetic dump, and real processes that miss its pages. */
import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {createInterface, type Interface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {crc32} from 'node:zlib';
import type {Daemon} from '../../src/core/command.ts';
import {startDaemon} from '../../src/core/command.ts';
import {errorCode} from '../../src/core/errors.ts';
import {appName, fencingToken, type Generation, type InstanceId, instanceId, newInstanceName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {type Pager, startPager} from '../../src/pager/client.ts';
import {removePagerLeftovers} from '../../src/pager/leftovers.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {pageOf, type SyntheticProcess, writeDump} from '../pager-store/synthetic-dump.ts';

export const app = appName('lab');
/** Where the memory of the process lies, in pages; nothing of Python is near. */
export const first = 0x5000_0000;
export const vpid = 7;

/** What a page of the generation reads as: its CRC-32. */
export function crcOf(page: number): number {
  return crc32(pageOf(page));
}

export type AppCommand =
  | readonly ['read', number, number]
  | readonly ['readThreads' | 'readLater', readonly number[], number]
  | readonly ['laterResults']
  | readonly ['write', number, number]
  | readonly ['dontneed' | 'unmap', number, number]
  | readonly ['remap', number, number, number]
  | readonly ['fork', readonly AppCommand[]]
  | readonly ['forkChild']
  | readonly ['askChild', number, AppCommand];

/** A process that faults. */
export class FaultingApp implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  static async start(workDir: string, count: number): Promise<FaultingApp> {
    const script = fileURLToPath(new URL('./faulting-app.py', import.meta.url));
    const daemon = await startDaemon(['python3', script, workDir, String(vpid), String(first), String(count)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      stopSignal: 'SIGKILL',
    });
    const app = new FaultingApp(daemon);
    if ((await app.answer()) !== 'restored') throw new Error(`the process did not start: ${(await daemon.exited).stderr}`);
    return app;
  }

  private constructor(daemon: Daemon) {
    this.daemon = daemon;
    const {stdout} = daemon.child;
    if (stdout === null) throw new Error('the process has no standard output');
    this.#lines = createInterface({input: stdout});
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  async answer(): Promise<unknown> {
    const line = await this.#answers.next();
    return line.done === true ? undefined : JSON.parse(line.value);
  }

  send(command: AppCommand): void {
    this.daemon.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  async ask(command: AppCommand): Promise<unknown> {
    this.send(command);
    return this.answer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    this.#lines.close();
  }
}

export interface FaultLab extends AsyncDisposable {
  readonly pager: Pager;
  readonly lost: {readonly instance: InstanceId; readonly reason: string}[];
  readonly storeDir: string;
  readonly runtimeDir: string;
  readonly restarts: () => number;
  /** Commits a dump of processes; the instance is null for the first. */
  commit(processes: readonly SyntheticProcess[], instance?: InstanceId, pids?: readonly {vpid: number; pid: number}[]): Promise<Generation>;
  /** A generation with one process of `count` pages. */
  generation(count: number): Promise<Generation>;
  wake(options: {generation: Generation; count: number; prefetch?: 'off' | 'last'; expectLate?: boolean}): Promise<{instance: InstanceId; app: FaultingApp}>;
}

export async function faultLab(): Promise<FaultLab> {
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const storeDir = join(path, 'store');
  const runtimeDir = join(path, 'run');
  await mkdir(runtimeDir);
  const lost: {instance: InstanceId; reason: string}[] = [];
  let restarts = 0;
  scope.defer(async () => removePagerLeftovers(runtimeDir));
  const options = {
    storeDir,
    runtimeDir,
    log: createLog('silent'),
    onInstanceLost: (instance: InstanceId, reason: string) => void lost.push({instance, reason}),
    onRestarted: () => {
      restarts++;
    },
  };
  const pager = scope.use(await startPager(options));
  let token = 0;
  const apps = scope.use(new AsyncDisposableStack());
  const commit: FaultLab['commit'] = async (processes, instance, pids = []) => {
    const dumpDir = join(path, 'dump');
    await writeDump(dumpDir, {processes});
    const made = await pager.commit({instance: instance ?? null, app, token: fencingToken(++token), dumpDir, meta: {n: token}, processes: pids});
    await rm(dumpDir, {recursive: true});
    return made.generation;
  };
  const owned = scope.move();
  return {
    pager,
    lost,
    storeDir,
    runtimeDir,
    restarts: () => restarts,
    commit,
    generation: async (count) =>
      commit([
        {pid: vpid, mappings: [{page: first, count, lazy: true}], pages: new Map(Array.from({length: count}, (_, n) => [first + n, pageOf(first + n)]))},
      ]),
    async wake({generation, count, prefetch = 'off', expectLate = false}) {
      const instance = instanceId(app, newInstanceName(Date.now()));
      const workDir = join(path, `work-${++token}`);
      await mkdir(workDir);
      await pager.prepareRestore({instance, app, generation, mode: 'lazy', prefetch, workDir});
      if (!expectLate) await pager.expect(instance, {kind: 'operator'});
      const faulting = apps.use(await FaultingApp.start(workDir, count));
      // A pager that a test has killed meanwhile cannot say it; its successor can.
      const isRestored = async (): Promise<boolean> =>
        pager.stats(instance).then(
          ({restored}) => restored,
          (error: unknown) => errorCode(error) !== 'ERR_PAGER_DIED' && Promise.reject(error as Error),
        );
      await until(isRestored, {what: 'the end of the restore'});
      if (expectLate) await pager.expect(instance, {kind: 'operator'});
      return {instance, app: faulting};
    },
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

/** kill -9, and the next pager serves. */
export async function killPager(lab: FaultLab): Promise<void> {
  const before = lab.restarts();
  process.kill(lab.pager.pid, 'SIGKILL');
  await until(() => lab.restarts() > before, {what: 'another pager'});
}
