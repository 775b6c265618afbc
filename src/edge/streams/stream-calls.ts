/** System calls for streams. As in core/libc.ts the `try...` forms return a negative errno. A Buffer passed here is only pinned during the call. */
import koffi from 'koffi';
import {libc, setSocketOption} from '../../core/libc.ts';
import {addressText} from '../address-text.ts';
import {family} from '../socket-address.ts';

/** koffi knows a function's types only at run time: the prototype says them. Every result here is a number. */
type NativeFunction = (...values: readonly unknown[]) => number;

const accept4: NativeFunction = libc.func('int accept4(int fd, void *address, void *size, int flags)');
const getsockname: NativeFunction = libc.func('int getsockname(int fd, void *address, void *size)');
const getsockopt: NativeFunction = libc.func('int getsockopt(int fd, int level, int name, void *value, void *size)');
const recv: NativeFunction = libc.func('long recv(int fd, void *data, size_t size, int flags)');
const send: NativeFunction = libc.func('long send(int fd, void *data, size_t size, int flags)');
const shutdown: NativeFunction = libc.func('int shutdown(int fd, int how)');
const setsockopt: NativeFunction = libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int size)');

/** MSG_NOSIGNAL. */
const noSignal = 0x4000;
const nonBlockingCloseOnExec = 0o2004000;
const level = {socket: 1, tcp: 6} as const;
const option = {error: 4, keepAlive: 9, linger: 13, noDelay: 1, keepAliveIdle: 4} as const;

const addressBytes = 128;
const address = Buffer.alloc(addressBytes);
const size = Buffer.alloc(4);
const sizeWord = new Uint32Array(size.buffer, size.byteOffset, 1);
const value = Buffer.alloc(4);
const one = Buffer.from([1, 0, 0, 0]);
/** `struct linger`: on, 0 seconds. */
const atOnce = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

export interface SocketEnd {
  readonly host: string;
  readonly port: number;
}

/** A connection that is up: its descriptor, which does not block, and the other side where it has an address. */
export interface AcceptedConnection {
  readonly fd: number;
  readonly peer: SocketEnd | null;
}

/** A connection on which connect(2) was begun. */
export interface ConnectAttempt extends AcceptedConnection {
  /** For messages: `127.0.0.1:80`. */
  readonly to: string;
  /** Begins another attempt; false: there is none. */
  readonly next: () => boolean;
}

/** Null: a unix socket has neither. */
function endOf(bytes: number): SocketEnd | null {
  if (bytes < 8) return null;
  const kind = address[0];
  return kind === family.ipv4 || kind === family.ipv6 ? addressText(address) : null;
}

/** The client of the last connection that `tryAccept` took. */
export function acceptedPeer(): SocketEnd | null {
  return endOf(sizeWord[0] ?? 0);
}

/** Takes a connection from the backlog; it does not block. The caller closes it. @returns its descriptor, or a negative errno: -EAGAIN when there is none */
export function tryAccept(fd: number): number {
  sizeWord[0] = addressBytes;
  const result = accept4(fd, address, size, nonBlockingCloseOnExec);
  return result < 0 ? -koffi.errno() : result;
}

export function localEndOf(fd: number): SocketEnd | null {
  sizeWord[0] = addressBytes;
  return getsockname(fd, address, size) < 0 ? null : endOf(sizeWord[0]);
}

/** @returns bytes received, 0 at the end, or a negative errno */
export function tryReceive(fd: number, memory: Uint8Array): number {
  const result = recv(fd, memory, memory.length, 0);
  return result < 0 ? -koffi.errno() : result;
}

/** Sends the first `length` bytes. @returns bytes sent, or a negative errno */
export function trySendFirst(fd: number, memory: Uint8Array, length: number): number {
  const result = send(fd, memory, length, noSignal);
  return result < 0 ? -koffi.errno() : result;
}

/** Nothing more will be sent: the other side reads to the end. @returns 0, or a negative errno */
export function tryEndSending(fd: number): number {
  const sending = 1;
  return shutdown(fd, sending) < 0 ? -koffi.errno() : 0;
}

/** The error that a socket has met, as a positive errno, or 0; the socket forgets it. */
export function takeSocketError(fd: number): number {
  sizeWord[0] = 4;
  if (getsockopt(fd, level.socket, option.error, value, size) < 0) return koffi.errno();
  return value.readInt32LE(0);
}

/** From now on closing resets the connection. */
export function resetAtClose(fd: number): void {
  setsockopt(fd, level.socket, option.linger, atOnce, atOnce.length);
}

/**
 * Small writes leave at once. A unix socket, which knows no delay, is left as it is.
 * @param keepAliveSeconds of silence until the other side is asked whether it is still there; null: the system's
 */
export function prepareStream(fd: number, {keepAlive, keepAliveSeconds}: {readonly keepAlive: boolean; readonly keepAliveSeconds: number | null}): void {
  setsockopt(fd, level.tcp, option.noDelay, one, one.length);
  if (!keepAlive) return;
  setsockopt(fd, level.socket, option.keepAlive, one, one.length);
  if (keepAliveSeconds !== null) setSocketOption(fd, level.tcp, option.keepAliveIdle, keepAliveSeconds);
}
