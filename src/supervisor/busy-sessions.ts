/** The sessions whose client waits for an answer: their app must not sleep meanwhile. */
export class BusySessions {
  readonly #counts = {held: 0, unfinished: 0};

  get count(): number {
    return this.#counts.held + this.#counts.unfinished;
  }

  /** Those whose client is not held any more: what it said is on its way to the app or back. */
  get unfinished(): number {
    return this.#counts.unfinished;
  }

  /** One more, until the returned function is called; calling it twice is harmless. @param kind `held`: the app has not been reached for it yet */
  hold(kind: 'held' | 'unfinished'): () => void {
    this.#counts[kind] += 1;
    let isOver = false;
    return () => {
      if (!isOver) this.#counts[kind] -= 1;
      isOver = true;
    };
  }
}

/** A session as the edge tells of it: is its client waiting, and for what? */
export class BusySession implements Disposable {
  readonly #hold: (kind: 'held' | 'unfinished') => () => void;
  #kind: 'held' | 'unfinished' = 'held';
  #release: (() => void) | undefined;

  constructor(hold: (kind: 'held' | 'unfinished') => () => void) {
    this.#hold = hold;
  }

  busy(value: boolean): void {
    if (value) this.#release ??= this.#hold(this.#kind);
    else this.#over();
  }

  reached(): void {
    this.#kind = 'unfinished';
    if (this.#release === undefined) return;
    const release = this.#release;
    this.#release = this.#hold(this.#kind);
    release();
  }

  [Symbol.dispose](): void {
    this.#over();
  }

  #over(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
