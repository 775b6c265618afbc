/** When each app last had real traffic, from the nftables set that the kernel keeps up to date. One read serves all who ask at about the same time. */
import type {SetReader} from './netlink-socket.ts';

/** How old a reading may be; who asks is interested in seconds. */
const freshMs = 200;

export class TrafficClock {
  readonly #reader: SetReader;
  readonly #timeoutMs: number;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #lastMs: ReadonlyMap<number, number> = new Map();

  constructor(reader: SetReader, timeoutMs: number) {
    this.#reader = reader;
    this.#timeoutMs = timeoutMs;
  }

  /** @returns `performance.now()` at the last real packet of this address, or undefined. @throws CodedError ERR_SET_UNREADABLE */
  last(address: number): number | undefined {
    const nowMs = performance.now();
    if (nowMs - this.#readAtMs > freshMs) {
      const elements = this.#reader.read();
      this.#lastMs = new Map(elements.map((element) => [element.address, nowMs - (this.#timeoutMs - element.expiresInMs)]));
      this.#readAtMs = nowMs;
    }
    return this.#lastMs.get(address);
  }
}
