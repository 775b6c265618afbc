import {errorMessage} from '../core/errors.ts';
import {Compaction, type CompactionOptions} from './compaction.ts';
import type {Rest} from './instance.ts';

export interface HousekeepingOptions extends CompactionOptions {
  readonly keepGenerations: number;
  /** Shortens the chain of layers and removes those that are not needed. */
  readonly tidy: (rest: Rest) => Promise<Rest>;
}

/**
 * In the background, removes what the newest generation made superfluous, and then compacts that one. One pass after the other: each looks at
 * all layers.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #compaction: Compaction;
  #passes: Promise<void> = Promise.resolve();

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    this.#compaction = new Compaction(options);
  }

  tidy(): void {
    this.#passes = this.#passes.then(() => this.#pass());
  }

  /** The app is wanted. */
  interrupt(): void {
    this.#compaction.interrupt();
  }

  /** No generation is written from when this resolves until the result is disposed. */
  hold(): Promise<Disposable> {
    return this.#compaction.hold();
  }

  async #pass(): Promise<void> {
    const {config, pager, keepGenerations, tidy, rest, replace, log} = this.#options;
    try {
      await this.#compaction.clear();
      await pager.prune(config.name, keepGenerations);
      const before = rest();
      replace(before, await tidy(before));
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'old generations could not be removed');
      return;
    }
    await this.#compaction.run();
  }
}
