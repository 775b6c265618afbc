/**
 * A restore that CRIU has begun. It has read its images and is connected to the pager, and waits for the answer to a notification, which may take hours:
 * to `pre-restore`, when it has made no namespace and no process; or, after `makeNamespaces()`, to `post-setup-namespaces`, when the app's first process is
 * there and nothing of what ran in it.
 */
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {assert, CodedError} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {stopClocks} from './app-clock.ts';
import {criuError, openDirectory, type RestoreRequest, restoreLog, restoreOptions} from './criu-calls.ts';
import {readCriuFailure} from './criu-log.ts';
import {type CriuResponse, externalFilesIn, rpc} from './criu-rpc.ts';
import {type CriuSession, lastWordsMs} from './criu-session.ts';
import {leaveContainers} from './host-mounts.ts';
import {reapAll} from './process-tree.ts';
import {removeRootsYard, rootsYardOf} from './roots-yard.ts';
import type {Clocks} from './timers/core-image.ts';

const timeoutMs = 60_000;
/** From the permission to run. CRIU (4.2.1) waits for ever for a task that is killed at that moment. */
const resumeTimeoutMs = 5000;
/** The end of CRIU takes a processor for a millisecond, for which the app and whoever hands it what its client has sent would wait. */
const afterwardsMs = 50;
/** For a CRIU that is refused to go on. */
const refusalTimeoutMs = 1000;

export interface FinishOptions {
  readonly signal: AbortSignal;
  readonly mayRun: Promise<unknown>;
  readonly beforeRun?: () => Promise<void>;
}

export class BegunRestore implements AsyncDisposable {
  readonly #request: RestoreRequest;
  readonly #session: CriuSession;
  readonly #gates = {'pre-restore': new Gate(), 'post-setup-namespaces': new Gate()};
  /** Of an app whose first process is there. */
  #startClocks: (() => Promise<void>) | undefined;
  #mayRun: Promise<unknown> = Promise.resolve();
  #beforeRun: () => Promise<void> = () => Promise.resolve();
  readonly #end = new AbortController();
  #response: Promise<CriuResponse> | undefined;
  #pid: number | undefined;
  /** Of a CRIU that is not known to remove it. */
  #yard: string | null = null;
  #isGivenUp = false;
  #runs = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #resumed = Promise.withResolvers<undefined>();

  /** Owns the session from now on. `begin()` comes next. */
  constructor(request: RestoreRequest, session: CriuSession) {
    this.#request = request;
    this.#session = session;
  }

