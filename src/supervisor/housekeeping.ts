import type {AppConfig} from '../config/value.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Pager, Rest} from './instance.ts';

export interface HousekeepingOptions {
  readonly config: AppConfig;
  readonly pager: Pager;
  readonly keepGenerations: number;
  /** Shortens the chain of layers and removes those that are not needed. */
  readonly tidy: (rest: Rest) => Promise<Rest>;
  readonly rest: () => Rest;
  /** Takes what `tidy` made of `before`, if the next wake still starts from that. */
  readonly replace: (before: Rest, after: Rest) => void;
  readonly log: Log;
}

/** Removes, in the background, what the newest generation made superfluous. One pass after the other: each looks at all layers. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #passes: Promise<void> = Promise.resolve();

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  tidy(): void {
    this.#passes = this.#passes.then(() => this.#pass());
  }

  async #pass(): Promise<void> {
    const {config, pager, keepGenerations, tidy, rest, replace, log} = this.#options;
    const before = rest();
    try {
      await pager.prune(config.name, keepGenerations);
      replace(before, await tidy(before));
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'old generations could not be removed');
    }
  }
}
