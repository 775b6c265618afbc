/** Who is told of what happens to a connection, with the meaning of Node's emitters. Most connections have a handful, and for a short time. */

import type {ByteStream, StreamReceiver} from './byte-stream.ts';

export type StreamEvent = 'connect' | 'data' | 'drain' | 'end' | 'error' | 'close';
export type StreamListener = ((chunk: Buffer) => void) | ((error: Error) => void) | (() => void);

interface Entry {
  readonly event: StreamEvent;
  readonly listener: StreamListener;
  readonly once: boolean;
}

export class StreamListeners {
  /** Gets what listeners of 'data', 'end' and 'drain' would. */
  receiver: StreamReceiver | null = null;
  /** Never changed but by adding to it, so that whoever goes through it is not disturbed. */
  #entries: Entry[] = [];

  add(event: StreamEvent, listener: StreamListener, once: boolean): void {
    this.#entries.push({event, listener, once});
  }

  /** The one that was added last. */
  remove(event: StreamEvent, listener: StreamListener): void {
    const at = this.#entries.findLastIndex((entry) => entry.event === event && entry.listener === listener);
    if (at !== -1) this.#entries = this.#entries.toSpliced(at, 1);
  }

  get wantBytes(): boolean {
    if (this.receiver !== null) return true;
    for (const {event} of this.#entries) if (event === 'data') return true;
    return false;
  }

  bytes(from: ByteStream, borrowed: Buffer): void {
    if (this.receiver === null) this.tell('data', Buffer.from(borrowed));
    else this.receiver.bytes(from, borrowed);
  }

  ended(from: ByteStream): void {
    if (this.receiver === null) this.tell('end');
    else this.receiver.ended(from);
  }

  drained(of: ByteStream): void {
    if (this.receiver === null) this.tell('drain');
    else this.receiver.drained(of);
  }

  /** Tells those that are there now. @throws what a listener throws, and an error that nobody listens for */
  tell(event: StreamEvent, value?: Buffer | Error): void {
    const entries = this.#entries;
    const count = entries.length;
    let told = false;
    for (let at = 0; at < count; at++) {
      const entry = entries[at];
      if (entry?.event !== event) continue;
      told = true;
      if (entry.once) this.remove(event, entry.listener);
      (entry.listener as (value?: Buffer | Error) => void)(value);
    }
    if (!told && value instanceof Error) throw value;
  }
}
