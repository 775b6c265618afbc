/**
 * Brings what was committed to the remote store, in the background, one generation of an app after the other, and tries again for ever. What
 * there is to do is read from the disk each time, so nothing is forgotten when the process is.
 */
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {type AppName, appName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {CachedStore} from '../../store/cached-store.ts';
import type {ColdObject} from './cold-writer.ts';
import {pendingGenerations, pendingUploads, type UploadContext, uploadGeneration, uploadOthers} from './upload-generation.ts';

const backOffMs = {first: 500, limit: 60_000} as const;

export interface UploadProgress {
  readonly pendingObjects: number;
  readonly pendingBytes: number;
  /** Key of the object that is on its way. */
  readonly current: string | null;
  /** Why it does not go on, or what was set aside. */
  readonly lastError: string | null;
}

export interface UploadsOptions {
  readonly objects: CachedStore;
  readonly log: Log;
  readonly cold: ((app: AppName, generation: number) => Promise<ColdObject>) | null;
  /** See `UploadContext`. */
  readonly layer?: UploadContext['layer'];
  /** Something has changed for an app. */
  readonly onChange: (app: AppName) => void;
  readonly onEvent: (app: AppName, event: 'stored' | 'store-unreachable' | 'overruled', message: string) => void;
  /** For tests. */
  readonly firstRetryMs?: number;
}

interface Work {
  current: string | null;
  lastError: string | null;
  /** Asked again while it was at work. */
  again: boolean;
  running: Promise<void> | undefined;
  /** Cuts the wait for the next attempt short. */
  hurry: () => void;
}

/** The app may go on from before its newest generation, and change its files; or that one is a copy at which nothing points yet. */
export type HoldReason = 'uncertain' | 'copy';

export class Uploads implements AsyncDisposable {
  readonly #options: UploadsOptions;
  readonly #works = new Map<AppName, Work>();
  /** Why generations of an app are held back: for each reason the newest one that is not. */
  readonly #held = new Map<AppName, Map<HoldReason, number>>();
  readonly #stop = new AbortController();

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Looks for what is pending of all apps, and uploads it. */
  async kickAll(): Promise<void> {
    const names = (await this.#options.objects.pendingObjects('apps/')).map(({key}) => key.split('/')[1] ?? '');
    for (const name of new Set(names)) this.kick(appName(name));
  }

  /** There may be something to upload. To be called when a generation is certain to stay. */
  kick(app: AppName): void {
    if (this.#stop.signal.aborted) return;
    const work = this.#work(app);
    work.again = true;
    work.hurry();
    work.running ??= this.#run(app, work).finally(() => {
      work.running = undefined;
      // Asked after its last look, and before this.
      if (work.again) this.kick(app);
    });
  }

  /** From now on no upload of a generation of the app that is newer than `after` begins. */
  hold(app: AppName, reason: HoldReason, after = 0): void {
    const reasons = this.#held.get(app) ?? new Map<HoldReason, number>();
    this.#held.set(app, reasons.set(reason, after));
  }

  /** Undoes `hold()` for this reason. */
  release(app: AppName, reason: HoldReason): void {
    if (this.#held.get(app)?.delete(reason) === true) this.kick(app);
  }

  async progress(app: AppName): Promise<UploadProgress> {
    const pending = await pendingUploads(this.#options.objects, app);
    const {current, lastError} = this.#work(app);
    return {pendingObjects: pending.length, pendingBytes: pending.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0), current, lastError};
  }

  /** Resolves when nothing of the app is pending. @throws CodedError ERR_NOT_STORED after the first attempt that fails */
  async finish(app: AppName): Promise<void> {
    const work = this.#work(app);
    // What went wrong before may work now.
    work.lastError = null;
    this.kick(app);
    while ((await this.progress(app)).pendingObjects > 0) {
      // Whoever holds it back may wait for the one who asks.
      if ((this.#held.get(app)?.size ?? 0) > 0) throw notStored(app, 'its newest generation is not certain to stay yet');
      const {lastError, current} = await this.progress(app);
      if (lastError !== null && current === null) throw notStored(app, lastError);
      if (work.running === undefined) this.kick(app);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const work of this.#works.values()) work.hurry();
    await Promise.all([...this.#works.values()].map(async ({running}) => running));
  }

  #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  #work(app: AppName): Work {
    const known = this.#works.get(app);
    if (known !== undefined) return known;
    const work: Work = {current: null, lastError: null, again: false, running: undefined, hurry: () => undefined};
    this.#works.set(app, work);
    return work;
  }

  /** Never throws. */
  async #run(app: AppName, work: Work): Promise<void> {
    const {log, onChange, onEvent} = this.#options;
    for (let delayMs = this.#options.firstRetryMs ?? backOffMs.first; work.again && !this.#stop.signal.aborted; ) {
      work.again = false;
      try {
        await this.#uploadAll(app, work);
        work.lastError = null;
        continue;
      } catch (error) {
        if (this.#isStopped()) return;
        work.again = true;
        const isNews = work.lastError === null;
        work.lastError = errorMessage(error);
        if (errorCode(error) === 'ERR_OVERRULED') {
          log.error({app, error: work.lastError}, 'a generation was overruled');
          onEvent(app, 'overruled', work.lastError);
        } else if (isNews) {
          log.warn({app, error: work.lastError}, 'an upload failed; it is tried again for as long as it takes');
          onEvent(app, 'store-unreachable', work.lastError);
        }
      } finally {
        work.current = null;
        onChange(app);
      }
      await this.#pause(work, delayMs * (0.5 + Math.random() / 2));
      delayMs = Math.min(backOffMs.limit, delayMs * 2);
    }
  }

  async #uploadAll(app: AppName, work: Work): Promise<void> {
    const {objects, log, cold, layer = null, onChange, onEvent} = this.#options;
    const onObject = (key: string): void => {
      work.current = key;
      onChange(app);
    };
    const context: UploadContext = {objects, log, cold, layer, signal: this.#stop.signal, onObject};
    await uploadOthers(context, app);
    for (;;) {
      const [generation] = await pendingGenerations(objects, app);
      if (generation === undefined || generation > Math.min(...(this.#held.get(app)?.values() ?? []))) return;
      try {
        await uploadGeneration(context, app, generation);
        onEvent(app, 'stored', `generation ${generation}`);
      } catch (error) {
        // Removed meanwhile: a newer one takes its place, or it never counted.
        const isThere = (await pendingGenerations(objects, app)).includes(generation);
        if (isThere || errorCode(error) === 'ERR_OVERRULED') throw error;
      }
    }
  }

  async #pause(work: Work, delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      timer.unref();
      work.hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    work.hurry = () => undefined;
  }
}

function notStored(app: AppName, found: string): CodedError {
  return new CodedError('ERR_NOT_STORED', `Cannot store app "${app}": ${found}`, {source: 'host', retryable: true});
}
