/**
 * A restore that CRIU has begun. It has read its images and is connected to the pager, but has made no namespace and no
 * process: it waits for the answer to its `pre-restore` notification, which may take hours. It must not come further before
 * the app is needed, since right after that CRIU sets the app's clocks, which go on from where they stood.
 */
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {criuError, openDirectory, type RestoreRequest, restoreLog, restoreOptions} from './criu-calls.ts';
import {readCriuFailure} from './criu-log.ts';
import {type CriuResponse, externalFilesIn, rpc} from './criu-rpc.ts';
import type {CriuSession} from './criu-session.ts';

const timeoutMs = 60_000;
/** From the permission to run. CRIU (4.2.1) waits for ever for a task that is killed at that moment. */
const resumeTimeoutMs = 5000;

export interface FinishOptions {
  readonly signal: AbortSignal;
  readonly mayRun: Promise<unknown>;
  readonly beforeRun?: () => Promise<void>;
}

export class BegunRestore implements AsyncDisposable {
  readonly #request: RestoreRequest;
  readonly #session: CriuSession;
  readonly #goOn = Promise.withResolvers<boolean>();
  #mayRun: Promise<unknown> = Promise.resolve();
  #beforeRun: () => Promise<void> = () => Promise.resolve();
  readonly #end = new AbortController();
  #response: Promise<CriuResponse> | undefined;
  #pid: number | undefined;
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
    const waits = Promise.withResolvers<undefined>();
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      using work = openDirectory(workDir);
      const files = externalFilesIn(await readFile(join(imagesDir, 'files.img')));
      this.#response = this.#session.exchange({
        request: {type: rpc.restore, options: restoreOptions(this.#request, work.descriptor, files)},
        onNotification: (script, pid) => this.#answer(script, pid, waits.resolve),
        signal: this.#end.signal,
      });
      response = await this.#within(Promise.race([waits.promise, this.#response]));
      if (response === undefined) return;
    } catch (error) {
      failure = error;
    }
    throw await this.#failure(response, failure);
  }

  async #answer(script: string, pid: number | undefined, waits: (value: undefined) => void): Promise<boolean> {
    this.#pid = pid ?? this.#pid;
    // The tasks run, and nothing can fail any more.
    if (script === 'post-resume') this.#resumed.resolve(undefined);
    switch (script) {
      case 'pre-restore':
        waits(undefined);
        return this.#goOn.promise;
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
      default:
        return true;
    }
  }

  /** False once CRIU has ended. */
  get alive(): boolean {
    return this.#session.alive;
  }

  /** When CRIU has ended, with or without our doing. */
  get ended(): Promise<void> {
    return this.#session.ended;
  }

  /**
   * Lets CRIU make the processes; the app's root must be mounted. Aborting `signal` ends it. They run when `mayRun` has resolved, and then what
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
    const end = (): void => this.#end.abort(signal.reason);
    // Refused while the root was being mounted, say: then CRIU is to make no process at all.
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, {once: true});
    this.#goOn.resolve(!signal.aborted);
    let response: CriuResponse | undefined;
    let failure: unknown;
    try {
      response = await this.#within(Promise.race([this.#resumed.promise, this.#response]));
    } catch (error) {
      failure = error;
    } finally {
      signal.removeEventListener('abort', end);
    }
    const pid = this.#pid ?? response?.pid;
    if (failure === undefined && pid !== undefined && response?.success !== false) {
      void this.#leave();
      return {pid};
    }
    await target.killAll();
    signal.throwIfAborted();
    throw await this.#failure(response, failure);
  }

  /** The app runs: nobody waits for the end of CRIU. */
  async #leave(): Promise<void> {
    await this.#response?.catch(() => {
      // What it did is done.
    });
    await this.#session[Symbol.asyncDispose]();
  }

  async #within<T>(work: Promise<T>): Promise<T> {
    this.#expireIn(timeoutMs);
    try {
      return await work;
    } finally {
      clearTimeout(this.#timer);
    }
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

  /** Ends a CRIU that still waits; one that has finished ends by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#response?.catch(() => {
      // That it was ended here.
    });
    this.#end.abort();
    this.#goOn.resolve(false);
    await this.#session[Symbol.asyncDispose]();
  }
}
