/** Ends a loop of wakes that fail: after some of them in a row further ones are refused for a while, at once and without any work. */
import type {Clock} from '../core/clock.ts';
import {BackOff} from './back-off.ts';

const toleratedFailures = 5;
/** An app that ran for so long before it failed has begun a new row. */
export const steadyMs = 10_000;

export type Refusal = {
  /** How many wakes have failed in a row. */
  readonly failures: number;
  /** How long until one is tried again. */
  readonly ms: number;
};

export class Breaker {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #backOff = new BackOff();
  #failures = 0;
  #untilMs = 0;

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** @param ranMs how long the app had run; 0 when it did not get as far */
  failed(ranMs = 0): void {
    if (ranMs >= steadyMs) this.succeeded();
    this.#failures += 1;
    if (this.#failures < toleratedFailures) return;
    this.#backOff.failed();
    this.#untilMs = this.#clock.monotonicMs() + this.#backOff.ms;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#backOff.succeeded();
    this.#untilMs = 0;
  }

  /** Null when a wake may be tried now. */
  get refusal(): Refusal | null {
    const ms = this.#untilMs - this.#clock.monotonicMs();
    return ms <= 0 ? null : {failures: this.#failures, ms};
  }
}
