/** Bounds what all apps together have prepared for their next wakes. */
import {totalmem} from 'node:os';

export interface StandbyLimits {
  readonly count: number;
  readonly bytes: number;
}

/** A waiting CRIU and its keeper are processes; its images, some 2 MB of a Python program, stay in memory. */
export const standbyLimits: StandbyLimits = {count: 64, bytes: Math.max(64 * 1024 * 1024, totalmem() / 128)};

interface Held {
  readonly bytes: number;
  readonly giveUp: () => void;
}

export class StandbyLimit {
  readonly #limits: StandbyLimits;
  /** In the order in which they were prepared. */
  readonly #held = new Map<object, Held>();
  #turns: Promise<unknown> = Promise.resolve();

  constructor(limits: StandbyLimits) {
    this.#limits = limits;
  }

  /** One after the other: whoever is to be woken now has the machine for himself otherwise. `work` must not throw. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turns.then(work);
    this.#turns = result;
    return result;
  }

  /** Counts `owner` until `free()`. What was prepared longest ago is given up where there is no room. */
  hold(owner: object, held: Held): void {
    this.#held.set(owner, held);
    for (const [oldest, {giveUp}] of this.#held) {
      if (this.#held.size <= this.#limits.count && this.#bytes() <= this.#limits.bytes) return;
      this.#held.delete(oldest);
      giveUp();
    }
  }

  /** Harmless when it is not counted. */
  free(owner: object): void {
    this.#held.delete(owner);
  }

  #bytes(): number {
    let sum = 0;
    for (const {bytes} of this.#held.values()) sum += bytes;
    return sum;
  }
}
