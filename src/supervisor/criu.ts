/**
 * Checkpoint and restore of one app through CRIU. A dump is committed or cancelled while its tasks are frozen and their
 * connections cannot be touched: CRIU asks in its `post-dump` notification, and the answer decides whether it kills the
 * tasks in silence or lets them go on as if nothing had happened.
 */
import {closeSync, constants, openSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Argv} from '../core/tools.ts';
import {makeCriuCache} from './criu-cache.ts';
import {type CriuFailure, readCriuFailure} from './criu-log.ts';
import {type CriuOptions, type CriuResponse, type ExternalFile, externalFilesIn, manageCgroups, networkLock, rpc} from './criu-rpc.ts';
import {CriuSession, inputDescriptor, outputDescriptor} from './criu-session.ts';
import {signalAll} from './signals.ts';
import {externalName, type StandardFiles} from './standard-files.ts';
import {thaw} from './thaw.ts';

/** What CRIU must know of a container. */
export interface RestoreTarget {
  /** The app's name, for messages. */
  readonly name: string;
  readonly rootDir: string;
  readonly netnsPath: string;
  readonly bindMounts: readonly {readonly name: string; readonly inside: string; readonly outside: string}[];
  readonly standardFiles: StandardFiles;
  /** Puts CRIU into the app's control groups, where there is room for it until `left`. */
  enter(pid: number): Promise<void>;
  left(): void;
  pids(): readonly number[];
  killAll(): Promise<void>;
}

export interface CheckpointRequest {
  /** The app's first process, as the host numbers it. */
  readonly pid: number;
  /** CRIU's images are written here. */
  readonly dumpDir: string;
  /** CRIU's log is written here. */
  readonly workDir: string;
  readonly target: RestoreTarget;
  /** Called once, when everything is written and the tasks are frozen. Throwing cancels. */
  readonly decide: () => Promise<'commit' | 'cancel'>;
  /** Default 120 s. */
  readonly timeoutMs?: number;
  /** Aborting before `decide` was called cancels, with the signal's reason thrown. */
  readonly signal?: AbortSignal;
}

export type CheckpointOutcome = {readonly kind: 'committed' | 'cancelled' /** From before the first task was stopped to the end. */; readonly frozenMs: number};

export interface RestoreRequest {
  readonly imagesDir: string;
  /** CRIU's log is written here; with `lazy`, whoever serves memory listens on `lazy-pages.socket` in it. */
  readonly workDir: string;
  readonly target: RestoreTarget;
  readonly lazy: boolean;
  /** Default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CheckpointDriver extends AsyncDisposable {
  /**
   * Starts a CRIU for the next restore of a sleeping app and lets it wait in its namespace and control groups, which
   * takes 15 to 25 ms off the wake. Costs about 2 MB; only so many wait, the oldest gives way. Harmless to repeat.
   */
  ready(target: RestoreTarget): Promise<void>;
  /** Ends the CRIU that waits for an app, if one does. For an app that is started anew or removed. */
  unready(target: RestoreTarget): Promise<void>;
  /**
   * Resolves when CRIU has ended: 'committed', its tasks are gone; 'cancelled', they go on. It is cancelled without
   * a call of `decide` when a connection waits to be accepted.
   * @throws CodedError ERR_CHECKPOINT, or what `decide` threw; the tasks go on
   */
  checkpoint(request: CheckpointRequest): Promise<CheckpointOutcome>;
  /** @returns the host's pid of the app's first process. @throws CodedError ERR_RESTORE; no process is left then */
  restore(request: RestoreRequest): Promise<{pid: number}>;
}

export interface CriuDriverOptions {
  /** How to start CRIU, see criuCommand(). */
  readonly argv: Argv;
  /** On a tmpfs: CRIU's knowledge of the kernel is kept here. */
  readonly runtimeDir: string;
  readonly log: Log;
  /** How many CRIUs may wait for a wake at most. Default 64. */
  readonly readyMax?: number;
}

const checkpointTimeoutMs = 120_000;
const restoreTimeoutMs = 60_000;
/** Deleted but open files up to this size are saved with the memory. */
const ghostLimitBytes = 256 * 1024 * 1024;
const warnings = 2;
const dumpLog = 'dump.log';
const restoreLog = 'restore.log';

