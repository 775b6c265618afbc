/** One HTTP/1.1 connection to a server, with one request at a time. */

import type {Clock} from '../../core/clock.ts';
import {assert, errorMessage} from '../../core/errors.ts';
import type {ByteStream, StreamReceiver} from '../streams/byte-stream.ts';
import {receiveFrom, stopReceiving} from '../streams/node-socket.ts';
import {errorPlace} from './error-place.ts';
import {BodyDecoder, type BodySink} from './h1-body.ts';
import {checkUpgradeResponse, keepsAlive, responseFraming, withoutNominated} from './h1-framing.ts';
import {findHeadEnd, parseResponseHead} from './h1-head.ts';
import {MessageWriter, requestText} from './h1-writer.ts';
import {LazyTimer} from './lazy-timer.ts';
import type {BodyLength, Header, RequestHead, ResponseEvents, ResponseHead, ServerFailure, ServerStream} from './message.ts';

const nothing = Buffer.alloc(0);

export interface H1ServerConnectionOptions {
  readonly socket: ByteStream;
  readonly clock: Clock;
  /** The connection can take another request. */
  readonly onIdle: (connection: H1ServerConnection) => void;
  readonly onClosed: (connection: H1ServerConnection) => void;
}

export class H1ServerConnection implements ServerStream, BodySink, StreamReceiver {
  readonly socket: ByteStream;
  /** Our end of it. */
  readonly local: {readonly host: string; readonly port: number};
  readonly #options: H1ServerConnectionOptions;
  readonly #writer: MessageWriter;
  readonly #timer: LazyTimer;
  #timeoutMs = 0;
  #events: ResponseEvents | null = null;
  #request: {readonly method: string; readonly upgrade: boolean} = {method: '', upgrade: false};
  #requestSent = true;
  #keep = false;
  #decoder: BodyDecoder | null = null;
  #trailers: readonly Header[] | null = null;
  #pending: Buffer = nothing;
  #gotBytes = false;
  #served = 0;
  /** When it became idle (Clock.monotonicMs). */
  idleSinceMs = 0;

