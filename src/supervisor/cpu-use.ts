export interface CpuSample {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  /** Processor time used until then, microseconds. */
  readonly usedUs: number;
}

/** Use of processors is told of a time as long as this, if it has been watched for so long. */
const windowMs = 5000;
const leastMs = 500;

/** How much of a processor was used over the last seconds, from looks at a counter. */
export class CpuUse {
  #samples: readonly CpuSample[] = [];

  /** What was before does not count any more. */
  restart(): void {
    this.#samples = [];
  }

  /** @returns percent of one processor; null when nothing was seen for long enough */
  add(sample: CpuSample): number | null {
    // One sample that is older than the window is its beginning.
    const first = this.#samples.findLastIndex(({atMs}) => sample.atMs - atMs >= windowMs);
    this.#samples = [...this.#samples.slice(Math.max(0, first)), sample];
    const [oldest] = this.#samples;
    if (oldest === undefined || sample.atMs - oldest.atMs < leastMs) return null;
    return (sample.usedUs - oldest.usedUs) / (sample.atMs - oldest.atMs) / 10;
  }
}
