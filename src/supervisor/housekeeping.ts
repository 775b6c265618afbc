import {errorMessage} from '../core/errors.ts';
import {Compaction, type CompactionOptions} from './compaction.ts';
import {type Rest, restLayers} from './instance.ts';

export interface HousekeepingOptions extends CompactionOptions {
  readonly keepGenerations: number;
  /** Other workers may have the app too. */
  readonly isShared: boolean;
  /** Shortens the chain of layers and removes those that are not needed. */
  readonly tidy: (rest: Rest) => Promise<Rest>;
  /** What the next wake starts from has other layers than before, which show the same. */
  readonly merged: () => void;
  /** What the next wake starts from as the store has it: with the layers that are stored. */
  readonly stored: (rest: Rest) => Promise<Rest>;
  /** Removes all layers from this worker. */
  readonly dropLayers: () => Promise<void>;
  /** Called after each pass: what is stored of the app may be another amount. */
  readonly tidied: () => void;
}

/**
 * In the background, removes what the newest generation made superfluous, and then compacts that one. One pass after the other: each looks at
 * all layers.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #compaction: Compaction;
  #passes: Promise<void> = Promise.resolve();
  #dropping: Promise<void> | undefined;
  #stopped = false;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    this.#compaction = new Compaction(options);
  }

  /** The newest generation is being written again. */
  get compacting(): boolean {
    return this.#compaction.isUnderWay;
  }

  /** Does nothing after `stop()`. */
  tidy(): void {
    if (this.#stopped) return;
    this.#passes = this.#passes.then(() => this.#pass());
  }

  /** The app is wanted. Resolves when its files are not being removed (any more). */
  async interrupt(): Promise<void> {
    this.#compaction.interrupt();
    await this.#dropping;
  }

  /**
   * Removes the files of a sleeping app from this worker.
   * @returns false when it does not sleep (any more), or not all of it is in the remote store. @throws CodedError when what is stored is not known; nothing is removed then
   */
  dropFiles(): Promise<boolean> {
    const dropped = this.#passes.then(() => this.#dropFiles());
    this.#passes = dropped.then(ignored, ignored);
    return dropped;
  }

  /** Resolves when nothing is left to be done. Never rejects. */
  async done(): Promise<void> {
    await this.#passes;
  }

  /** No generation is written from when this resolves until the result is disposed. */
  hold(): Promise<Disposable> {
    return this.#compaction.hold();
  }

  /** Begins nothing from now on. Resolves when no generation is written any more. */
  stop(): Promise<Disposable> {
    this.#stopped = true;
    return this.hold();
  }

  async #dropFiles(): Promise<boolean> {
    const {config, isAsleep, pager, rest, replace, stored, dropLayers} = this.#options;
    const before = rest();
    if (before.kind !== 'checkpoint' || !isAsleep()) return false;
    // The app may have run and slept since whoever asks saw it stored.
    const place = await pager.placement(config.name);
    if (place?.stored !== true || place.pendingObjects > 0 || place.generation !== before.generation) return false;
    // Layers may have been merged since, and what came of it is nowhere else.
    const after = await stored(before);
    if (rest() !== before || !isAsleep()) return false;
    replace(before, after);
    this.#dropping = dropLayers().finally(() => {
      this.#dropping = undefined;
    });
    await this.#dropping;
    return true;
  }

  async #pass(): Promise<void> {
    const {log} = this.#options;
    try {
      if (this.#options.isShared) await this.#asOwner(() => this.#removeOld());
      else await this.#removeOld();
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'old generations could not be removed');
      return;
    }
    await this.#compaction.run();
    this.#options.tidied();
  }

  async #removeOld(): Promise<void> {
    const {config, pager, keepGenerations, tidy, rest, replace, merged} = this.#options;
    await this.#compaction.clear();
    await pager.prune(config.name, keepGenerations);
    const before = rest();
    const after = await tidy(before);
    replace(before, after);
    if (restLayers(after).length < restLayers(before).length) merged();
  }

  /** What is removed must be nobody else's. @throws CodedError when another worker has the app, or has had it */
  async #asOwner(work: () => Promise<void>): Promise<void> {
    const {records, isAsleep} = this.#options;
    if (!isAsleep()) return;
    const token = await records.acquire();
    try {
      if (!records.isStale() && isAsleep()) await work();
    } finally {
      await records.release(token);
    }
  }
}

function ignored(): void {
  // Whoever asked is told.
}
