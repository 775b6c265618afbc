/**
 * A connection that we read and write ourselves, told by the poller when it can be. It behaves as a `net.Socket` that allows half-open
 * does, without the buffers, requests and callbacks that cost Node more than the system calls do, and keeps nothing of what it is given to
 * write if the kernel takes it.
 */
import {EventEmitter} from 'node:events';
import {Socket} from 'node:net';
import {constants} from 'node:os';
import {assert} from '../../core/errors.ts';
import {close} from '../../core/libc.ts';
import {ready} from '../polling/epoll.ts';
import {ErrnoError} from '../polling/errno-error.ts';
import {type PolledDescriptor, processPoller} from '../polling/poller.ts';
import type {ByteStream} from './byte-stream.ts';
import {localEndOf, resetAtClose, type SocketEnd, takeSocketError, tryEndSending, tryReceive, trySendFirst} from './stream-calls.ts';

const {EAGAIN, EINTR} = constants.errno;

/** One for all: reads are taken one after the other, and nobody keeps what is in it. */
const readBuffer = Buffer.allocUnsafeSlow(65_536);
/** Small texts are encoded here, and sent at once. */
const textBuffer = Buffer.allocUnsafeSlow(16_384);
/** So much is read that nobody wants yet: that the other side has ended is seen as long as it says little. */
const maxUnreadBytes = 16_384;

const maxCorkedBytes = 65_536;

export interface ConnectAttempt {
  readonly fd: number;
  readonly peer: SocketEnd | null;
  /** For messages: `127.0.0.1:80`. */
  readonly to: string;
  /** Another address is tried; false: there is none. */
  readonly next: () => boolean;
}

type Listener = Parameters<EventEmitter['on']>[1];

/** The poller does not have it. */
const unwatched = -1;

/** `new`: nobody has wanted bytes yet, and who does gets them at once; `paused`: somebody wants no more until it says so. */
type Flow = 'new' | 'flowing' | 'paused';

/** A connection that is up: its descriptor, which does not block, and the other side where it has an address. */
export interface AcceptedConnection {
  readonly fd: number;
  readonly peer: SocketEnd | null;
}

export class StreamSocket extends EventEmitter implements PolledDescriptor, ByteStream {
  readonly #poller = processPoller();
  #fd = -1;
  #connecting: ConnectAttempt | null = null;
  /** What the poller was asked for. */
  #events: number = unwatched;
  #isConnecting: boolean;
  #flow: Flow = 'new';
  /** Gets what is read where there is one; else 'data' is emitted. */
  #receiver: ((borrowed: Buffer) => void) | null = null;
  /** Read before somebody wanted it, or given back. */
  #unread: Buffer[] | null = null;
  #unreadBytes = 0;
  /** The kernel has no more. */
  #hasEnded = false;
  /** Why, if it was no good end; told when what came before is read. */
  #readError: Error | null = null;
  #isFlowPending = false;
  #peer: SocketEnd | null = null;
  #local: SocketEnd | null = null;
  /** Not taken by the kernel yet. */
  #unsent: Buffer[] | null = null;
  #unsentBytes = 0;
  #corks = 0;
  #isEnding = false;
  /** Has the connection instead of this one. */
  #successor: Socket | null = null;
  #destroyWhenSent = false;
  bytesRead = 0;
  bytesWritten = 0;
  destroyed = false;
  closed = false;
  readableEnded = false;
  writableNeedDrain = false;

  /** Takes over the descriptor; null: `attempt` comes later. @throws SystemCallError */
  constructor(accepted: AcceptedConnection | null) {
    super();
    this.#isConnecting = accepted === null;
    if (accepted === null) return;
    this.#fd = accepted.fd;
    this.#peer = accepted.peer;
    this.#watch();
  }

  /** -1 when it is closed. */
  get fd(): number {
    return this.#fd;
  }

  get connecting(): boolean {
    return this.#isConnecting && !this.destroyed;
  }

  /** Takes over a descriptor on which connect(2) was begun. @throws SystemCallError */
  attempt(attempt: ConnectAttempt): void {
    this.#connecting = attempt;
    this.#fd = attempt.fd;
    this.#poller.add(this, ready.output);
    this.#events = ready.output;
  }

  get remoteAddress(): string | undefined {
    return this.#peer?.host;
  }

