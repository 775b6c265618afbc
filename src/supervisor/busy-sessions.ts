/** The sessions whose client waits for an answer: their app must not sleep meanwhile. */
export class BusySessions {
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** One more, until the returned function is called; calling it twice is harmless. */
  hold(): () => void {
    this.#count += 1;
    let held = true;
    return () => {
      if (held) this.#count -= 1;
      held = false;
    };
  }
}
