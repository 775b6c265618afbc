/**
 * Has the pager write an app's newest generation again when it has become wasteful, while the app sleeps. Whoever wants the app does not wait for
 * it: the wake starts from the original, which stays. A copy counts only when Redis points at it, and the token of a wake is newer than that of
 * the compaction, so Redis refuses the one that was overtaken. A copy that nobody points at is removed before anything else is.
 */
import type {AppConfig} from '../config/value.ts';
import {errorMessage} from '../core/errors.ts';
import type {FencingToken, Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Records} from './app-status.ts';
import type {Pager, Rest} from './instance.ts';

export interface CompactionOptions {
  readonly config: AppConfig;
  readonly pager: Pager;
  readonly records: Records;
  readonly rest: () => Rest;
  /** The generation at which Redis points, for all we know. */
  readonly pointer: () => Generation | null;
  /** Nothing of the app runs or begins to. */
  readonly isAsleep: () => boolean;
  /** The next wake is to start from `after`, if it would start from `before` now. */
  readonly replace: (before: Rest, after: Rest) => void;
  /** Redis points at a copy of the newest generation. For an app that was woken from the original meanwhile nothing else has changed. */
  readonly moved: (copy: Generation) => void;
  /** Records what the app does now, and gives up the lease of a sleeping one. Never throws. */
  readonly record: (token: FencingToken) => Promise<void>;
  readonly log: Log;
}

export class Compaction {
  readonly #options: CompactionOptions;
  #holds = 0;
  #current: AbortController | undefined;
  #isWriting = false;
  #running: Promise<void> = Promise.resolve();
  /** A generation of which there may be copies that nobody points at. */
  #copied: Generation | undefined;

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  get isUnderWay(): boolean {
    return this.#isWriting;
  }

  /** The app is wanted: what is under way is given up, without waiting for its end. */
  interrupt(): void {
    if (this.#current === undefined || this.#current.signal.aborted) return;
    this.#current.abort();
    this.#options.pager.stopCompacting(this.#options.config.name).catch(ignored);
  }

  /** Gives up what is under way and begins nothing until the result is disposed. Resolves when nothing is under way. */
  async hold(): Promise<Disposable> {
    this.#holds += 1;
    this.interrupt();
    await this.#running;
    return {
      [Symbol.dispose]: () => {
        this.#holds -= 1;
      },
    };
  }

  /** Removes copies that nobody points at; while there are any, no generation may be pruned. @throws CodedError */
  async clear(): Promise<void> {
    if (this.#copied === undefined) return;
    await this.#options.pager.discardCopies(this.#options.config.name, this.#copied);
    this.#copied = undefined;
  }

  /** Never throws, and never runs twice at a time. */
  run(): Promise<void> {
    this.#running = this.#run();
    return this.#running;
  }

  /** A compaction does only as much as is likely to be done before the app is wanted. */
  async #run(): Promise<void> {
    while (await this.#runOnce());
  }

  /** @returns whether a copy counts now, of which more may be due */
  async #runOnce(): Promise<boolean> {
    const {config, isAsleep, log, pager, record, records, rest} = this.#options;
    const original = rest();
    if (original.kind !== 'checkpoint' || !isAsleep() || this.#holds > 0) return false;
    const current = new AbortController();
    const isWanted = (): boolean => current.signal.aborted;
    this.#current = current;
    try {
      if (!(await pager.compactionDue(config.name, original.generation)) || isWanted()) return false;
      const token = await records.acquire();
      try {
        return !isWanted() && !records.isStale() && (await this.#compact(original, token, isWanted));
      } finally {
        await record(token);
      }
    } catch (error) {
      const level = isWanted() ? 'debug' : 'warn';
      log[level]({generation: original.generation, error: errorMessage(error)}, 'the generation could not be compacted; it stays as it is');
      return false;
    } finally {
      this.#current = undefined;
    }
  }

  async #compact(original: Extract<Rest, {kind: 'checkpoint'}>, token: FencingToken, isWanted: () => boolean): Promise<boolean> {
    const {generation} = original;
    const {config, moved, pager, pointer, records, replace} = this.#options;
    this.#copied = generation;
    this.#isWriting = true;
    try {
      const made = await pager.compact({app: config.name, generation, token});
      if (made === null || isWanted()) return false;
      const before = pointer();
      await records.point(token, made.generation, before);
      this.#copied = undefined;
      replace(original, {...original, generation: made.generation});
      if (pointer() === before) moved(made.generation);
      records.event('compacted', {from: generation, to: made.generation, bytesWritten: made.bytesWritten});
      await pager.keep(config.name);
      return !isWanted();
    } finally {
      this.#isWriting = false;
      // What fails here is tried again before the next generation is pruned, and when the gateway starts.
      await this.clear().catch(ignored);
    }
  }
}

function ignored(): void {
  // See where it is used.
}
