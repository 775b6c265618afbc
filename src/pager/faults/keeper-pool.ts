/** Keepers ready to use, so that none is started on the way of a wake. */
import {close} from '../../core/libc.ts';
import {type Keeper, startKeeper, stopKeeper} from './parking.ts';

export interface ReadyKeeper {
  readonly keeper: Keeper;
  /** The pair; whoever takes the keeper owns them. */
  readonly ends: [number, number];
}

export class KeeperPool implements Disposable {
  readonly #runtimeDir: string;
  #spare: ReadyKeeper | undefined;

  constructor(runtimeDir: string) {
    this.#runtimeDir = runtimeDir;
    this.#prepare();
  }

  /** @throws what `startKeeper()` throws */
  take(): ReadyKeeper {
    const taken = this.#spare ?? startKeeper(this.#runtimeDir);
    this.#spare = undefined;
    // After this wake, not in it.
    setTimeout(() => this.#prepare(), 1000).unref();
    return taken;
  }

  #prepare(): void {
    try {
      this.#spare ??= startKeeper(this.#runtimeDir);
    } catch {
      // Whoever takes one meets it.
    }
  }

  [Symbol.dispose](): void {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare === undefined) return;
    stopKeeper(spare.keeper);
    for (const end of spare.ends) close(end);
  }
}
