const firstMs = 5000;
const limitMs = 5 * 60_000;

/** How long to leave something alone that failed: twice as long after each further failure. */
export class BackOff {
  #failures = 0;

  failed(): void {
    this.#failures += 1;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  get ms(): number {
    return this.#failures === 0 ? 0 : Math.min(firstMs * 2 ** (this.#failures - 1), limitMs);
  }
}
