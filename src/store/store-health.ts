/** Whether a remote store answers, as those who ask it find out. */
import type {Clock} from '../core/clock.ts';
import {isUnreachable} from './object-store.ts';

/** Times are milliseconds since 1970. */
export interface StoreOutage {
  /** The first request in vain since it answered last. */
  readonly since: number;
  /** The last one. */
  readonly askedAt: number;
  readonly message: string;
}

export class StoreHealth {
  readonly #clock: Clock;
  #outage: StoreOutage | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null while it answers, or nobody has asked it yet. */
  get outage(): StoreOutage | null {
    return this.#outage;
  }

  answered(): void {
    this.#outage = null;
  }

  /** An operation was given up; one that began at `begunAt` has failed in vain since then. */
  failed(error: Error, begunAt: number): void {
    // Whoever refuses us can be reached.
    if (isUnreachable(error)) this.#outage = {since: this.#outage?.since ?? begunAt, askedAt: this.#clock.nowMs(), message: error.message};
    else this.answered();
  }
}
