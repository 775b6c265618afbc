/**
 * Starts a program without copying this process: posix_spawn(3) of glibc lends the child our memory until it executes (CLONE_VM and CLONE_VFORK,
 * clone(2)). `child_process.spawn()` forks, which copies the page tables of a large process, and makes each page that is written afterwards a page fault.
 */
import {closeSync, openSync} from 'node:fs';
import {childEnvironment} from './command.ts';
import {assert, CodedError} from './errors.ts';
import {close, duplicate, errnoName, libc, reap} from './libc.ts';
import type {Argv} from './tools.ts';
import {readWaitStatus, type WaitStatus} from './wait-status.ts';

const posixSpawn = libc.func(
  'int posix_spawnp(_Out_ int *pid, const char *file, const void *actions, const void *attributes, const char **argv, const char **env)',
);
const actionsInit = libc.func('int posix_spawn_file_actions_init(_Out_ void *actions)');
const actionsAddDup2 = libc.func('int posix_spawn_file_actions_adddup2(_Inout_ void *actions, int fd, int newfd)');
const actionsAddChdir = libc.func('int posix_spawn_file_actions_addchdir_np(_Inout_ void *actions, const char *path)');
const actionsDestroy = libc.func('int posix_spawn_file_actions_destroy(_Inout_ void *actions)');
const attributesInit = libc.func('int posix_spawnattr_init(_Out_ void *attributes)');
const attributesSetFlags = libc.func('int posix_spawnattr_setflags(_Inout_ void *attributes, short flags)');
const attributesSetDefault = libc.func('int posix_spawnattr_setsigdefault(_Inout_ void *attributes, const void *signals)');

/** More than glibc has in `posix_spawn_file_actions_t` (80 bytes), `posix_spawnattr_t` (336) and `sigset_t` (128). */
const structBytes = 512;
/** spawn.h: POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK (of no signal), POSIX_SPAWN_SETSID. */
const flags = 0x04 | 0x08 | 0x80;
/** Descriptors that are handed over are moved out of the way of the numbers that they get. */
const lowestMoved = 64;

export interface QuickSpawnOptions {
  /** Ours, by the number that each has in the child; null: `/dev/null`. They stay open here. */
  readonly descriptors: readonly (number | null)[];
  /** Replaces the environment, as in command.ts. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** Both are null when somebody else has reaped it. */
export type Ending = WaitStatus | {readonly exitCode: null; readonly signal: null};

export interface QuickChild {
  readonly pid: number;
  readonly ended: Promise<Ending>;
  /** False as soon as its end is known. */
  readonly isRunning: boolean;
  /** This process need not stay for it. */
  unref(): void;
}

/**
 * The child leads a session of its own, has the usual signal handlers, and outlives us. It is born in the namespaces of this thread.
 * @throws CodedError ERR_COMMAND_MISSING when the program cannot be executed
 */
export function quickSpawn(argv: Argv, {descriptors, env, cwd}: QuickSpawnOptions): QuickChild {
  using scope = new DisposableStack();
  const actions = Buffer.alloc(structBytes);
  assert(actionsInit(actions) === 0, 'posix_spawn_file_actions_init() has failed');
  scope.defer(() => void actionsDestroy(actions));
  for (const [number, descriptor] of descriptors.entries()) {
    const source = descriptor ?? openSync('/dev/null', 'r+');
    if (descriptor === null) scope.defer(() => closeSync(source));
    const moved = duplicate(source, lowestMoved);
    scope.defer(() => close(moved));
    assert(actionsAddDup2(actions, moved, number) === 0, 'posix_spawn_file_actions_adddup2() has failed');
  }
  if (cwd !== undefined) assert(actionsAddChdir(actions, cwd) === 0, 'posix_spawn_file_actions_addchdir_np() has failed');
  const attributes = Buffer.alloc(structBytes);
  assert(attributesInit(attributes) === 0, 'posix_spawnattr_init() has failed');
  attributesSetFlags(attributes, flags);
  attributesSetDefault(attributes, Buffer.alloc(structBytes, 0xff));
  const pid = [0];
  const environment = Object.entries(childEnvironment(env)).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const errno = Number(posixSpawn(pid, argv[0], actions, attributes, [...argv, null], [...environment, null]));
  if (errno !== 0) throw new CodedError('ERR_COMMAND_MISSING', `Cannot run "${argv[0]}": ${errnoName(errno)}`, {source: 'host'});
  return new Child(pid[0] ?? 0);
}

/** Those of which the end is not known, by pid. */
const running = new Map<number, Child>();
const longestDelayMs = 2 ** 31 - 1;
/** Keeps this process as long as there is somebody for whom it stays: a wait for a signal does not. */
let alive: NodeJS.Timeout | undefined;

class Child implements QuickChild {
  readonly pid: number;
  isAwaited = true;
  readonly #ending = Promise.withResolvers<Ending>();

  constructor(pid: number) {
    this.pid = pid;
    if (running.size === 0) process.on('SIGCHLD', reapAll);
    running.set(pid, this);
    alive ??= setInterval(() => undefined, longestDelayMs);
    // It may have ended before somebody listened.
    setImmediate(reapAll);
  }

  get ended(): Promise<Ending> {
    return this.#ending.promise;
  }

  get isRunning(): boolean {
    return running.get(this.pid) === this;
  }

  unref(): void {
    this.isAwaited = false;
    stayIfAwaited();
  }

  /** @param status as of wait(2); null: it is not known */
  end(status: number | null): void {
    running.delete(this.pid);
    if (running.size === 0) process.off('SIGCHLD', reapAll);
    stayIfAwaited();
    this.#ending.resolve(status === null ? {exitCode: null, signal: null} : readWaitStatus(status));
  }
}

function stayIfAwaited(): void {
  for (const {isAwaited} of running.values()) if (isAwaited) return;
  clearInterval(alive);
  alive = undefined;
}

function reapAll(): void {
  for (const [pid, child] of running) {
    const status = reap(pid);
    if (status !== undefined) child.end(status);
  }
}
