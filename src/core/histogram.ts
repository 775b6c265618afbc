/** Counts of values by size, as Prometheus' histograms have them, in plain numbers that survive JSON. */

export type HistogramCounts = {
  /** Of each bound those that are no larger than it, and larger than the one before; the last one has the rest. */
  readonly counts: readonly number[];
  readonly sum: number;
};

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds upper bounds, ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const at = found === -1 ? this.#bounds.length : found;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  get counted(): HistogramCounts {
    return {counts: [...this.#counts], sum: this.#sum};
  }
}

/** Both must have the same bounds; one without counts has counted nothing. */
export function addCounts(a: HistogramCounts, b: HistogramCounts): HistogramCounts {
  const [longer, other] = a.counts.length >= b.counts.length ? [a, b] : [b, a];
  return {counts: longer.counts.map((count, at) => count + (other.counts[at] ?? 0)), sum: a.sum + b.sum};
}

export const nothingCounted: HistogramCounts = {counts: [], sum: 0};
