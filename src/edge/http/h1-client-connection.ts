/**
 * One HTTP/1 connection of a client: reads requests one after the other, however they are pipelined, and writes their answers. The next
 * head is only looked at when the answer before it is complete.
 */
import type {Clock} from '../../core/clock.ts';
import {assert} from '../../core/errors.ts';
import {refuseSocket} from '../session/refuse-socket.ts';
import type {ByteStream, StreamReceiver} from '../streams/byte-stream.ts';
import {receiveFrom, stopReceiving} from '../streams/node-socket.ts';
import {errorPlace} from './error-place.ts';
import {BodyDecoder, type BodySink} from './h1-body.ts';
import {checkUpgradeRequest, type Framing, keepsAlive, requestFraming, withoutNominated} from './h1-framing.ts';
import {findHeadEnd, HeadError, parseRequestHead} from './h1-head.ts';
import {bodylessFraming, MessageWriter, responseText} from './h1-writer.ts';
import type {BrokenRequest, IncomingRequest} from './incoming-request.ts';
import {LazyTimer} from './lazy-timer.ts';
import type {BodyLength, ClientStream, ClientTunnel, Header, RequestEvents, RequestHead, ResponseHead} from './message.ts';
import {headerOf} from './message.ts';
import {checkTarget} from './target.ts';

const nothing = Buffer.alloc(0);
/** Requests sent before their turn wait here, and then in the kernel. */
const maxPipelinedBytes = 65_536;
/** After the last answer a client may still be sending; closing at once would cost it the answer. */
const lingerMs = 1000;
const maxLingerBytes = 1_048_576;

export interface H1ClientOptions {
  readonly socket: ByteStream;
  readonly clock: Clock;
  readonly acceptedMs: number;
  readonly timeouts: {readonly requestMs: number; readonly keepAliveMs: number; readonly clientMs: number};
  /** The first request is the last. */
  readonly isFinishing: boolean;
  /** Starts an exchange. */
  begin(stream: ClientStream, request: IncomingRequest): RequestEvents;
  /** What it was that could not be read, and where it is wrong; the bytes are lent. */
  unread(bytes: Buffer, position: number, reason: string): void;
  /** A whole answer for a request that could not be read; null: none, the connection is closed. */
  refuse(request: BrokenRequest): Buffer | null;
}

type State = 'idle' | 'head' | 'exchange' | 'closing' | 'closed';

export class H1ClientConnection implements ClientStream, BodySink, StreamReceiver {
  readonly #options: H1ClientOptions;
  readonly #socket: ByteStream;
  readonly #writer: MessageWriter;
  readonly #timer: LazyTimer;
  #state: State = 'idle';
  #pending: Buffer = nothing;
  #index = 0;
  #idleSinceMs: number;
  #firstByteMs = 0;
  #version: '1.0' | '1.1' = '1.1';
  #keep = false;
  #isFinishing: boolean;
  #events: RequestEvents | null = null;
  #decoder: BodyDecoder | null = null;
  #paused = false;
  #responseDone = false;
  #isReading = false;
  #lingered = 0;

