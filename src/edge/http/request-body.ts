/** The body of a request on its way from client to server: not read before there is a server, and then only as fast as the server takes it. */
import {type BodyLength, type ClientStream, type Header, headerOf, type ServerStream} from './message.ts';

const nothing = Buffer.alloc(0);

export class RequestBody {
  readonly #client: ClientStream;
  /** The client waits for a word before it sends the body. */
  readonly expectsContinue: boolean;
  readonly #maxKeptBytes: number;
  #isComplete: boolean;
  #trailers: readonly Header[] | null = null;
  #buffered: Buffer[] = [];
  #bufferedBytes = 0;
  #isFlowing = false;
  #server: ServerStream | null = null;
  #waiting: {readonly bytes: number; readonly done: () => void} | null = null;

  /** @param options.headers of the request @param options.maxKeptBytes what may be kept of it while something waits for it */
  constructor(client: ClientStream, length: BodyLength, {headers, maxKeptBytes}: {readonly headers: readonly Header[]; readonly maxKeptBytes: number}) {
    this.#client = client;
    this.#maxKeptBytes = maxKeptBytes;
    this.#isComplete = length === 0;
    this.expectsContinue = length !== 0 && headerOf(headers, 'expect')?.toLowerCase() === '100-continue';
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** All of it is here, so that it can be sent twice. */
  get isReplayable(): boolean {
    return this.#isComplete && !this.#isFlowing;
  }

  buffered(): Buffer {
    return this.#buffered.length === 0 ? nothing : Buffer.concat(this.#buffered);
  }

  /** @param bytes 0: all of it, or as much as is kept */
  has(bytes: number): boolean {
    return this.#isComplete || this.#bufferedBytes >= this.#wanted(bytes);
  }

  /** @param bytes as for `has`, which has said no; `done` is called when they are here */
  waitFor(bytes: number, done: () => void): void {
    this.#waiting = {bytes: this.#wanted(bytes), done};
    if (this.expectsContinue) this.#client.informational({status: 100, reason: 'Continue', version: '1.1', headers: []});
    this.#client.resume();
  }

  stopWaiting(): void {
    this.#waiting = null;
    this.#client.pause();
  }

  data(chunk: Buffer): void {
    if (this.#server === null) {
      this.#buffered.push(chunk);
      this.#bufferedBytes += chunk.length;
      if (this.#waiting !== null && this.#bufferedBytes >= this.#waiting.bytes) this.#waited();
    } else if (!this.#server.write(chunk)) this.#client.pause();
  }

  end(trailers: readonly Header[] | null): void {
    this.#isComplete = true;
    this.#trailers = trailers;
    if (this.#server === null) this.#waited();
    else this.#server.end(trailers);
  }

  /** Sends what is here, and lets the rest come. */
  sendTo(server: ServerStream): void {
    this.#server = server;
    for (const chunk of this.#buffered) server.write(chunk);
    if (this.#isComplete) {
      server.end(this.#trailers);
      return;
    }
    this.#isFlowing = true;
    this.#buffered = [];
    this.#client.resume();
    // A server may answer, or ask for the body, when it has seen the head.
    server.flush();
  }

  serverDrained(): void {
    if (!this.#isComplete) this.#client.resume();
  }

  #wanted(bytes: number): number {
    return bytes === 0 ? this.#maxKeptBytes : Math.min(bytes, this.#maxKeptBytes);
  }

  #waited(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) return;
    if (!this.#isComplete) this.#client.pause();
    waiting.done();
  }
}
