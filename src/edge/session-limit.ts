import {Rate} from './rate.ts';

/** Sessions of all frontends together: HAProxy's `maxconn` of the section `global`. Lasts longer than one generation of the configuration. */
export class SessionLimit {
  readonly rate = new Rate();
  #maxconn: number;
  #sessions = 0;
  readonly #listeners = new Set<() => void>();

  constructor(maxconn: number) {
    this.#maxconn = maxconn;
  }

  get maxconn(): number {
    return this.#maxconn;
  }

  get isFull(): boolean {
    return this.#sessions >= this.#maxconn;
  }

  /** Sessions go on when there are more than that already. */
  setMaxconn(maxconn: number): void {
    this.#maxconn = maxconn;
    this.#tell();
  }

  /** @param nowMs of Clock.monotonicMs */
  entered(nowMs: number): void {
    this.rate.count(nowMs);
    this.#sessions++;
    if (this.#sessions === this.#maxconn) this.#tell();
  }

  left(): void {
    this.#sessions--;
    if (this.#sessions === this.#maxconn - 1) this.#tell();
  }

  /** @param changed called when it may be full, or may have room again. @returns ends that */
  watch(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  #tell(): void {
    for (const changed of this.#listeners) changed();
  }
}
