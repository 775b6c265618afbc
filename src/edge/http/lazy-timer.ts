/**
 * One time-out of a connection, moved often and seldom reached: moving it later is an assignment. The timer below it is only armed anew
 * when it fires too early, or when the time-out comes nearer.
 */
import type {Clock} from '../../core/clock.ts';

/** Longer timers do not exist in Node. */
const maxTimerMs = 2 ** 31 - 1;

export class LazyTimer {
  readonly #clock: Clock;
  readonly #expired: () => void;
  #dueMs = Number.POSITIVE_INFINITY;
  #armedForMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, expired: () => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** Expires after `delayMs`, whatever was set before. */
  set(delayMs: number): void {
    this.#dueMs = this.#clock.monotonicMs() + delayMs;
    if (this.#dueMs < this.#armedForMs) this.#arm(delayMs);
  }

  /** Does not expire until it is set again. */
  clear(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  /** Ends for good. */
  stop(): void {
    this.clear();
    this.#cancel?.();
    this.#cancel = null;
    this.#armedForMs = Number.POSITIVE_INFINITY;
  }

  #arm(delayMs: number): void {
    this.#cancel?.();
    this.#armedForMs = this.#clock.monotonicMs() + delayMs;
    this.#cancel = this.#clock.after(Math.min(Math.max(1, Math.ceil(delayMs)), maxTimerMs), this.#fired);
  }

  readonly #fired = (): void => {
    this.#cancel = null;
    this.#armedForMs = Number.POSITIVE_INFINITY;
    if (this.#dueMs === Number.POSITIVE_INFINITY) return;
    const leftMs = this.#dueMs - this.#clock.monotonicMs();
    if (leftMs > 0) {
      this.#arm(leftMs);
      return;
    }
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#expired();
  };
}
