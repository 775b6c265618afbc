/**
 * How many events happened in the last period, as HAProxy counts them: those of the period that runs now, and of the period before it
 * the share that is still inside a window of one period that ends now. Constant memory, whatever the rate.
 */
export class Frequency {
  readonly periodMs: number;
  #startedMs = Number.NEGATIVE_INFINITY;
  #current = 0;
  #previous = 0;

  constructor(periodMs: number) {
    this.periodMs = periodMs;
  }

  /** @param nowMs of a clock that never goes back */
  add(count: number, nowMs: number): void {
    if (nowMs - this.#startedMs < this.periodMs) {
      this.#current += count;
      return;
    }
    const isNextPeriod = nowMs - this.#startedMs < 2 * this.periodMs;
    this.#previous = isNextPeriod ? this.#current : 0;
    this.#startedMs = isNextPeriod ? this.#startedMs + this.periodMs : nowMs;
    this.#current = count;
  }

  /** Events per period, rounded down; a single one is told for as long as it can matter, so that low rates do not flicker. */
  read(nowMs: number): number {
    let leftMs = this.#startedMs + this.periodMs - nowMs;
    let previous = this.#previous;
    let current = this.#current;
    if (leftMs < 0) {
      leftMs += this.periodMs;
      previous = leftMs >= 0 ? current : 0;
      current = 0;
    }
    if (current === 0 && previous <= 1) return previous;
    return Math.floor(current + (previous * leftMs) / this.periodMs);
  }

  /** Forgets the past: it is `value` for one period, and fades away in the next. */
  set(value: number, nowMs: number): void {
    this.#startedMs = nowMs;
    this.#current = value;
    this.#previous = 0;
  }
}
