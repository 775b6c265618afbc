export interface BackOffOptions {
  readonly firstMs: number;
  readonly limitMs: number;
}

/** How long to leave something alone that failed: twice as long after each further failure. */
export class BackOff {
  readonly #options: BackOffOptions;
  #failures = 0;

  /** By default 5 s to 5 minutes. */
  constructor(options: BackOffOptions = {firstMs: 5000, limitMs: 5 * 60_000}) {
    this.#options = options;
  }

  failed(): void {
    this.#failures += 1;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  get ms(): number {
    const {firstMs, limitMs} = this.#options;
    return this.#failures === 0 ? 0 : Math.min(firstMs * 2 ** (this.#failures - 1), limitMs);
  }
}
