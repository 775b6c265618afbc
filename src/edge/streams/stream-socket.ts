/**
 * A connection that we read and write ourselves, told by the poller when it can be. It behaves as a `net.Socket` that allows half-open
 * does, without the buffers, requests and callbacks that cost Node more than the system calls do, and keeps nothing of what it is given to
 * write if the kernel takes it.
 */
import {Socket} from 'node:net';
import {constants} from 'node:os';
import {assert} from '../../core/errors.ts';
import {close} from '../../core/libc.ts';
import {ready} from '../polling/epoll.ts';
import {ErrnoError} from '../polling/errno-error.ts';
import {type PolledDescriptor, processPoller} from '../polling/poller.ts';
import {ByteQueue} from './byte-queue.ts';
import type {ByteStream, StreamReceiver} from './byte-stream.ts';
import {
  type AcceptedConnection,
  type ConnectAttempt,
  localEndOf,
  resetAtClose,
  type SocketEnd,
  takeSocketError,
  tryEndSending,
  tryReceive,
} from './stream-calls.ts';
import {type StreamEvent, type StreamListener, StreamListeners} from './stream-listeners.ts';
import {StreamOutput} from './stream-output.ts';

const {EAGAIN, EINTR} = constants.errno;

/** One for all: reads are taken one after the other, and nobody keeps what is in it. */
const readBuffer = Buffer.allocUnsafeSlow(65_536);
/** So much is read that nobody wants yet: that the other side has ended is seen as long as it says little. */
const maxUnreadBytes = 16_384;
/** The poller does not have it. */
const unwatched = -1;

/** `new`: nobody has wanted bytes yet, and who does gets them at once; `paused`: somebody wants no more until it says so. */
type Flow = 'new' | 'flowing' | 'paused';

export class StreamSocket implements PolledDescriptor, ByteStream {
  readonly #poller = processPoller();
  readonly #listeners = new StreamListeners();
  readonly #output = new StreamOutput();
  #fd = -1;
  #attempt: ConnectAttempt | null = null;
  #isUp: boolean;
  /** What the poller was asked for. */
  #events: number = unwatched;
  #flow: Flow = 'new';
  /** Read before somebody wanted it, or given back. */
  #unread: ByteQueue | null = null;
  /** The kernel has no more. */
  #hasEnded = false;
  /** Why, if it was no good end; told when what came before is read. */
  #readError: Error | null = null;
  #isFlowPending = false;
  #local: SocketEnd | null = null;
  /** Nothing more is written. */
  #isEnding = false;
  #destroyWhenSent = false;
  /** Has the connection instead of this one. */
  #successor: Socket | null = null;
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  bytesRead = 0;
  bytesWritten = 0;
  destroyed = false;
  closed = false;
  readableEnded = false;

  /** Takes over the descriptor; null: `attempt` comes later. @throws SystemCallError; the descriptor is the caller's then */
  constructor(accepted: AcceptedConnection | null) {
    this.#isUp = accepted !== null;
    this.remoteAddress = accepted?.peer?.host;
    this.remotePort = accepted?.peer?.port;
    if (accepted === null) return;
    this.#fd = accepted.fd;
    this.#watch();
  }

  /** -1 when it has none. */
  get fd(): number {
    return this.#fd;
  }

  get localAddress(): string | undefined {
    return this.#localEnd()?.host;
  }

  get localPort(): number | undefined {
    return this.#localEnd()?.port;
  }

  get writable(): boolean {
    return !this.destroyed && !this.#isEnding;
  }

  get writableNeedDrain(): boolean {
    return this.#output.needsDrain;
  }

  get writableLength(): number {
    return this.#output.unsentBytes;
  }

  #localEnd(): SocketEnd | null {
    if (this.#local === null && this.#fd !== -1) this.#local = localEndOf(this.#fd);
    return this.#local;
  }

  /** Takes over a descriptor on which connect(2) was begun. @throws SystemCallError; the descriptor is the caller's then */
  attempt(attempt: ConnectAttempt): void {
    this.#poller.add(this, ready.output, attempt.fd);
    this.#fd = attempt.fd;
    this.#events = ready.output;
    this.#attempt = attempt;
  }

  /** Instead of 'data', 'end' and 'drain'. Null: these are told again. */
  receive(receiver: StreamReceiver | null): void {
    this.#listeners.receiver = receiver;
    if (receiver !== null) this.#wanted();
  }

  on(event: StreamEvent, listener: StreamListener, once = false): this {
    this.#listeners.add(event, listener, once);
    if (event === 'data') this.#wanted();
    return this;
  }