  get remotePort(): number | undefined {
    return this.#peer?.port;
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

  get writableCorked(): number {
    return this.#corks;
  }

  #localEnd(): SocketEnd | null {
    if (this.#local === null && this.#fd !== -1) this.#local = localEndOf(this.#fd);
    return this.#local;
  }

  /** Instead of 'data': what it gets is only its own until it returns. */
  receive(receiver: ((borrowed: Buffer) => void) | null): void {
    this.#receiver = receiver;
    if (receiver !== null) this.#wanted();
  }

  override on(event: string, listener: Listener): this {
    super.on(event, listener);
    if (event === 'data') this.#wanted();
    return this;
  }

  override once(event: string, listener: Listener): this {
    super.once(event, listener);
    if (event === 'data') this.#wanted();
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
    if (this.#unread === null && !this.#hasEnded) this.#watch();
    else this.#flowSoon();
    return this;
  }

  unshift(bytes: Buffer): void {
    if (this.destroyed || bytes.length === 0) return;
    this.#unread = [bytes, ...(this.#unread ?? [])];
    this.#unreadBytes += bytes.length;
    if (this.#flow === 'flowing') this.#flowSoon();
  }

  write(chunk: Buffer | string, encoding?: 'latin1'): boolean {
    if (typeof chunk !== 'string') return this.#write(chunk, chunk.length);
    if (chunk.length > textBuffer.length) {
      const bytes = Buffer.from(chunk, encoding);
      return this.#write(bytes, bytes.length);
    }
    return this.#write(textBuffer, textBuffer.write(chunk, encoding ?? 'utf8'));
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks === 0) return;
    this.#corks--;
    if (this.#corks === 0 && !this.#isConnecting) this.#sendUnsent();
  }

  end(): this {
    this.#successor?.end();
    if (this.#isEnding || this.#fd === -1) return this;
    this.#isEnding = true;
    this.#corks = 0;
    if (this.#isConnecting) return this;
    if (this.#unsent === null) this.#allSent();
    else this.#sendUnsent();
    return this;
  }

  destroySoon(): void {
    this.#successor?.destroySoon();
    this.#destroyWhenSent = true;
    if (this.#isEnding && this.#unsent === null && !this.#isConnecting) this.destroy();
    else this.end();
  }

  resetAndDestroy(): this {
    this.#successor?.resetAndDestroy();
    if (this.#peer !== null && this.#fd !== -1) resetAtClose(this.#fd);
    return this.destroy();
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    if (this.#successor !== null) {
      this.#successor.destroy(error);
      return this;
    }
    this.#close();
    this.#gone(error);
    return this;
  }

  /**
   * The same connection as a socket of Node's, with half-open allowed, which has from now on what was read and not used. Nothing may be
   * unsent. This one can still be destroyed, and closes with the other.
   */
  toNodeSocket(): Socket {
    assert(!this.#isConnecting && this.#unsent === null && this.#successor === null, 'A connection is given away in the middle of something');
    if (this.destroyed) return new Socket().destroy();
    if (this.#events !== unwatched) this.#poller.remove(this);
    this.#events = unwatched;
    this.#localEnd();
    const socket = new Socket({fd: this.#fd, allowHalfOpen: true, readable: true, writable: true});
    if (this.#unread !== null) socket.unshift(Buffer.concat(this.#unread));
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
    if (this.#connecting !== null) {
      this.#connectEnded(this.#connecting);
      return;
    }
    if ((events & ready.output) !== 0 && this.#unsent !== null) this.#sendUnsent();
    if ((events & ~ready.output) !== 0 && !this.destroyed) this.#readable(events);
  }

  #connectEnded({peer, to, next}: ConnectAttempt): void {
    const errno = takeSocketError(this.#fd);
    this.#connecting = null;
    if (errno !== 0) {
      this.#close();
      if (!next()) this.#gone(new ErrnoError('connect', errno, to));
      return;
    }
    this.#peer = peer;
    this.#isConnecting = false;
    this.#watch();
    this.emit('connect');
    if (this.destroyed) return;
    if (this.#unsent !== null) this.#sendUnsent();
    else if (this.#isEnding) this.#allSent();
  }

  #readable(events: number): void {
    if (this.#hasEnded || this.#unreadBytes >= maxUnreadBytes) {
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
    } else if ((events & (ready.error | ready.hangUp)) !== 0) this.#unwatch();
    else this.#watch();
  }

  #received(bytes: number): void {
    this.bytesRead += bytes;
    const borrowed = bytes === readBuffer.length ? readBuffer : readBuffer.subarray(0, bytes);
    if (this.#unread !== null || this.#flow !== 'flowing') this.#keep(Buffer.from(borrowed));
    else if (this.#receiver !== null) this.#receiver(borrowed);
    else if (!this.emit('data', Buffer.from(borrowed))) this.#keep(Buffer.from(borrowed));
  }

  #keep(bytes: Buffer): void {
    this.#unread ??= [];
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
  }

  #endReceived(): void {
    this.#hasEnded = true;
    this.#watch();
    if (this.#unread === null) this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.readableEnded) return;
    this.readableEnded = true;
    this.emit('end');
    if (this.#isEnding && this.#unsent === null) this.destroy();
  }

  #flowSoon(): void {
    if (this.#isFlowPending) return;
    this.#isFlowPending = true;
    process.nextTick(this.#flowNow);
  }

  /** Hands out what was read before; the kernel's turn comes after it. */
  readonly #flowNow = (): void => {
    this.#isFlowPending = false;
    while (this.#unread !== null && this.#flow === 'flowing') {
      const [bytes] = this.#unread;
      if (bytes === undefined) this.#unread = null;
      else if (this.#receiver !== null || this.listenerCount('data') > 0) {
        this.#unread.shift();
        this.#unreadBytes -= bytes.length;
        if (this.#receiver === null) this.emit('data', bytes);
        else this.#receiver(bytes);
      } else return;
    }
    if (this.#flow !== 'flowing' || this.destroyed) return;
    if (this.#readError !== null) this.destroy(this.#readError);
    else if (this.#hasEnded) this.#tellEnd();
    else this.#watch();
  };

  #write(memory: Buffer, length: number): boolean {
    if (!this.writable) return false;
    this.bytesWritten += length;
    if (length === 0) return true;
    if (this.#unsent !== null || this.#corks > 0 || this.#isConnecting) {
      this.#queue(Buffer.from(memory.subarray(0, length)));
      return !this.writableNeedDrain;
    }
    const sent = this.#send(memory, length);
    if (sent === length) return true;
    if (sent === -1) return false;
    this.#queue(Buffer.from(memory.subarray(sent, length)));
    this.writableNeedDrain = true;
    this.#watch();
    return false;
  }

  #queue(bytes: Buffer): void {
    this.#unsent ??= [];
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
    if (this.#corks === 0 || this.#unsentBytes >= maxCorkedBytes) this.writableNeedDrain = true;
  }

  /** @returns bytes that the kernel took, or -1 when sending has failed */
  #send(memory: Buffer, length: number): number {
    const sent = trySendFirst(this.#fd, memory, length);
    if (sent >= 0) return sent;
    if (sent === -EAGAIN || sent === -EINTR) return 0;
    this.#writeFailed(-sent);
    return -1;
  }

  #sendUnsent(): void {
    if (this.#unsent !== null) {
      const [first] = this.#unsent;
      const bytes = this.#unsent.length === 1 && first !== undefined ? first : Buffer.concat(this.#unsent);
      const sent = this.#send(bytes, bytes.length);
      if (sent === -1) return;
      this.#unsent = sent === bytes.length ? null : [bytes.subarray(sent)];
      this.#unsentBytes = bytes.length - sent;
    }
    this.#watch();
    if (this.#unsent !== null) return;
    if (this.#isEnding) this.#allSent();
    else if (this.writableNeedDrain) {
      this.writableNeedDrain = false;
      this.emit('drain');
    }
  }

  #allSent(): void {
    if (this.#destroyWhenSent || this.readableEnded) this.destroy();
    else tryEndSending(this.#fd);
  }

  /** What the other side said before it went is still read, if somebody reads it. */
  #writeFailed(errno: number): void {
    this.#isEnding = true;
    this.#unsent = null;
    this.#unsentBytes = 0;
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
    if (this.destroyed) return;
    let events = this.#unsent !== null && this.#corks === 0 ? ready.output : 0;
    if (!this.#hasEnded && this.#unreadBytes < maxUnreadBytes) events |= ready.input;
    if (events === this.#events) return;
    if (this.#events === unwatched) this.#poller.add(this, events);
    else this.#poller.change(this, events);
    this.#events = events;
  }

  /** Of a side that is gone and not read, which the poller would tell for ever. */
  #unwatch(): void {
    this.#poller.remove(this);
    this.#events = unwatched;
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
    this.#unreadBytes = 0;
    this.#unsent = null;
    this.#unsentBytes = 0;
    process.nextTick(() => {
      if (error !== undefined) this.emit('error', error);
      this.closed = true;
      this.emit('close');
    });
  }
}
