/**
 * Sessions that waited for a wake go on some at a time, and the event loop serves all others in between. Each connects to its server, which takes as
 * long as many requests to an app that is awake; a thousand in one go would keep everybody waiting (docs/performance/flood.md).
 */
const perTurn = 32;

export class Rush {
  readonly #waiting: (() => void)[] = [];
  /** In this turn of the event loop. */
  #passed = 0;

  /** Calls `goOn` at once, or in one of the next turns of the event loop, in the order of the calls. */
  enter(goOn: () => void): void {
    if (this.#passed === perTurn) {
      this.#waiting.push(goOn);
      return;
    }
    if (this.#passed++ === 0) setImmediate(this.#turn);
    goOn();
  }

  readonly #turn = (): void => {
    this.#passed = 0;
    for (const goOn of this.#waiting.splice(0, perTurn)) this.enter(goOn);
  };
}