  once(event: StreamEvent, listener: StreamListener): this {
    return this.on(event, listener, true);
  }

  off(event: StreamEvent, listener: StreamListener): this {
    this.#listeners.remove(event, listener);
    return this;
  }

  #wanted(): void {
    if (this.#flow === 'new') this.resume();
    else if (this.#unread !== null && this.#flow === 'flowing') this.#flowSoon();
  }

  pause(): this {
    this.#flow = 'paused';
    return this;
  }

  resume(): this {
    if (this.#flow === 'flowing' || this.destroyed) return this;
    this.#flow = 'flowing';
    if (this.#unread !== null || this.#hasEnded) this.#flowSoon();
    else if (this.#isUp) this.#watch();
    return this;
  }

  unshift(bytes: Buffer): void {
    if (this.destroyed || bytes.length === 0) return;
    this.#unread ??= new ByteQueue();
    this.#unread.unshift(bytes);
    if (this.#flow === 'flowing') this.#flowSoon();
  }

  write(chunk: Buffer | string, encoding?: 'latin1'): boolean {
    if (!this.writable || chunk.length === 0) return this.writable;
    const length = this.#output.write(this.#isUp ? this.#fd : -1, chunk, encoding);
    if (length < 0) {
      this.#writeFailed(-length);
      return false;
    }
    this.bytesWritten += length;
    if (this.#output.hasUnsent && this.#isUp) this.#watch();
    return !this.#output.needsDrain;
  }

  cork(): void {
    this.#output.isCorked = true;
  }

  uncork(): void {
    this.#output.isCorked = false;
    if (this.#isUp) this.#sendUnsent();
  }

  end(): this {
    this.#successor?.end();
    if (!this.writable || this.#successor !== null) return this;
    this.#isEnding = true;
    this.#output.isCorked = false;
    if (this.#isUp) this.#sendUnsent();
    return this;
  }

  destroySoon(): void {
    this.#successor?.destroySoon();
    this.#destroyWhenSent = true;
    if (this.#isEnding && !this.#output.hasUnsent && this.#isUp) this.destroy();
    else this.end();
  }

  resetAndDestroy(): this {
    this.#successor?.resetAndDestroy();
    if (this.remoteAddress !== undefined && this.#fd !== -1) resetAtClose(this.#fd);
    return this.destroy();
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    if (this.#successor === null) {
      this.#close();
      this.#gone(error);
    } else this.#successor.destroy(error);
    return this;
  }

  /**
   * The same connection as a socket of Node's, with half-open allowed, which has from now on what was read and not used. Nothing may be
   * unsent. This one can still be destroyed, and closes with the other.
   */
  toNodeSocket(): Socket {
    assert(this.#isUp && !this.#output.hasUnsent && this.#successor === null, 'A connection is given away in the middle of something');
    if (this.destroyed) return new Socket().destroy();
    if (this.#events !== unwatched) this.#poller.remove(this);
    this.#events = unwatched;
    this.#localEnd();
    const socket = new Socket({fd: this.#fd, allowHalfOpen: true, readable: true, writable: true});
    if (this.#unread !== null) socket.unshift(this.#unread.whole());
    this.#fd = -1;
    this.#successor = socket;
    socket.once('close', () => {
      this.bytesRead += socket.bytesRead;
      this.bytesWritten += socket.bytesWritten;
      this.#gone(undefined);
    });
    return socket;
  }

  /** Of the poller. */
  onReady(events: number): void {
    if (this.#attempt !== null) {
      this.#attempted(this.#attempt);
      return;
    }
    if ((events & ready.output) !== 0) this.#sendUnsent();
    if ((events & ~ready.output) !== 0 && !this.destroyed) this.#readable(events);
  }

  #attempted({peer, to, next}: ConnectAttempt): void {
    const errno = takeSocketError(this.#fd);
    this.#attempt = null;
    if (errno !== 0) {
      this.#close();
      if (!next()) this.#gone(new ErrnoError('connect', errno, to));
      return;
    }
    this.remoteAddress = peer?.host;
    this.remotePort = peer?.port;
    this.#isUp = true;
    this.#watch();
    this.#listeners.tell('connect');
    if (this.#output.hasUnsent || this.#isEnding) this.#sendUnsent();
  }

  #readable(events: number): void {
    if (this.#hasEnded || (this.#unread?.length ?? 0) >= maxUnreadBytes) {
      this.#readableUnwanted(events);
      return;
    }
    const bytes = tryReceive(this.#fd, readBuffer);
    if (bytes > 0) this.#received(bytes);
    else if (bytes === 0) this.#endReceived();
    else if (bytes !== -EAGAIN && bytes !== -EINTR) this.#readFailed(new ErrnoError('read', -bytes));
  }

  #readFailed(error: Error): void {
    if (this.#unread === null || this.#flow === 'new') {
      this.destroy(error);
      return;
    }
    this.#readError = error;
    this.#hasEnded = true;
    this.#watch();
  }

  /** Nothing is to be read, but the kernel has something to tell, again and again. */
  #readableUnwanted(events: number): void {
    if (this.#hasEnded && this.#unread === null && (events & ready.error) !== 0) {
      const errno = takeSocketError(this.#fd);
      this.destroy(errno === 0 ? undefined : new ErrnoError('read', errno));
    } else if ((events & (ready.error | ready.hangUp)) !== 0) {
      this.#poller.remove(this); // It would tell for ever of a side that is gone and not read.
      this.#events = unwatched;
    } else this.#watch();
  }

  #received(length: number): void {
    this.bytesRead += length;
    const borrowed = readBuffer.subarray(0, length);
    if (this.#unread !== null || this.#flow !== 'flowing' || !this.#listeners.wantBytes) {
      this.#unread ??= new ByteQueue();
      this.#unread.push(Buffer.from(borrowed));
    } else this.#listeners.bytes(this, borrowed);
  }

  #endReceived(): void {
    this.#hasEnded = true;
    if (this.#unread === null) this.#tellEnd();
    this.#watch();
  }

  #tellEnd(): void {
    if (this.readableEnded) return;
    this.readableEnded = true;
    this.#listeners.ended(this);
    if (this.#isEnding && !this.#output.hasUnsent) this.destroy();
  }

  #flowSoon(): void {
    if (this.#isFlowPending) return;
    this.#isFlowPending = true;
    process.nextTick(StreamSocket.#flowOf, this);
  }

  static readonly #flowOf = (stream: StreamSocket): void => stream.#flowNow();

  /** Hands out what was read before; the kernel's turn comes after it. */
  #flowNow(): void {
    this.#isFlowPending = false;
    while (this.#unread !== null && this.#flow === 'flowing' && this.#listeners.wantBytes) {
      const bytes = this.#unread.shift();
      if (this.#unread.length === 0) this.#unread = null;
      this.#listeners.bytes(this, bytes);
    }
    if (this.#unread !== null || this.#flow !== 'flowing' || this.destroyed) return;
    if (this.#readError !== null) this.destroy(this.#readError);
    else if (this.#hasEnded) this.#tellEnd();
    else this.#watch();
  }

  #sendUnsent(): void {
    const errno = this.#output.send(this.#fd);
    if (errno !== 0) {
      this.#writeFailed(errno);
      return;
    }
    this.#watch();
    if (this.#output.hasUnsent) return;
    if (this.#isEnding) {
      if (!this.readableEnded) tryEndSending(this.#fd); // Closing alone resets where something is unread.
      if (this.#destroyWhenSent || this.readableEnded) this.destroy();
    } else if (this.#output.needsDrain) {
      this.#output.needsDrain = false;
      this.#listeners.drained(this);
    }
  }

  /** What the other side said before it went is still read, if somebody reads it. */
  #writeFailed(errno: number): void {
    this.#isEnding = true;
    this.#output.clear();
    process.nextTick(() => {
      while (!this.destroyed && this.#flow === 'flowing' && this.#unread === null && !this.#hasEnded) {
        const bytes = tryReceive(this.#fd, readBuffer);
        if (bytes <= 0) break;
        this.#received(bytes);
      }
      this.destroy(new ErrnoError('write', errno));
    });
  }

  /** Asks the poller for what is wanted now. */
  #watch(): void {
    if (this.#fd === -1) return;
    let events = this.#output.hasUnsent && !this.#output.isCorked ? ready.output : 0;
    if (!this.#hasEnded && (this.#unread?.length ?? 0) < maxUnreadBytes) events |= ready.input;
    if (events === this.#events) return;
    if (this.#events === unwatched) this.#poller.add(this, events);
    else this.#poller.change(this, events);
    this.#events = events;
  }

  #close(): void {
    if (this.#events !== unwatched) this.#poller.close(this);
    else if (this.#fd !== -1) close(this.#fd);
    this.#events = unwatched;
    this.#fd = -1;
  }

  #gone(error: Error | undefined): void {
    this.destroyed = true;
    this.#unread = null;
    this.#output.clear();
    process.nextTick(() => {
      if (error !== undefined) this.#listeners.tell('error', error);
      this.closed = true;
      this.#listeners.tell('close');
    });
  }
}
