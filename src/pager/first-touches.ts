/** The pages that a process touched, in order of their first touch, up to a bound. */
const limit = 1 << 18;

export class FirstTouches {
  readonly #order: number[] = [];
  readonly #seen = new Set<number>();

  add(page: number): void {
    if (this.#seen.has(page) || this.#order.length >= limit) return;
    this.#seen.add(page);
    this.#order.push(page);
  }

  get pages(): readonly number[] {
    return this.#order;
  }
}
