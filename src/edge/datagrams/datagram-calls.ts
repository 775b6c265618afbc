/**
 * System calls for many datagrams at a time. As in core/libc.ts the `try...` forms return a negative errno.
 * The kernel gets the addresses of Buffers here, and reads those that stand in them: their owners keep all of them as long as they are used.
 */
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

const doNotWait = 0x40;

function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

function check(call: string, what: string, result: number): void {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), what);
}

/** @param address a `struct sockaddr`. @returns 0, or a negative errno: -EINPROGRESS where it goes on, as with a stream */
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
  return socketOptionOf(fd, 1, 3);
}

/** getsockopt(2). @throws SystemCallError */
export function socketOptionOf(fd: number, level: number, name: number): number {
  const value = [0];
  check('ask for an option of', `descriptor ${fd}`, getsockopt(fd, level, name, value, [4]));
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