  /** Takes over an accepted socket. `early`: what was read from it already. */
  constructor(options: H1ClientOptions, early: Buffer) {
    const {socket, clock} = options;
    this.#options = options;
    this.#isFinishing = options.isFinishing;
    this.#socket = socket;
    this.#writer = new MessageWriter(socket);
    this.#timer = new LazyTimer(clock, () => this.expired());
    this.#idleSinceMs = options.acceptedMs;
    receiveFrom(socket, this);
    socket.resume();
    socket.on('error', () => this.#leftUnasked());
    socket.on('close', () => this.#onClose());
    this.#timer.set(options.timeouts.requestMs);
    if (early.length > 0) this.bytes(socket, early);
  }

  /** Closes when it has answered, and else after its next answer: who connects wants one. */
  finish(): void {
    this.#isFinishing = true;
    if (this.#state === 'idle' && this.#index > 0) {
      this.#state = 'closed';
      this.#socket.destroySoon();
    } else this.#keep = false;
  }

  resume(): void {
    this.#paused = false;
    this.#waitForBody();
    this.#socket.resume();
    if (!this.#isReading) this.#read();
  }

  pause(): void {
    this.#paused = true;
    this.#timer.clear();
    this.#socket.pause();
  }

  closeAfter(): void {
    this.#keep = false;
  }

  told(status: number): number {
    return status;
  }

  informational(head: ResponseHead): void {
    if (this.#version === '1.0') return;
    this.#socket.write(responseText(head, '', ''), 'latin1');
  }

  head(head: ResponseHead, length: BodyLength, bodyless: boolean): number {
    const chunked = length === null && !bodyless && this.#version === '1.1';
    let framing = '';
    if (chunked) framing = 'transfer-encoding: chunked\r\n';
    else if (bodyless) framing = bodylessFraming(head);
    else if (length === null) this.#keep = false;
    else framing = `content-length: ${length}\r\n`;
    // Upgrades that were refused, and options of this connection.
    const connection = this.#keep ? (this.#version === '1.0' ? 'connection: keep-alive\r\n' : '') : 'connection: close\r\n';
    const text = responseText(head, framing, connection);
    this.#writer.begin(text, chunked);
    return text.length;
  }

  flush(): void {
    this.#writer.flush();
  }

  write(chunk: Buffer): boolean {
    const isTaken = this.#writer.write(chunk);
    if (!isTaken) this.#timer.set(this.#options.timeouts.clientMs);
    return isTaken;
  }

  end(trailers: readonly Header[] | null): void {
    this.#writer.end(trailers);
    this.#responseDone = true;
    if (this.#decoder?.isDone === true) this.#next();
    else this.#linger();
  }

  abort(): void {
    this.#state = 'closed';
    this.#events = null;
    this.#socket.destroy();
  }

  vanish(how: 'reject' | 'silent-drop'): void {
    this.#state = 'closed';
    this.#events = null;
    refuseSocket(this.#socket, how);
  }

  tunnel(head: ResponseHead): ClientTunnel {
    const upgrade = headerOf(head.headers, 'upgrade');
    const connection = headerOf(head.headers, 'connection') ?? 'upgrade';
    const extra = head.status === 101 ? `${upgrade === null ? '' : `upgrade: ${upgrade}\r\n`}connection: ${connection}\r\n` : '';
    const text = responseText(head, extra, '');
    this.#socket.write(text, 'latin1');
    this.#state = 'closed';
    this.#events = null;
    this.#timer.stop();
    stopReceiving(this.#socket);
    return {socket: this.#socket, head: this.#pending, sentBytes: text.length};
  }

  /** Of the decoder. */
  bodyData(chunk: Buffer): void {
    this.#events?.requestData(Buffer.from(chunk));
  }

  /** Of the decoder. */
  bodyEnd(trailers: readonly Header[] | null): void {
    this.#timer.clear();
    this.#events?.requestEnd(trailers);
  }

  /** Of the socket. */
  drained(): void {
    this.#timer.clear();
    this.#events?.clientDrained();
  }

  /** Of the socket. */
  bytes(_from: ByteStream, borrowed: Buffer): void {
    if (this.#state === 'closing') {
      this.#lingered += borrowed.length;
      if (this.#lingered > maxLingerBytes) this.#socket.destroy();
      return;
    }
    if (this.#state === 'closed') return;
    this.#pending = this.#pending.length === 0 ? borrowed : Buffer.concat([this.#pending, borrowed]);
    this.#read();
    if (this.#pending.buffer === borrowed.buffer && this.#pending.length > 0) this.#pending = Buffer.from(this.#pending);
  }

  /** Goes on with what is here, as far as it may. */
  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      while (this.#pending.length > 0 && this.#step());
    } finally {
      this.#isReading = false;
    }
  }

  /** False: nothing more can be done now. */
  #step(): boolean {
    switch (this.#state) {
      case 'idle':
      case 'head':
        return this.#readHead();
      case 'exchange':
        return this.#readBody();
      case 'closing':
      case 'closed':
        this.#pending = nothing;
        return false;
      default:
        return this.#state satisfies never;
    }
  }

  #readHead(): boolean {
    try {
      const at = this.#state === 'idle' ? this.#skipEmptyLine() : 0;
      if (at === this.#pending.length) return false;
      if (this.#state === 'idle') {
        this.#state = 'head';
        this.#firstByteMs = this.#options.clock.monotonicMs();
        this.#timer.set(this.#options.timeouts.requestMs);
      }
      const end = findHeadEnd(this.#pending, at);
      if (end === -1) return false;
      const head = parseRequestHead(this.#pending, at, end);
      checkTarget(head);
      const framing = requestFraming(head);
      checkUpgradeRequest(head);
      head.headers = withoutNominated(head.headers);
      this.#pending = end === this.#pending.length ? nothing : this.#pending.subarray(end);
      this.#begin(head, framing, end - at);
      return true;
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#options.unread(this.#pending, errorPlace(this.#pending, 'request'), error.message);
      this.#refuse(error.status, 'malformed', error.message);
      return false;
    }
  }

  /** RFC 9112, section 2.2: an empty line before a request is passed over. */
  #skipEmptyLine(): number {
    return this.#pending[0] === 13 && this.#pending[1] === 10 ? 2 : 0;
  }

  #begin(head: RequestHead, framing: Framing, headBytes: number): void {
    assert(head.version !== '2.0', 'HTTP/2 has no such heads');
    this.#state = 'exchange';
    this.#timer.clear();
    this.#version = head.version;
    this.#keep = !this.#isFinishing && keepsAlive(head.version, head.headers);
    this.#decoder = new BodyDecoder(framing, this);
    this.#responseDone = false;
    this.#paused = !this.#decoder.isDone;
    const events = this.#options.begin(this, {
      head,
      length: framing.length,
      index: this.#index++,
      idleSinceMs: this.#idleSinceMs,
      firstByteMs: this.#firstByteMs,
      headBytes,
    });
    // It may have been answered at once.
    this.#events = this.#isAnswered() ? null : events;
  }

  #isAnswered(): boolean {
    return this.#responseDone;
  }

  #readBody(): boolean {
    const decoder = this.#decoder;
    if (decoder === null || decoder.isDone || this.#paused) {
      if (this.#pending.length > maxPipelinedBytes) this.#socket.pause();
      return false;
    }
    const bytes = this.#pending;
    this.#pending = nothing;
    try {
      const end = decoder.decode(bytes, 0);
      this.#waitForBody();
      if (end < bytes.length) this.#pending = bytes.subarray(end);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#options.unread(bytes, decoder.lineAt, error.message);
      this.#keep = false;
      this.#decoder = null;
      this.#events?.requestMalformed(error.message);
    }
    return true;
  }

  #waitForBody(): void {
    if (this.#decoder?.isDone === false && !this.#paused) this.#timer.set(this.#options.timeouts.clientMs);
  }

  /** The answer is complete, and so was the request. */
  #next(): void {
    this.#events = null;
    this.#decoder = null;
    if (!this.#keep) {
      this.#close();
      return;
    }
    this.#state = 'idle';
    this.#idleSinceMs = this.#options.clock.monotonicMs();
    this.#timer.set(this.#options.timeouts.keepAliveMs);
    this.#socket.resume();
    if (this.#pending.length > 0) this.#read();
    else if (this.#socket.readableEnded) this.#close();
  }

  /** The answer is complete, but the client goes on sending. */
  #linger(): void {
    this.#events = null;
    this.#close();
  }

  #close(): void {
    this.#state = 'closing';
    this.#pending = nothing;
    this.#socket.resume();
    this.#socket.end();
    this.#timer.set(lingerMs);
    if (this.#socket.readableEnded) this.#socket.destroySoon();
  }

  #refuse(status: number, cause: BrokenRequest['cause'], reason: string): void {
    const bytes = this.#pending;
    this.#pending = nothing;
    const firstByteMs = this.#state === 'idle' ? 0 : this.#firstByteMs;
    const answer = this.#options.refuse({status, cause, reason, idleSinceMs: this.#idleSinceMs, firstByteMs, bytes});
    if (answer !== null && this.#socket.writable) this.#socket.write(answer);
    this.#close();
  }

  /** A request is awaited: the first one, or one of which something is here. */
  get #isOwed(): boolean {
    return this.#state === 'head' || (this.#state === 'idle' && (this.#index === 0 || this.#pending.length > 0));
  }

  /** @returns whether the client has left without a request that it owes */
  #leftUnasked(): boolean {
    const isOwed = this.#isOwed;
    if (isOwed) this.#refuse(400, 'left', this.#state === 'head' ? 'the client left in the middle of a request' : 'the client left without a request');
    return isOwed;
  }

  /** Of the timer. */
  expired(): void {
    switch (this.#state) {
      case 'idle':
      case 'head':
        if (this.#isOwed) this.#refuse(408, 'late', 'no complete request in time');
        else this.#close();
        break;
      case 'exchange':
        this.#events?.clientGone('timeout');
        break;
      case 'closing':
      case 'closed':
        this.#socket.destroy();
        break;
      default:
        this.#state satisfies never;
    }
  }

  /** Of the socket. */
  ended(): void {
    if (this.#leftUnasked()) return;
    if (this.#state === 'exchange') this.#events?.clientGone(this.#decoder?.isDone === false ? 'closed' : 'half-closed');
    else this.#socket.destroySoon();
  }

  #onClose(): void {
    this.#timer.stop();
    const events = this.#events;
    this.#events = null;
    this.#state = 'closed';
    events?.clientGone('closed');
  }
}
