/**
 * Commands that an operator runs beside the processes of an app (`picogate exec`). They share its namespaces, its user and its restrictions, but not its
 * control groups: the memory that they take is not the app's, and a checkpoint would not know what to do with them. So an app does not sleep while
 * there are any. Whoever runs one may be killed at any time: what counts is which processes there are.
 */
import {existsSync, readdirSync, readFileSync, rmdirSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError, errorCode} from '../core/errors.ts';
import {keptPath} from '../core/kept-path.ts';
import type {CgroupMounts} from './cgroup-mounts.ts';

/** A command that was allowed has so long to appear. */
const startMs = 10_000;
const killTimeoutMs = 10_000;
const killPollMs = 5;

/** What an operator wants to run beside the app's processes. */
export interface GuestCommand {
  readonly args: readonly string[];
  /** Null: that of the app. */
  readonly user: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly terminal: boolean;
  /** In characters; null: not known. */
  readonly consoleSize: {readonly width: number; readonly height: number} | null;
}

/** Of thousands of apps most never have a command: they share this, which stays empty. */
const none = new Map<string, number>();

export class GuestCommands {
  /** The group in which each command has one of its own. */
  readonly path: string;
  readonly #mounts: CgroupMounts;
  /** Those that are about to start, and until when (monotonic). */
  #expected = none;

  /** @param appPath the control group of the app */
  constructor(mounts: CgroupMounts, appPath: string) {
    this.path = keptPath(`${appPath}+exec`);
    this.#mounts = mounts;
  }

  get #directories(): readonly string[] {
    const {unified, legacy, unused} = this.#mounts;
    const roots = new Set([...(unified === undefined ? [] : [unified]), ...legacy.values(), ...unused.map(({root}) => root)]);
    return [...roots].map((root) => join(root, this.path));
  }

  /** From now on the app stays awake until the command has come and gone. @returns the control group that it is to have */
  expect(id: string): string {
    if (this.#expected === none) this.#expected = new Map();
    this.#expected.set(id, performance.now() + startMs);
    return `${this.path}/${id}`;
  }

  /** It was not started, or has ended. */
  ended(id: string): void {
    this.#expected.delete(id);
  }

  /** How many processes there are, and commands that are about to start. */
  get count(): number {
    const nowMs = performance.now();
    for (const [id, untilMs] of this.#expected) if (untilMs < nowMs) this.#expected.delete(id);
    return Math.max(this.#pids().size, this.#expected.size);
  }

  #pids(): Set<number> {
    return new Set(this.#directories.flatMap((directory) => groupsIn(directory).flatMap((group) => pidsIn(group))));
  }

  /** Ends all of them. @throws CodedError ERR_CGROUP_BUSY when some are still there after a while */
  async kill(): Promise<void> {
    const deadlineMs = performance.now() + killTimeoutMs;
    this.#expected.clear();
    for (let pids = this.#pids(); pids.size > 0; pids = this.#pids()) {
      if (performance.now() > deadlineMs) {
        const found = `${[...pids].join(', ')} are still there`;
        throw new CodedError('ERR_CGROUP_BUSY', `Cannot end the processes of control group "${this.path}": ${found}`, {source: 'host'});
      }
      for (const pid of pids) killOne(pid);
      await new Promise((resolve) => setTimeout(resolve, killPollMs));
    }
  }

  /** Removes what is empty of the control groups. */
  remove(): void {
    for (const directory of this.#directories) for (const group of [...groupsIn(directory), directory]) removeEmpty(group);
  }
}

function groupsIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, {withFileTypes: true}).flatMap((entry) => (entry.isDirectory() ? [join(directory, entry.name)] : []));
}

function pidsIn(group: string): number[] {
  try {
    return readFileSync(join(group, 'cgroup.procs'), 'utf8')
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [Number(line)]));
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENODEV') return [];
    throw error;
  }
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

function removeEmpty(group: string): void {
  try {
    rmdirSync(group);
  } catch (error) {
    // A command whose end nobody has waited for keeps it; the next start of the gateway removes it.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'EBUSY') throw error;
  }
}
