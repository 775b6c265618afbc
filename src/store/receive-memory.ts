/**
 * Memory that objects arrive in. It is used again and again: new memory for each of them is pages that are touched for the first time, and makes V8
 * collect garbage in the middle of a wake (docs/performance/cold-wake.md). What nobody uses any more goes back to the system after a while.
 */
import {type Mapping, mapAnonymous} from '../core/mapping.ts';

/** The longest range that is asked for at a time. */
const slotBytes = 1024 * 1024;
const slots = 16;
const idleMs = 10_000;

/** Whoever has taken it disposes it, when nothing reads or writes it any more. */
export interface Received extends Disposable {
  readonly bytes: Buffer;
}

export class ReceiveMemory implements Disposable {
  #mapping: Mapping | undefined;
  readonly #free = Array.from({length: slots}, (_, at) => at).reverse();
  #timer: NodeJS.Timeout | undefined;

  /** What is too long, or comes while all is in use, gets memory of its own. */
  take(length: number): Received {
    const slot = this.#free.at(-1);
    if (length > slotBytes || slot === undefined) return {bytes: Buffer.allocUnsafeSlow(length), [Symbol.dispose]: () => undefined};
    this.#mapping ??= mapAnonymous(slots * slotBytes);
    this.#free.pop();
    clearTimeout(this.#timer);
    const at = slot * slotBytes;
    let isTaken = true;
    return {
      bytes: this.#mapping.bytes.subarray(at, at + length),
      [Symbol.dispose]: () => {
        if (isTaken) this.#giveBack(slot);
        isTaken = false;
      },
    };
  }

  /** What is in use stays. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    if (this.#free.length === slots) this.#mapping?.[Symbol.dispose]();
    this.#mapping = undefined;
  }

  #giveBack(slot: number): void {
    // The last one first: its pages are there.
    this.#free.push(slot);
    if (this.#free.length === slots) this.#timer = setTimeout(() => this.#mapping?.discard(), idleMs).unref();
  }
}