  /** Takes over a connected socket. */
  constructor(options: H1ServerConnectionOptions) {
    const {socket, clock} = options;
    this.socket = socket;
    this.local = {host: socket.localAddress ?? '', port: socket.localPort ?? 0};
    this.#options = options;
    this.#writer = new MessageWriter(socket);
    this.#timer = new LazyTimer(clock, () => this.#fail({kind: 'timeout', reason: `no answer within ${this.#timeoutMs} ms`}));
    receiveFrom(socket, this);
    socket.on('error', (error) => this.#fail({kind: this.#gotBytes ? 'cut' : 'empty', isBroken: true, reason: errorMessage(error)}));
    socket.on('close', () => {
      this.#timer.stop();
      this.ended();
      options.onClosed(this);
    });
  }

  get reused(): boolean {
    return this.#served > 1;
  }

  /** How many requests it has answered. */
  get served(): number {
    return this.#served;
  }

  get isUsable(): boolean {
    return this.socket.writable && !this.socket.readableEnded && this.#events === null;
  }

  /** The next request is this exchange's. @param timeoutMs how long the server may be silent */
  take(events: ResponseEvents, timeoutMs: number): this {
    assert(this.#events === null, 'A connection takes one request at a time');
    this.#events = events;
    this.#timeoutMs = timeoutMs;
    this.#served++;
    this.#gotBytes = false;
    this.#decoder = null;
    return this;
  }

  head(head: RequestHead, length: BodyLength, options: {readonly upgrade: boolean; readonly close: boolean}): void {
    this.#request = {method: head.method, upgrade: options.upgrade};
    this.#keep = !options.close;
    this.#requestSent = false;
    this.#writer.begin(requestText(head, length, options), length === null);
  }

  flush(): void {
    this.#writer.flush();
  }

  write(chunk: Buffer): boolean {
    const isTaken = this.#writer.write(chunk);
    if (!isTaken) this.#timer.set(this.#timeoutMs);
    return isTaken;
  }

  end(trailers: readonly Header[] | null): void {
    this.#writer.end(trailers);
    this.#requestSent = true;
    this.#timer.set(this.#timeoutMs);
  }

  pause(): void {
    this.#timer.clear();
    this.socket.pause();
  }

  resume(): void {
    this.#touch();
    this.socket.resume();
  }

  abort(): void {
    this.#events = null;
    this.socket.destroy();
  }

  #touch(): void {
    if (this.#requestSent) this.#timer.set(this.#timeoutMs);
    else this.#timer.clear();
  }

  /** Of the socket. */
  drained(): void {
    this.#touch();
    this.#events?.serverDrained();
  }

  /** Of the socket. */
  bytes(_from: ByteStream, chunk: Buffer): void {
    if (this.#events === null) {
      // A server that speaks unasked.
      this.socket.destroy();
      return;
    }
    this.#gotBytes = true;
    this.#touch();
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = nothing;
    try {
      const at = this.#decoder === null ? this.#heads(bytes) : 0;
      if (at !== -1) this.#body(bytes, at);
    } catch (error) {
      const position = this.#decoder?.lineAt ?? errorPlace(bytes, 'response');
      this.#fail({kind: 'junk', reason: errorMessage(error), unread: {bytes, position}});
    }
  }

  /** Reads heads up to the final one. Returns where its body starts, or -1 when there is nothing more to read now. */
  #heads(bytes: Buffer): number {
    let at = 0;
    while (this.#events !== null) {
      const end = findHeadEnd(bytes, at);
      if (end === -1) {
        this.#pending = Buffer.from(bytes.subarray(at));
        return -1;
      }
      const head = parseResponseHead(bytes, at, end);
      at = end;
      const isTunnel = head.status === 101 ? this.#request.upgrade : this.#request.method === 'CONNECT' && head.status >= 200 && head.status < 300;
      if (isTunnel) {
        if (head.status === 101) checkUpgradeResponse(head);
        this.#tunnel(head, Buffer.from(bytes.subarray(at)));
        return -1;
      }
      if (head.status === 101) {
        this.#fail({kind: 'junk', reason: 'the server switched protocols unasked'});
        return -1;
      }
      if (head.status >= 200) return this.#finalHead(head, at);
      this.#events.responseInformational(head);
    }
    return -1;
  }

  #finalHead(head: ResponseHead, at: number): number {
    const framing = responseFraming(this.#request.method, head);
    this.#keep &&= keepsAlive(head.version, head.headers) && (framing.chunked || framing.length !== null);
    this.#decoder = new BodyDecoder(framing, this);
    head.headers = withoutNominated(head.headers);
    this.#trailers = null;
    this.#events?.responseHead(head, framing.length);
    return at;
  }

  #body(bytes: Buffer, at: number): void {
    const decoder = this.#decoder;
    if (decoder === null) return;
    const end = decoder.decode(bytes, at);
    if (this.#events === null) return;
    if (!decoder.isDone) {
      this.#events.responsePaused();
      return;
    }
    // Bytes after an answer were not asked for; whoever gets the connection next must not take them for its own.
    if (end < bytes.length) this.#keep = false;
    this.#done();
  }

  /** Of the decoder. */
  bodyData(chunk: Buffer): void {
    this.#events?.responseData(Buffer.from(chunk));
  }

  /** Of the decoder. */
  bodyEnd(trailers: readonly Header[] | null): void {
    this.#trailers = trailers;
  }

  /** The answer is whole. The connection is given back first: the end may start the next request. */
  #done(): void {
    const events = this.#events;
    this.#events = null;
    this.#timer.clear();
    if (!this.#requestSent || !this.#keep || !this.socket.writable) this.socket.destroy();
    else {
      this.socket.resume();
      this.#options.onIdle(this);
    }
    events?.responseEnd(this.#trailers);
  }

  #tunnel(head: ResponseHead, rest: Buffer): void {
    const events = this.#events;
    this.#events = null;
    this.#timer.stop();
    stopReceiving(this.socket);
    events?.responseTunnel(head, {socket: this.socket, head: rest});
  }

  /** Of the socket. */
  ended(): void {
    if (this.#events === null) {
      this.socket.destroy();
      return;
    }
    if (this.#decoder?.finish() === true) {
      this.#keep = false;
      this.#done();
    } else this.#fail({kind: this.#gotBytes ? 'cut' : 'empty', reason: 'the server closed its connection'});
  }

  #fail(failure: ServerFailure): void {
    const events = this.#events;
    this.#events = null;
    this.socket.destroy();
    events?.responseFailed(failure);
  }
}
