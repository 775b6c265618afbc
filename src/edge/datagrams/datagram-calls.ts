/**
 * System calls for many datagrams at a time, and for waiting for them. As in core/libc.ts the `try...` forms return a negative errno.
 * The kernel gets the addresses of Buffers here, and reads those that stand in them: their owners keep all of them as long as they are used.
 */
import {constants} from 'node:os';
import koffi from 'koffi';
import {libc, SystemCallError, setSocketOption} from '../../core/libc.ts';

/** koffi knows a function's types only at run time: the prototype says them. Every result here is a number. */
type NativeFunction = (...values: readonly unknown[]) => number;

const connect: NativeFunction = libc.func('int connect(int fd, const void *address, unsigned int size)');
const getsockname: NativeFunction = libc.func('int getsockname(int fd, void *address, _Inout_ unsigned int *size)');
const getsockopt: NativeFunction = libc.func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ unsigned int *size)');
const recvmmsg: NativeFunction = libc.func('int recvmmsg(int fd, void *messages, unsigned int count, int flags, void *timeout)');
const sendmmsg: NativeFunction = libc.func('int sendmmsg(int fd, void *messages, unsigned int count, int flags)');
const send: NativeFunction = libc.func('long send(int fd, void *data, size_t size, int flags)');
const epollCreate1: NativeFunction = libc.func('int epoll_create1(int flags)');
const epollCtl: NativeFunction = libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const epollWait: NativeFunction = libc.func('int epoll_wait(int epoll, void *events, int count, int timeout)');

const doNotWait = 0x40;
const closeOnExec = 0o2000000;

function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

function check(call: string, what: string, result: number): void {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), what);
}

/** @param address a `struct sockaddr`. @returns 0, or a negative errno */
export function tryConnect(fd: number, address: Uint8Array): number {
  return orErrno(connect(fd, address, address.length));
}

/** The `struct sockaddr` to which a socket is bound. @throws SystemCallError */
export function boundAddress(fd: number): Buffer {
  const address = Buffer.alloc(128);
  const size = [address.length];
  check('ask for the address of', `descriptor ${fd}`, getsockname(fd, address, size));
  return address.subarray(0, size[0]);
}

/** SOCK_*. @throws SystemCallError when it is no socket */
export function socketTypeOf(fd: number): number {
  const value = [0];
  check('ask for the type of', `descriptor ${fd}`, getsockopt(fd, 1, 3, value, [4]));
  return value[0] ?? 0;
}

/** Asks the kernel for the local address of each datagram: IP_PKTINFO or IPV6_RECVPKTINFO. @throws SystemCallError */
export function askForLocalAddress(fd: number, ipv6: boolean): void {
  if (ipv6) setSocketOption(fd, 41, 49, 1);
  else setSocketOption(fd, 0, 8, 1);
}

/** @param messages array of `struct mmsghdr`. @returns how many were received, or a negative errno */
export function tryReceiveMany(fd: number, messages: Uint8Array, count: number): number {
  return orErrno(recvmmsg(fd, messages, count, doNotWait, null));
}

/** @returns how many were sent, or the negative errno of the first one */
export function trySendMany(fd: number, messages: Uint8Array, count: number): number {
  return orErrno(sendmmsg(fd, messages, count, doNotWait));
}

/** Sends the first `length` bytes on a connected socket. @returns bytes sent, or a negative errno */
export function trySendStart(fd: number, memory: Uint8Array, length: number): number {
  return orErrno(send(fd, memory, length, doNotWait));
}

/** The caller closes it. @throws SystemCallError, also when the system lacks one of the calls of this file */
export function openEpoll(): number {
  const epoll = epollCreate1(closeOnExec);
  check('create', 'an epoll descriptor', epoll);
  for (const [name, call] of [
    ['recvmmsg', tryReceiveMany],
    ['sendmmsg', trySendMany],
  ] as const) {
    const errno = -call(-1, Buffer.alloc(64), 1);
    if (errno !== constants.errno.EBADF) throw new SystemCallError('use', errno, `${name}()`);
  }
  return epoll;
}

/** `struct epoll_event` is packed on this one only. */
const epollEvent = process.arch === 'x64' ? {words: 3, dataWord: 1} : {words: 4, dataWord: 2};
const epollIn = 1;

/** What epoll_wait() found: the descriptors that can be read, or have an error. */
export class ReadyDescriptors {
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#bytes = Buffer.alloc(capacity * epollEvent.words * 4);
    this.#words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, capacity * epollEvent.words);
  }

  /** @param timeoutMs -1: for as long as it takes. @returns how many there are, or a negative errno */
  wait(epoll: number, timeoutMs: number): number {
    return orErrno(epollWait(epoll, this.#bytes, this.#capacity, timeoutMs));
  }

  at(index: number): number {
    return this.#words[index * epollEvent.words + epollEvent.dataWord] ?? -1;
  }
}

/** Closing the descriptor takes it out again. @throws SystemCallError */
export function watchReadable(epoll: number, fd: number): void {
  const event = new Uint32Array(4);
  event[0] = epollIn;
  event[epollEvent.dataWord] = fd;
  check('watch', `descriptor ${fd}`, epollCtl(epoll, 1, fd, event));
}
