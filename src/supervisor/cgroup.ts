/**
 * The control groups of one app: they limit it, and they are how its processes are found, counted and killed, whoever
 * their parents are. On a hybrid host the v1 hierarchies limit and the v2 one tracks.
 */
import {existsSync, type FSWatcher, mkdirSync, readdirSync, rmdirSync, watch, writeFileSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {readKernelFile} from '../core/kernel-files.ts';
import {type CgroupMounts, limiting} from './cgroup-mounts.ts';

export interface CgroupLimits {
  readonly memoryBytes: number | null;
  readonly cpus: number | null;
  readonly pidsMax: number | null;
}

/** What CRIU itself needs in the app's groups, so that an app close to its limits can be put to sleep and woken. */
const criuMemoryBytes = 64 * 1024 * 1024;
const criuPids = 32;
const cpuPeriodUs = 100_000;
/** The kernel says of a file that is not there that it may not be made, unless it is not to be made. */
const existing = {flag: 'r+'} as const;
const killPollMs = 2;
const emptyPollMs = 50;

export class Cgroup {
  /** Relative to each hierarchy, without a leading slash: `picogate/<identity>/<app>`. */
  readonly path: string;
  readonly #mounts: CgroupMounts;
  /** CRIUs that work in the groups. */
  readonly #crius = new Set<number>();

  constructor(mounts: CgroupMounts, path: string) {
    this.path = path;
    this.#mounts = mounts;
  }

  /** Not kept: of thousands of apps that sleep they would take more memory than all else that is known of each. */
  get #directories(): readonly string[] {
    const {unified, legacy} = this.#mounts;
    const roots = new Set([...(unified === undefined ? [] : [unified]), ...legacy.values()]);
    return [...roots].map((root) => join(root, this.path));
  }

  /** The directory whose processes are the app's. */
  get #tracking(): string {
    return this.#directories[0] ?? '';
  }

  /** Where the processes of these groups are listed. */
  get directory(): string {
    return this.#tracking;
  }

  /** Makes the groups, if they are not there. @throws CodedError ERR_CGROUP */
  create(): void {
    try {
      if (this.#mounts.unifiedLimits && this.#mounts.unified !== undefined) delegate(this.#mounts.unified, this.path);
      for (const directory of this.#directories) mkdirSync(directory, {recursive: true});
    } catch (error) {
      throw new CodedError('ERR_CGROUP', `Cannot create control group "${this.path}": ${errorMessage(error)}`, {source: 'host', cause: error});
    }
  }

  /** Moves a CRIU, which has just been started, into the groups, where there is room for it until `left()`. */
  async admit(criu: number, limits: CgroupLimits): Promise<void> {
    this.#crius.add(criu);
    this.limit(limits);
    await this.enter(criu);
  }

  /** It has ended, in whatever way. @throws CodedError ERR_CGROUP */
  left(criu: number, limits: CgroupLimits): void {
    this.#crius.delete(criu);
    if (existsSync(this.#tracking)) this.limit(limits);
  }

  /** Sets the limits, or more while CRIU works in the groups. @throws CodedError ERR_CGROUP */
  limit(limits: CgroupLimits): void {
    const hasCriu = this.#crius.size > 0;
    const memoryBytes = limits.memoryBytes === null ? null : limits.memoryBytes + (hasCriu ? criuMemoryBytes : 0);
    const pidsMax = limits.pidsMax === null ? null : limits.pidsMax + (hasCriu ? criuPids : 0);
    const quotaUs = limits.cpus === null ? null : Math.round(limits.cpus * cpuPeriodUs);
    if (this.#mounts.unifiedLimits) {
      this.#set(this.#tracking, 'memory.max', memoryBytes ?? 'max');
      this.#set(this.#tracking, 'cpu.max', `${quotaUs ?? 'max'} ${cpuPeriodUs}`);
      this.#set(this.#tracking, 'pids.max', pidsMax ?? 'max');
      return;
    }
    const {legacy} = this.#mounts;
    const of = (controller: 'memory' | 'cpu' | 'pids'): string | undefined => {
      const root = legacy.get(controller);
      return root === undefined ? undefined : join(root, this.path);
    };
    this.#set(of('memory'), 'memory.limit_in_bytes', memoryBytes ?? -1);
    this.#set(of('cpu'), 'cpu.cfs_quota_us', quotaUs ?? -1);
    this.#set(of('pids'), 'pids.max', pidsMax ?? 'max');
  }

  #set(directory: string | undefined, file: string, value: number | string): void {
    const wanted = String(value);
    const unlimited = wanted.startsWith('max') || wanted === '-1';
    if (directory === undefined) {
      if (unlimited) return;
      throw new CodedError('ERR_CGROUP', `Cannot set ${file} of control group "${this.path}": this host has no such controller`, {source: 'host'});
    }
    try {
      writeFileSync(join(directory, file), wanted, existing);
    } catch (error) {
      // A controller that is not there limits nothing; and v1 refuses a memory limit below what is in use and cannot be reclaimed.
      if ((unlimited && errorCode(error) === 'ENOENT') || errorCode(error) === 'EBUSY') return;
      throw new CodedError('ERR_CGROUP', `Cannot set ${file} of control group "${this.path}" to ${wanted}: ${errorMessage(error)}`, {
        source: 'host',
        cause: error,
      });
    }
  }

  /** Moves a process, which should have one thread and no children yet, into all groups. Takes 10 to 20 ms: the kernel waits for a grace period. */
  async enter(pid: number): Promise<void> {
    // One after the other: the first one pays for the grace period, the others find the lock in writer's mode.
    for (const directory of this.#directories) await writeFile(join(directory, 'cgroup.procs'), String(pid));
  }

  /**
   * Takes a process back out of the groups of this path that runc makes in every other v1 hierarchy. CRIU saves the
   * groups of tasks that are in others than its own, which takes 25 ms in which they are frozen.
   */
  async leaveUnused(pid: number): Promise<void> {
    for (const {root, ownDirectory} of this.#mounts.unused) {
      const directory = join(root, this.path);
      if (!existsSync(directory)) continue;
      await writeFile(join(ownDirectory, 'cgroup.procs'), String(pid));
      removeTree(directory);
    }
  }

  /** The processes in the groups, zombies not counted. */
  pids(): number[] {
    try {
      return readPids(readKernelFile(join(this.#tracking, 'cgroup.procs')));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENODEV') return [];
      throw error;
    }
  }

  /** Kills every process with SIGKILL and resolves when none is left. @throws CodedError ERR_CGROUP_BUSY after `timeoutMs` */
  async kill({timeoutMs = 10_000}: {timeoutMs?: number} = {}): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const pids = this.pids();
      if (pids.length === 0) return;
      if (performance.now() > deadlineMs) {
        throw new CodedError('ERR_CGROUP_BUSY', `Cannot end the processes of control group "${this.path}": ${pids.join(', ')} are still there`, {
          source: 'host',
        });
      }
      if (!this.#killAtOnce()) for (const pid of pids) killOne(pid);
      await new Promise((resolve) => setTimeout(resolve, killPollMs));
    }
  }

  /** One write that reaches children born meanwhile too; from Linux 5.14 on. */
  #killAtOnce(): boolean {
    try {
      writeFileSync(join(this.#tracking, 'cgroup.kill'), '1', existing);
      return true;
    } catch {
      return false; // Then each process by itself, until none is left.
    }
  }

  /** Calls `callback` once when the groups have lost their last process. The returned function stops the watch. */
  whenEmpty(callback: () => void): () => void {
    const events = join(this.#tracking, 'cgroup.events');
    let watcher: FSWatcher | undefined;
    let timer: NodeJS.Timeout | undefined;
    const stop = (): void => {
      watcher?.close();
      clearInterval(timer);
    };
    let done = false;
    const look = (): void => {
      if (done || this.pids().length > 0) return;
      done = true;
      stop();
      callback();
    };
    if (existsSync(events)) {
      watcher = watch(events, {persistent: false}, look);
      watcher.on('error', look);
    } else {
      timer = setInterval(look, emptyPollMs).unref();
    }
    // Later than what follows a restore at once: whoever is told of an end has been told of the beginning.
    setImmediate(look);
    return () => {
      done = true;
      stop();
    };
  }

  /** Processor time that was used in the groups, microseconds; null when it is not known. */
  cpuUsedUs(): number | null {
    const cpu = this.#mounts.legacy.get('cpuacct');
    // In v2 every group has it, whether the controller is there or not.
    if (this.#mounts.unified !== undefined) return numberAfter(readIfThere(join(this.#tracking, 'cpu.stat')), 'usage_usec');
    const text = cpu === undefined ? '' : readIfThere(join(cpu, this.path, 'cpuacct.usage'));
    return text === '' ? null : Number(text) / 1000;
  }

  /** What the groups take of memory, without files that were read and are not in use; null when it is not known. */
  memoryBytes(): number | null {
    const memory = this.#mounts.legacy.get('memory');
    const directory = memory === undefined ? this.#tracking : join(memory, this.path);
    const used = readIfThere(join(directory, memory === undefined ? 'memory.current' : 'memory.usage_in_bytes'));
    if (used === '') return null;
    const unused = numberAfter(readIfThere(join(directory, 'memory.stat')), memory === undefined ? 'inactive_file' : 'total_inactive_file');
    return Math.max(0, Number(used) - (unused ?? 0));
  }

  /** Removes the groups, which must be empty, and those below them. */
  remove(): void {
    for (const directory of this.#everywhere()) removeTree(directory);
  }

  /** Removes the groups where none is below them. */
  removeIfUnused(): void {
    for (const directory of this.#everywhere()) if (existsSync(directory)) removeOne(directory);
  }

  /** In the hierarchies that runc uses, too. */
  #everywhere(): string[] {
    return [...this.#directories, ...this.#mounts.unused.map(({root}) => join(root, this.path))];
  }
}

/** Empty when it is not there, or cannot be read. */
function readIfThere(file: string): string {
  try {
    return readKernelFile(file);
  } catch {
    return '';
  }
}

function numberAfter(text: string, name: string): number | null {
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1];
  return found === undefined ? null : Number(found);
}

function readPids(text: string): number[] {
  return text.split('\n').flatMap((line) => (line === '' ? [] : [Number(line)]));
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** In v2 every ancestor must hand the controllers down, as far as it has them: a limit that needs another one fails with its own message. */
function delegate(root: string, path: string): void {
  const parts = path.split('/');
  let directory = root;
  for (const part of parts) {
    const available = readKernelFile(join(directory, 'cgroup.controllers')).trim().split(' ');
    const handed = limiting.filter((controller) => available.includes(controller)).map((controller) => `+${controller}`);
    if (handed.length > 0) writeFileSync(join(directory, 'cgroup.subtree_control'), handed.join(' '), existing);
    directory = join(directory, part);
    mkdirSync(directory, {recursive: true});
  }
}

function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, {withFileTypes: true})) if (entry.isDirectory()) removeTree(join(directory, entry.name));
  removeOne(directory);
}

function removeOne(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    // A zombie that nobody has reaped yet keeps a v1 group for a moment; the next start of the gateway removes it.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'EBUSY') throw error;
  }
}
