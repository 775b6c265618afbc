import {Rate} from './rate.ts';

/**
 * Sessions of all frontends together: HAProxy's `maxconn` of the section `global`. Lasts longer than one generation of the configuration. Threads that
 * have the same count have one limit together; they tell each other when it is reached, so that there may be a few more for a moment.
 */
export class SessionLimit {
  readonly rate = new Rate();
  #maxconn: number;
  readonly #sessions: Int32Array<SharedArrayBuffer>;
  readonly #listeners = new Set<() => void>();
  /** Called when sessions of this thread have made it full, or have made room: for other threads, which are `told()`. */
  crossed: (() => void) | null = null;

  /** @param shared of another thread's */
  constructor(maxconn: number, shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.#maxconn = maxconn;
    this.#sessions = new Int32Array(shared);
  }

  /** What is counted in. */
  get shared(): SharedArrayBuffer {
    return this.#sessions.buffer;
  }

  get maxconn(): number {
    return this.#maxconn;
  }

  get isFull(): boolean {
    return Atomics.load(this.#sessions, 0) >= this.#maxconn;
  }

  /** Sessions go on when there are more than that already. */
  setMaxconn(maxconn: number): void {
    this.#maxconn = maxconn;
    this.told();
  }

  /** @param nowMs of Clock.monotonicMs */
  entered(nowMs: number): void {
    this.rate.count(nowMs);
    if (Atomics.add(this.#sessions, 0, 1) + 1 === this.#maxconn) this.#cross();
  }

  left(): void {
    if (Atomics.sub(this.#sessions, 0, 1) === this.#maxconn) this.#cross();
  }

  /** @param changed called when it may be full, or may have room again. @returns ends that */
  watch(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  /** It is full now, or has room again. */
  told(): void {
    for (const changed of this.#listeners) changed();
  }

  #cross(): void {
    this.told();
    this.crossed?.();
  }
}
