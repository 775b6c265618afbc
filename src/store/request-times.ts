/** How long the requests to a store take, by what they do. */
import type {Clock} from '../core/clock.ts';
import {Histogram, type HistogramCounts} from '../core/histogram.ts';

/** Upper bounds of what is counted together; the last count is of all that took longer. */
export const requestBoundsSeconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10] as const;

export const storeOperations = ['get', 'head', 'put', 'list', 'delete'] as const;
export type StoreOperation = (typeof storeOperations)[number];

export class RequestTimes {
  readonly #clock: Clock;
  readonly #histograms = new Map(storeOperations.map((operation) => [operation, new Histogram(requestBoundsSeconds)]));

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that fail count, too. */
  async measure<T>(operation: StoreOperation, request: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.monotonicMs();
    try {
      return await request();
    } finally {
      this.#histograms.get(operation)?.add((this.#clock.monotonicMs() - startedMs) / 1000);
    }
  }

  get counted(): Readonly<Record<StoreOperation, HistogramCounts>> {
    return Object.fromEntries([...this.#histograms].map(([operation, histogram]) => [operation, histogram.counted])) as Record<StoreOperation, HistogramCounts>;
  }
}
