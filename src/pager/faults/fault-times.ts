/** How long faults took: the last ones for their median, all of them by size. */
import {Histogram, type HistogramCounts} from '../../core/histogram.ts';

const kept = 1024;
/** Upper bounds of what is counted together; the last count is of all that took longer. */
export const faultBoundsSeconds = [0.000_01, 0.000_02, 0.000_05, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 10] as const;

export class FaultTimes {
  readonly #micros = new Float64Array(kept);
  readonly #histogram = new Histogram(faultBoundsSeconds);
  #count = 0;

  add(micros: number): void {
    this.#micros[this.#count % kept] = micros;
    this.#count++;
    this.#histogram.add(micros / 1_000_000);
  }

  get counted(): HistogramCounts {
    return this.#histogram.counted;
  }

  medianMicros(): number | null {
    const sorted = this.#micros.slice(0, Math.min(this.#count, kept)).sort();
    return sorted[sorted.length >> 1] ?? null;
  }
}
