/**
 * Sessions that wait, first come first served, at most so many. One source may take all places as long as nobody else wants one; then the
 * newest session of the source with the most gives its place up.
 */
export interface Waiter {
  /** The client's address. */
  readonly source: string;
}

const nobody = new Set<never>();
const noSource = new Map<string, number>();

export class FairQueue<W extends Waiter> {
  /** How many may wait; those that are more already go on. */
  bound: number;
  /** Most of thousands of queues never have anybody: they share these, which stay empty. */
  #waiters: Set<W> = nobody;
  #perSource: Map<string, number> = noSource;

  constructor(bound: number) {
    this.bound = bound;
  }

  get size(): number {
    return this.#waiters.size;
  }

  get first(): W | undefined {
    for (const waiter of this.#waiters) return waiter;
    return undefined;
  }

  [Symbol.iterator](): Iterator<W> {
    return this.#waiters.values();
  }

  /**
   * Takes a waiter in, if there is a place or another waiter has to leave for it.
   * @returns `full`, or the waiter that has left, or null when there was a place
   */
  enter(waiter: W): W | null | 'full' {
    let displaced: W | null = null;
    if (this.#waiters.size >= this.bound) {
      displaced = this.#displaced((this.#perSource.get(waiter.source) ?? 0) + 1);
      if (displaced === null) return 'full';
      this.leave(displaced);
    }
    if (this.#waiters === nobody) [this.#waiters, this.#perSource] = [new Set<W>(), new Map<string, number>()];
    this.#waiters.add(waiter);
    this.#perSource.set(waiter.source, (this.#perSource.get(waiter.source) ?? 0) + 1);
    return displaced;
  }

  /** False when it was not there. */
  leave(waiter: W): boolean {
    if (!this.#waiters.delete(waiter)) return false;
    const left = (this.#perSource.get(waiter.source) ?? 1) - 1;
    if (left === 0) this.#perSource.delete(waiter.source);
    else this.#perSource.set(waiter.source, left);
    return true;
  }

  /** The newest of the greediest source, if that has more than `share`. */
  #displaced(share: number): W | null {
    let greediest: string | null = null;
    let most = share;
    for (const [source, count] of this.#perSource) {
      if (count <= most) continue;
      greediest = source;
      most = count;
    }
    if (greediest === null) return null;
    let newest: W | null = null;
    for (const waiter of this.#waiters) if (waiter.source === greediest) newest = waiter;
    return newest;
  }
}
