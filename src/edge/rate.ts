import {Frequency} from './stick/frequency.ts';

/** Events in the last second, and the most that there were in one: `rate` and `rate_max` of `show stat`. */
export class Rate {
  max = 0;
  readonly #frequency = new Frequency(1000);

  /** @param nowMs of Clock.monotonicMs */
  count(nowMs: number): void {
    this.#frequency.add(1, nowMs);
    this.max = Math.max(this.max, this.#frequency.read(nowMs));
  }

  read(nowMs: number): number {
    return this.#frequency.read(nowMs);
  }
}