  /** Resolves when CRIU waits. @throws CodedError ERR_RESTORE */
  async begin(): Promise<void> {
    const {imagesDir, workDir} = this.#request;
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      using work = openDirectory(workDir);
      const files = externalFilesIn(await readFile(join(imagesDir, 'files.img')));
      this.#response = this.#session.exchange({
        request: {type: rpc.restore, options: restoreOptions(this.#request, work.descriptor, files)},
        onNotification: (script, pid) => this.#answer(script, pid),
        signal: this.#end.signal,
      });
      response = await this.#within(Promise.race([this.#gates['pre-restore'].reached, this.#response]));
      if (response === undefined) return;
    } catch (error) {
      failure = error;
    }
    throw await this.#failure(response, failure);
  }

  /**
   * Goes as far as can be gone while the app sleeps; its root must be mounted, and stay so. `finish()` comes next.
   * @param clocks which the app's go on from
   * @throws CodedError ERR_RESTORE
   */
  async makeNamespaces(clocks: Clocks): Promise<void> {
    const gate = this.#gates['post-setup-namespaces'];
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      this.#gates['pre-restore'].open(true);
      response = await this.#within(Promise.race([gate.reached, this.#response]));
      if (response === undefined) {
        assert(this.#pid !== undefined, 'CRIU has made namespaces and no process');
        this.#request.target.waiting.add(this.#pid);
        await leaveContainers(this.#pid, this.#request.target.containersDir);
        const start = await stopClocks(this.#pid);
        this.#startClocks = () => start(clocks);
        return;
      }
    } catch (error) {
      failure = error;
    }
    throw await this.#failure(response, failure);
  }

  async #answer(script: string, pid: number | undefined): Promise<boolean> {
    this.#pid = pid ?? this.#pid;
    switch (script) {
      case 'pre-restore':
        return this.#gates[script].wait();
      case 'post-setup-namespaces':
        if (this.#pid !== undefined) this.#yard = rootsYardOf(this.#pid);
        return (await this.#gates[script].wait()) && !this.#isGivenUp;
      case 'setup-namespaces':
        return !this.#isGivenUp;
      case 'post-restore':
        // The processes are complete, and none has run yet. A refusal makes CRIU kill them.
        faultPoint('supervisor:wake:processes-made');
        return this.#mayRun
          .then(() => this.#beforeRun())
          .then(
            () => {
              this.#expireIn(resumeTimeoutMs);
              return true;
            },
            () => false,
          );
      case 'post-resume':
        // The tasks run, and nothing can fail any more.
        this.#resumed.resolve(undefined);
        return sleep(afterwardsMs, true);
      default:
        return true;
    }
  }

  /** False once CRIU has ended. */
  get alive(): boolean {
    return this.#session.alive;
  }

  /** When CRIU has ended, with or without our doing. */
  get ended(): Promise<unknown> {
    return this.#session.ended;
  }

  /**
   * Lets CRIU make the processes (the others); the app's root must be mounted. Aborting `signal` ends it. They run when `mayRun` has resolved, and then what
   * `beforeRun` does to them is done.
   * @returns the host's pid of the app's first process
   * @throws CodedError ERR_RESTORE, or the signal's reason; no process is left then
   */
  async finish({signal, mayRun, beforeRun = this.#beforeRun}: FinishOptions): Promise<{pid: number}> {
    const {target} = this.#request;
    // Whoever is given up waits for no permission any more.
    const {promise: givenUp, reject} = Promise.withResolvers<undefined>();
    this.#end.signal.addEventListener('abort', () => reject(this.#end.signal.reason), {once: true});
    this.#beforeRun = beforeRun;
    this.#mayRun = Promise.race([mayRun, givenUp]);
    this.#mayRun.catch(() => {
      // CRIU may never ask.
    });
    const end = (): void => this.#giveUp(signal.reason);
    // Refused while the root was being mounted, say: then CRIU is to make no process at all.
    if (signal.aborted) this.#end.abort(signal.reason);
    else signal.addEventListener('abort', end, {once: true});
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      if (!signal.aborted) await this.#startClocks?.();
      target.waiting.clear();
      for (const gate of Object.values(this.#gates)) gate.open(!signal.aborted);
      response = await this.#within(Promise.race([this.#resumed.promise, this.#response]));
    } catch (error) {
      failure = error;
    } finally {
      signal.removeEventListener('abort', end);
    }
    const pid = this.#pid ?? response?.pid;
    if (failure === undefined && pid !== undefined && response?.success !== false) {
      this.#runs = true;
      void this.#leave();
      return {pid};
    }
    await target.killAll();
    signal.throwIfAborted();
    throw await this.#failure(response, failure);
  }

  /** The app runs: nobody waits for the end of CRIU. */
  async #leave(): Promise<void> {
    await this.#response?.catch(ignored);
    await this.#session[Symbol.asyncDispose]();
    await this.#tidy();
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    this.#expireIn(timeoutMs);
    try {
      return await Promise.race([work, this.#endsSilently()]);
    } finally {
      clearTimeout(this.#timer);
    }
  }

  /** Its task, which has the socket too, may wait on. */
  async #endsSilently(): Promise<never> {
    await this.#session.ended;
    await sleep(lastWordsMs, undefined, {ref: false});
    throw new CodedError('ERR_CRIU_ENDED', 'CRIU ended without an answer', {source: 'host'});
  }

  /** One whose directory is not known is refused at its next question, and removes it then. */
  #giveUp(reason: unknown): void {
    if (this.#yard !== null) {
      this.#end.abort(reason);
      return;
    }
    this.#isGivenUp = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end.abort(reason), refusalTimeoutMs);
  }

  #expireIn(limitMs: number): void {
    clearTimeout(this.#timer);
    const late = new CodedError('ERR_CRIU_TIMEOUT', `CRIU had not finished after ${limitMs} ms`, {source: 'host'});
    this.#timer = setTimeout(() => this.#end.abort(late), limitMs);
  }

  async #failure(response: CriuResponse | undefined, cause: unknown): Promise<CodedError> {
    const {target, workDir} = this.#request;
    return criuError('ERR_RESTORE', `Cannot restore app "${target.name}"`, await readCriuFailure(join(workDir, restoreLog)), response, cause);
  }

  /** Ends a CRIU that still waits, and what it has made; one that has finished ends by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    // CRIU (4.2.1) removes its directory in /tmp when it fails after this point, not when it is killed or fails before.
    this.#isGivenUp = true;
    this.#gates['pre-restore'].open(true);
    this.#gates['post-setup-namespaces'].open(false);
    const timer = setTimeout(() => this.#end.abort(), refusalTimeoutMs);
    // Of one that was killed from outside no answer comes: its task has the socket too.
    await Promise.race([this.#response, this.#session.ended]).catch(ignored);
    clearTimeout(timer);
    this.#response?.catch(ignored);
    const {target} = this.#request;
    target.waiting.clear();
    const tasks = this.#runs ? [] : target.pids();
    // First: the session ends when nobody has its standard error any more.
    if (tasks.length > 0) await target.killAll();
    await this.#session[Symbol.asyncDispose]();
    await reapAll(tasks);
    if (!this.#runs) await this.#tidy();
  }

  /** After the end of CRIU and of what it had made. */
  async #tidy(): Promise<void> {
    const yard = this.#yard;
    this.#yard = null;
    if (yard !== null && !this.#session.hasAnswered) await removeRootsYard(yard);
  }
}

/** Where CRIU waits for an answer. */
class Gate {
  readonly #reached = Promise.withResolvers<undefined>();
  readonly #answer = Promise.withResolvers<boolean>();

  get reached(): Promise<undefined> {
    return this.#reached.promise;
  }

  wait(): Promise<boolean> {
    this.#reached.resolve(undefined);
    return this.#answer.promise;
  }

  /** The first answer counts. */
  open(goOn: boolean): void {
    this.#answer.resolve(goOn);
  }
}

function ignored(): void {
  // What CRIU did is done, or it was ended here.
}
