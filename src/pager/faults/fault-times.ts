/** Durations of the last faults, for their median. */
const kept = 1024;

export class FaultTimes {
  readonly #micros = new Float64Array(kept);
  #count = 0;

  add(micros: number): void {
    this.#micros[this.#count % kept] = micros;
    this.#count++;
  }

  medianMicros(): number | null {
    const sorted = this.#micros.slice(0, Math.min(this.#count, kept)).sort();
    return sorted[sorted.length >> 1] ?? null;
  }
}