const commonOptions = {
  imagesDirFd: -1,
  logLevel: warnings,
  tcpEstablished: true,
  fileLocks: true,
  extUnixSockets: true,
  linkRemap: true,
  manageCgroupsMode: manageCgroups.ignore,
  networkLock: networkLock.skip,
  ghostLimit: ghostLimitBytes,
} as const satisfies CriuOptions;

export function openCriu(options: CriuDriverOptions): CheckpointDriver {
  return new Driver(options);
}

class Driver implements CheckpointDriver {
  readonly #criu: Argv;
  readonly #log: Log;
  readonly #readyMax: number;
  /** By the app's root, in the order in which they were readied. */
  readonly #waiting = new Map<string, Promise<CriuSession>>();

  /** Settles before the first use; an error is only slowness. */
  readonly #cache: Promise<void>;

  constructor({argv, runtimeDir, log, readyMax = 64}: CriuDriverOptions) {
    this.#criu = argv;
    this.#log = log;
    this.#readyMax = readyMax;
    this.#cache = makeCriuCache(argv, runtimeDir).catch((error: unknown) => {
      log.warn({error: errorMessage(error)}, 'each wake takes some 25 ms longer');
    });
  }

  async ready(target: RestoreTarget): Promise<void> {
    if (this.#waiting.has(target.rootDir) || this.#readyMax === 0) return;
    const session = this.#start(target);
    this.#waiting.set(target.rootDir, session);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > this.#readyMax && oldest !== undefined) void this.#end(oldest);
    try {
      await session;
    } catch (error) {
      this.#waiting.delete(target.rootDir);
      throw error;
    }
  }

  unready(target: RestoreTarget): Promise<void> {
    return this.#end(target.rootDir);
  }

  async #end(rootDir: string): Promise<void> {
    const waiting = this.#waiting.get(rootDir);
    this.#waiting.delete(rootDir);
    try {
      await (await waiting)?.[Symbol.asyncDispose]();
    } catch {
      // It never started; whoever asked for it has been told.
    }
  }

  /** In the app's control groups, so that what it restores is born there, and it has nothing to save of them. */
  async #start(target: RestoreTarget): Promise<CriuSession> {
    await this.#cache;
    const session = await CriuSession.start({criu: this.#criu, netnsPath: target.netnsPath, standardFiles: target.standardFiles});
    try {
      await target.enter(session.pid);
      return session;
    } catch (cause) {
      await session[Symbol.asyncDispose]();
      throw new CodedError('ERR_CRIU_START', `Cannot start CRIU for app "${target.name}"`, {source: 'host', retryable: true, cause});
    }
  }

  async #takeWaiting(target: RestoreTarget): Promise<CriuSession | undefined> {
    const waiting = this.#waiting.get(target.rootDir);
    this.#waiting.delete(target.rootDir);
    const session = await waiting?.catch(() => undefined); // Then one is started now, and its error is told.
    if (session?.alive === false) await session[Symbol.asyncDispose]();
    return session?.alive ? session : undefined;
  }

  async checkpoint(request: CheckpointRequest): Promise<CheckpointOutcome> {
    const {target, timeoutMs = checkpointTimeoutMs, signal} = request;
    signal?.throwIfAborted();
    await using session = await this.#start(target);
    using workDir = openDirectory(request.workDir);
    const frozenFrom = performance.now();
    const decision = new Decision(request.decide, signal);
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      response = await session.exchange({
        request: {type: rpc.dump, options: dumpOptions(request, workDir.descriptor, timeoutMs)},
        onNotification: (script) => decision.answer(script),
        timeoutMs,
        beforeKill: () => signalAll(target.pids(), 'SIGSTOP'),
      });
    } catch (error) {
      failure = error;
      if (decision.made !== 'commit') await thaw(target.pids(), this.#log);
    } finally {
      target.left();
    }
    const frozenMs = performance.now() - frozenFrom;
    if (decision.made === 'commit') {
      // The generation counts now, whatever CRIU says afterwards: its tasks must not live on beside it.
      await target.killAll();
      if (response?.success !== true)
        this.#log.warn({app: target.name, error: errorMessage(failure ?? response?.errorMessage)}, 'CRIU failed after the commit');
      return {kind: 'committed', frozenMs};
    }
    if (decision.error !== undefined) throw decision.error;
    if (decision.made === 'cancel') return {kind: 'cancelled', frozenMs};
    const said = await readCriuFailure(join(request.workDir, dumpLog));
    if (said.connecting) return {kind: 'cancelled', frozenMs};
    throw criuError('ERR_CHECKPOINT', `Cannot checkpoint app "${target.name}"`, said, response, failure);
  }

  async restore(request: RestoreRequest): Promise<{pid: number}> {
    const {target, workDir, timeoutMs = restoreTimeoutMs, signal} = request;
    let response: CriuResponse | undefined;
    let failure: unknown;
    await using scope = new AsyncDisposableStack();
    try {
      const session = scope.use((await this.#takeWaiting(target)) ?? (await this.#start(target)));
      using work = openDirectory(workDir);
      const files = externalFilesIn(await readFile(join(request.imagesDir, 'files.img')));
      response = await session.exchange({
        request: {type: rpc.restore, options: restoreOptions(request, work.descriptor, files)},
        onNotification: () => Promise.resolve(true),
        timeoutMs,
        signal,
      });
    } catch (error) {
      failure = error;
    }
    if (response?.success === true && response.pid !== undefined) {
      // The app runs: nobody waits for the end of CRIU.
      void scope.move().disposeAsync();
      return {pid: response.pid};
    }
    await target.killAll();
    signal?.throwIfAborted();
    throw criuError('ERR_RESTORE', `Cannot restore app "${target.name}"`, await readCriuFailure(join(workDir, restoreLog)), response, failure);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache;
    await Promise.all([...this.#waiting.keys()].map((rootDir) => this.#end(rootDir)));
  }
}

/** The answers to the notifications of one dump. */
class Decision {
  readonly #decide: () => Promise<'commit' | 'cancel'>;
  readonly #signal: AbortSignal | undefined;
  made: 'commit' | 'cancel' | undefined;
  error: Error | undefined;

  constructor(decide: () => Promise<'commit' | 'cancel'>, signal: AbortSignal | undefined) {
    this.#decide = decide;
    this.#signal = signal;
  }

  async answer(script: string): Promise<boolean> {
    try {
      if (this.made === undefined) this.#signal?.throwIfAborted();
      if (script === 'post-dump') this.made = await this.#decide();
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
      this.made = 'cancel';
    }
    return this.made !== 'cancel';
  }
}

function dumpOptions({pid, dumpDir, target}: CheckpointRequest, workDirFd: number, timeoutMs: number): CriuOptions {
  return {
    ...commonOptions,
    pid,
    imagesDir: dumpDir,
    workDirFd,
    logFile: dumpLog,
    notifyScripts: true,
    root: target.rootDir,
    external: [
      ...target.bindMounts.map(({name, inside}) => `mnt[${inside}]:${name}`),
      externalName(target.standardFiles.input),
      externalName(target.standardFiles.output),
    ],
    timeout: Math.ceil(timeoutMs / 1000),
  };
}

function restoreOptions({imagesDir, target, lazy}: RestoreRequest, workDirFd: number, files: readonly ExternalFile[]): CriuOptions {
  return {
    ...commonOptions,
    imagesDir,
    workDirFd,
    logFile: restoreLog,
    root: target.rootDir,
    external: target.bindMounts.map(({name, outside}) => `mnt[${name}]:${outside}`),
    inheritFd: files.map(({name, kind}) => ({key: name, fd: kind === 'fifo' ? outputDescriptor : inputDescriptor})),
    lazyPages: lazy,
  };
}

function openDirectory(path: string): Disposable & {readonly descriptor: number} {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  return {descriptor, [Symbol.dispose]: () => closeSync(descriptor)};
}

function criuError(
  code: 'ERR_CHECKPOINT' | 'ERR_RESTORE',
  what: string,
  {excerpt, explanation}: CriuFailure,
  response: CriuResponse | undefined,
  cause: unknown,
): CodedError {
  const found = explanation ?? (cause === undefined ? (excerpt === '' ? response?.errorMessage : undefined) : errorMessage(cause));
  const log = excerpt === '' ? undefined : `CRIU's log: ${excerpt}`;
  return new CodedError(code, `${what}: ${[found, log].filter((part) => part !== undefined).join('; ') || 'CRIU does not say why'}`, {
    source: 'host',
    // Nothing has changed; another attempt may find the app in another state.
    retryable: errorCode(cause) !== 'ENOENT',
    cause,
  });
}
