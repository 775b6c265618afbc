/** Keepers ready to use, so that none is started on the way of a wake. */
import {close} from '../../core/libc.ts';
import {type Keeper, startKeeper, stopKeeper} from './parking.ts';

export interface ReadyKeeper {
  readonly keeper: Keeper;
  /** The pair; whoever takes the keeper owns them. */
  readonly ends: [number, number];
}

export class KeeperPool implements AsyncDisposable {
  readonly #runtimeDir: string;
  #spare: Promise<ReadyKeeper> | undefined;

  constructor(runtimeDir: string) {
    this.#runtimeDir = runtimeDir;
    this.#prepare();
  }

  async take(): Promise<ReadyKeeper> {
    const spare = this.#spare ?? startKeeper(this.#runtimeDir);
    this.#spare = undefined;
    try {
      return await spare;
    } finally {
      // After this wake, not in it.
      setTimeout(() => this.#prepare(), 1000).unref();
    }
  }

  #prepare(): void {
    this.#spare ??= startKeeper(this.#runtimeDir);
    this.#spare.catch(() => {
      // Reported to the one who takes it.
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const spare = await this.#spare?.catch(() => undefined);
    this.#spare = undefined;
    if (spare === undefined) return;
    stopKeeper(spare.keeper);
    for (const end of spare.ends) close(end);
  }
}
