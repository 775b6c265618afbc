/** Time that passes when the test says so. */
import type {Clock} from '../../../src/core/clock.ts';

export class FakeClock implements Clock {
  #nowMs = 1000;
  readonly #timers = new Set<{readonly atMs: number; readonly callback: () => void}>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = {atMs: this.#nowMs + delayMs, callback};
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are due are called in their order; what they cause is done when this settles. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    while (true) {
      const [next] = [...this.#timers].filter(({atMs}) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#nowMs = next.atMs;
      this.#timers.delete(next);
      next.callback();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }
}

/** All promises that can settle have done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
