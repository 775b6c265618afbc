/**
 * Checkpoint and restore of one app through CRIU. A dump is committed or cancelled while its tasks are frozen and their
 * connections cannot be touched: CRIU asks in its `post-dump` notification, and the answer decides whether it kills the
 * tasks in silence or lets them go on as if nothing had happened.
 */
import {join} from 'node:path';
import {CodedError, errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import type {Log} from '../core/log.ts';
import type {Argv} from '../core/tools.ts';
import {BegunRestore} from './begun-restore.ts';
import {makeCriuCache} from './criu-cache.ts';
import {type CheckpointRequest, criuError, dumpLog, dumpOptions, openDirectory, type RestoreRequest, type RestoreTarget} from './criu-calls.ts';
import {readCriuFailure} from './criu-log.ts';
import {type CriuResponse, rpc} from './criu-rpc.ts';
import {CriuSession} from './criu-session.ts';
import {signalAll} from './signals.ts';
import {thaw} from './thaw.ts';

export type CheckpointOutcome = {readonly kind: 'committed' | 'cancelled' /** From before the first task was stopped to the end. */; readonly frozenMs: number};

export interface CheckpointDriver extends AsyncDisposable {
  /**
   * Resolves when CRIU has ended: 'committed', its tasks are gone; 'cancelled', they go on. It is cancelled without
   * a call of `decide` when a connection waits to be accepted.
   * @throws CodedError ERR_CHECKPOINT, or what `decide` threw; the tasks go on
   */
  checkpoint(request: CheckpointRequest): Promise<CheckpointOutcome>;
  /**
   * Resolves when CRIU waits for `finish()`, in the app's namespace and control groups; 1 MB. CRIU is started while its images are still made.
   * @throws CodedError ERR_RESTORE; what `imagesDir` rejects with
   */
  beginRestore(request: Omit<RestoreRequest, 'imagesDir'> & {readonly imagesDir: string | Promise<string>}): Promise<BegunRestore>;
}

export interface CriuDriverOptions {
  /** How to start CRIU, see criuCommand(). */
  readonly argv: Argv;
  /** On a tmpfs: CRIU's knowledge of the kernel is kept here. */
  readonly runtimeDir: string;
  readonly log: Log;
}

const checkpointTimeoutMs = 120_000;
export function openCriu(options: CriuDriverOptions): CheckpointDriver {
  return new Driver(options);
}

class Driver implements CheckpointDriver {
  readonly #criu: Argv;
  readonly #log: Log;
  /** Settles before the first use; an error is only slowness. */
  readonly #cache: Promise<void>;

  constructor({argv, runtimeDir, log}: CriuDriverOptions) {
    this.#criu = argv;
    this.#log = log;
    this.#cache = makeCriuCache(argv, runtimeDir).catch((error: unknown) => {
      log.warn({error: errorMessage(error)}, 'each wake takes some 25 ms longer');
    });
  }

  /** In the app's control groups, so that what it restores is born there, and it has nothing to save of them. */
  async #start(target: RestoreTarget): Promise<CriuSession> {
    await this.#cache;
    const session = CriuSession.start({criu: this.#criu, netnsPath: target.netnsPath, standardFiles: target.standardFiles});
    const leave = async (): Promise<void> => {
      await session.ended;
      target.left(session.pid);
    };
    leave().catch((error: unknown) => this.#log.warn({app: target.name, error: errorMessage(error)}, 'the limits of the app have room for CRIU still'));
    try {
      await target.enter(session.pid);
      return session;
    } catch (cause) {
      await session[Symbol.asyncDispose]();
      throw new CodedError('ERR_CRIU_START', `Cannot start CRIU for app "${target.name}"`, {source: 'host', retryable: true, cause});
    }
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

  async beginRestore(request: Parameters<CheckpointDriver['beginRestore']>[0]): Promise<BegunRestore> {
    await using scope = new AsyncDisposableStack();
    const [session, imagesDir] = await Promise.allSettled([this.#start(request.target), request.imagesDir]);
    if (session.status === 'rejected') throw session.reason;
    scope.use(session.value);
    if (imagesDir.status === 'rejected') throw imagesDir.reason;
    const restore = scope.use(new BegunRestore({...request, imagesDir: imagesDir.value}, session.value));
    await restore.begin();
    scope.move();
    return restore;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache;
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
    if (script === 'pre-dump') faultPoint('supervisor:hibernate:dump-begun');
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
