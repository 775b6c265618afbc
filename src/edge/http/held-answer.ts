/** The body of a server's answer while rules wait for it. */
import type {ServerConfig} from '../../config/proxy-value.ts';
import type {BodyLength, Header, ResponseHead} from './message.ts';

export interface ServerAnswer {
  readonly head: ResponseHead;
  readonly length: BodyLength;
  readonly server: ServerConfig | null;
}

export class HeldAnswer {
  readonly #maxKeptBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #isCut = false;
  #end: {readonly trailers: readonly Header[] | null} | null = null;
  #waiting: {readonly bytes: number; readonly done: (body: Buffer) => void} | null = null;

  constructor(maxKeptBytes: number) {
    this.#maxKeptBytes = maxKeptBytes;
  }

  /** @param bytes 0: all of it, or as much as is kept; `done` is called with what is here when they are */
  waitFor(bytes: number, done: (body: Buffer) => void): void {
    this.#waiting = {bytes: bytes === 0 ? this.#maxKeptBytes : Math.min(bytes, this.#maxKeptBytes), done};
    this.#look();
  }

  data(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#look();
  }

  end(trailers: readonly Header[] | null): void {
    this.#end = {trailers};
    this.#look();
  }

  /** No more will come: what is here goes on, as in HAProxy. */
  cut(): void {
    this.#isCut = true;
    this.#look();
  }

  giveTo(next: {answerData(chunk: Buffer): void; answerEnd(trailers: readonly Header[] | null): void}): void {
    for (const chunk of this.#chunks) next.answerData(chunk);
    if (this.#end !== null) next.answerEnd(this.#end.trailers);
  }

  #look(): void {
    const waiting = this.#waiting;
    if (waiting === null || (this.#end === null && !this.#isCut && this.#bytes < waiting.bytes)) return;
    this.#waiting = null;
    waiting.done(Buffer.concat(this.#chunks));
  }
}
