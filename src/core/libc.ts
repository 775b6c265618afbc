/**
 * System calls that Node does not offer, through koffi. Each returns what the C library's function returns, or throws
 * `SystemCallError`; the `try...` forms return a negative errno instead, for loops in which an error is ordinary.
 * A Buffer passed here is only pinned for the duration of the call.
 */
import {constants} from 'node:os';
import koffi from 'koffi';
import {CodedError} from './errors.ts';

const library = koffi.load('libc.so.6');

/** koffi knows a function's types only at run time: the prototype says them. Every result here is a number. */
interface NativeFunction {
  (...values: readonly unknown[]): number;
  /** Calls it on another thread; the last argument is the callback. */
  async(...values: readonly unknown[]): void;
}

function declare(prototype: string): NativeFunction {
  return library.func(prototype);
}

const fn = {
  bind: declare('int bind(int fd, const void *address, unsigned int addressSize)'),
  clockGettime: declare('int clock_gettime(int clock, _Out_ void *time)'),
  close: declare('int close(int fd)'),
  dup2: declare('int dup2(int from, int to)'),
  eventfd: declare('int eventfd(unsigned int initial, int flags)'),
  fcntl: declare('int fcntl(int fd, int command, int argument)'),
  flock: declare('int flock(int fd, int operation)'),
  ifNameToIndex: declare('unsigned int if_nametoindex(const char *name)'),
  ioctl: declare('int ioctl(int fd, unsigned long request, void *arg)'),
  ioctlNumber: declare('int ioctl(int fd, unsigned long request, unsigned long arg)'),
  listen: declare('int listen(int fd, int backlog)'),
  mallocTrim: declare('int malloc_trim(size_t keep)'),
  mkfifo: declare('int mkfifo(const char *path, unsigned int mode)'),
  mknod: declare('int mknod(const char *path, unsigned int mode, unsigned long dev)'),
  mount: declare('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)'),
  open: declare('int open(const char *path, int flags, unsigned int mode)'),
  pipe2: declare('int pipe2(_Out_ int *pair, int flags)'),
  poll: declare('int poll(_Inout_ void *fds, unsigned long count, int timeout)'),
  prctl: declare('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)'),
  read: declare('long read(int fd, _Out_ void *data, size_t size)'),
  recv: declare('long recv(int fd, _Out_ void *data, size_t size, int flags)'),
  recvmsg: declare('long recvmsg(int fd, _Inout_ void *message, int flags)'),
  schedYield: declare('int sched_yield(void)'),
  send: declare('long send(int fd, const void *data, size_t size, int flags)'),
  sendto: declare('long sendto(int fd, const void *data, size_t size, int flags, const void *address, unsigned int addressSize)'),
  sendmsg: declare('long sendmsg(int fd, const void *message, int flags)'),
  setsockopt: declare('int setsockopt(int fd, int level, int name, const int *value, unsigned int size)'),
  setsockoptText: declare('int setsockopt(int fd, int level, int name, const char *value, unsigned int size)'),
  setns: declare('int setns(int fd, int type)'),
  shutdown: declare('int shutdown(int fd, int how)'),
  socket: declare('int socket(int domain, int type, int protocol)'),
  socketpair: declare('int socketpair(int domain, int type, int protocol, _Out_ int *pair)'),
  syscall: declare('long syscall(long number, long a, long b, long c)'),
  umount2: declare('int umount2(const char *target, int flags)'),
  waitpid: declare('int waitpid(int pid, _Out_ int *status, int options)'),
  write: declare('long write(int fd, const void *data, size_t size)'),
} as const;

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** The name of a positive errno (`ENOENT`), or `errno N` for one that Node does not know. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

export class SystemCallError extends CodedError<'ERR_SYSTEM_CALL'> {
  readonly call: string;
  readonly errno: number;
  constructor(call: string, errno: number, what: string) {
    super('ERR_SYSTEM_CALL', `Cannot ${call} ${what}: ${errnoName(errno)}`, {source: 'host'});
    this.call = call;
    this.errno = errno;
  }
}

function check(call: string, what: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), what);
  return result;
}

function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** The library handle, for the few modules that declare a function of their own (mmap, libnftables). */
export const libc = library;

export function close(fd: number): void {
  check('close', `descriptor ${fd}`, fn.close(fd));
}

/** A counter descriptor that wakes a poll; `flags` are EFD_*. The caller closes it. */
export function eventfd(flags: number): number {
  return check('create', 'an eventfd', fn.eventfd(0, flags));
}

/** Takes the exclusive lock of the open file, or tells at once that another holds it. Closing the descriptor releases it. */
export function tryLock(fd: number): 'taken' | 'busy' {
  const exclusiveNonBlocking = 6;
  const result = orErrno(fn.flock(fd, exclusiveNonBlocking));
  if (result === -constants.errno.EWOULDBLOCK) return 'busy';
  if (result < 0) throw new SystemCallError('lock', -result, `descriptor ${fd}`);
  return 'taken';
}

/** @returns the call's result, or a negative errno */
export function tryIoctl(fd: number, request: number | bigint, argument: Uint8Array | number): number {
  return orErrno(typeof argument === 'number' ? fn.ioctlNumber(fd, request, argument) : fn.ioctl(fd, request, argument));
}

export function ioctl(fd: number, request: number | bigint, argument: Uint8Array | number): number {
  const result = tryIoctl(fd, request, argument);
  if (result < 0) throw new SystemCallError('ioctl', -result, `descriptor ${fd}, request 0x${request.toString(16)}`);
  return result;
}

/** The number of a network interface of the namespace that the thread is in. @throws SystemCallError */
export function interfaceIndex(name: string): number {
  const index = fn.ifNameToIndex(name);
  return check('find the number of', `interface "${name}"`, index === 0 ? -1 : index);
}

export function mkfifo(path: string, mode: number): void {
  check('create', `FIFO "${path}"`, fn.mkfifo(path, mode));
}

/**
 * @param path bytes for a name that may not be UTF-8
 * @param mode type and permissions, e.g. S_IFCHR | 0o666
 */
export function mknod(path: string | Buffer, mode: number, major: number, minor: number): void {
  // The kernel's encoding of a device number, from glibc's gnu_dev_makedev(3).
  const device = (BigInt(major & 0xfff) << 8n) | BigInt(minor & 0xff) | (BigInt(minor >>> 8) << 20n) | (BigInt(major >>> 12) << 44n);
  check('create', `device "${path.toString()}"`, fn.mknod(typeof path === 'string' ? path : Buffer.concat([path, Buffer.alloc(1)]), mode, device));
}

export function mount(options: {source: string; target: string; type: string; flags: number; data?: string}): void {
  check(
    'mount',
    `${options.type || 'bind'} on "${options.target}"`,
    fn.mount(options.source, options.target, options.type, options.flags, options.data ?? null),
  );
}

export const mountFlag = {readOnly: 1, noSuid: 2, noDev: 4, noExec: 8, remount: 32, bind: 4096, recursive: 16384, private: 1 << 18} as const;

export function umount(target: string, {detach}: {detach: boolean}): void {
  check('umount', `"${target}"`, fn.umount2(target, detach ? 2 : 0));
}

/** umount2(2) with MNT_DETACH on another thread. @returns whether it was unmounted; why not is for `umount()` to say */
export function tryDetach(target: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    fn.umount2.async(target, 2, (error: Error | null, result: number) => {
      if (error === null) resolve(result === 0);
      else reject(error);
    });
  });
}

/** open(2); the caller closes the descriptor. Always with O_CLOEXEC. */
export function open(path: string, flags: number, mode = 0): number {
  return check('open', `"${path}"`, fn.open(path, flags | 0o2000000, mode));
}

/** One `struct pollfd` is 8 bytes: descriptor, events, revents. @returns how many are ready, or a negative errno */
export function tryPoll(fds: Uint8Array, count: number, timeoutMs: number): number {
  return orErrno(fn.poll(fds, count, timeoutMs));
}

export const pollEvent = {in: 1, out: 4, err: 8, hup: 16, invalid: 32} as const;

/** Gives the kernel back what free(3) has kept for later: malloc_trim(3). */
export function trimMemory(): void {
  fn.mallocTrim(0);
}

/** Lets a thread run that waits for this processor, if there is one: sched_yield(2). */
export function yieldProcessor(): void {
  fn.schedYield();
}

export function prctl(option: number, argument: number): void {
  check('prctl', `option ${option}`, fn.prctl(option, argument, 0, 0, 0));
}

/** @returns bytes read, or a negative errno */
export function tryRead(fd: number, data: Uint8Array): number {
  return orErrno(fn.read(fd, data, data.length));
}

/** @returns bytes written, or a negative errno */
export function tryWrite(fd: number, data: Uint8Array): number {
  return orErrno(fn.write(fd, data, data.length));
}

/** @returns bytes received, 0 at the end, or a negative errno */
export function tryRecv(fd: number, data: Uint8Array, flags: number): number {
  return orErrno(fn.recv(fd, data, data.length, flags));
}

/** recv(2) on another thread; resolves to bytes received, 0 at the end. Rejects with SystemCallError. */
export function recvAsync(fd: number, data: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    fn.recv.async(fd, data, data.length, 0, (error: Error | null, result: number) => {
      if (error !== null) reject(error);
      // errno of another thread cannot be read here; the caller knows what it read from.
      else if (result < 0) reject(new SystemCallError('receive from', constants.errno.EIO, `descriptor ${fd}`));
      else resolve(result);
    });
  });
}

/** @returns bytes sent, or a negative errno */
export function trySend(fd: number, data: Uint8Array, flags: number): number {
  return orErrno(fn.send(fd, data, data.length, flags));
}

/** @param address a `struct sockaddr`. @returns bytes sent, or a negative errno */
export function trySendTo(fd: number, data: Uint8Array, flags: number, address: Uint8Array): number {
  return orErrno(fn.sendto(fd, data, data.length, flags, address, address.length));
}

const solSocket = 1;
const scmRights = 1;

interface MessageBuffers {
  readonly header: Buffer;
  readonly vector: Buffer;
  readonly control: Buffer;
}

/** Builds `struct msghdr` (64-bit Linux) around one vector and a control buffer. */
function messageHeader(data: Uint8Array, controlBytes: number): MessageBuffers {
  const header = Buffer.alloc(56);
  const vector = Buffer.alloc(16);
  const control = Buffer.alloc(Math.max(controlBytes, 8));
  vector.writeBigUInt64LE(koffi.address(data), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  header.writeBigUInt64LE(koffi.address(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(controlBytes === 0 ? 0n : koffi.address(control), 32);
  header.writeBigUInt64LE(BigInt(controlBytes), 40);
  return {header, vector, control};
}

/** Sends `data` (at least one byte) with descriptors as SCM_RIGHTS, unix(7). @returns bytes sent, or a negative errno */
export function trySendDescriptors(fd: number, data: Uint8Array, descriptors: readonly number[], flags = 0): number {
  const payloadBytes = descriptors.length * 4;
  const message = messageHeader(data, descriptors.length === 0 ? 0 : 16 + Math.ceil(payloadBytes / 8) * 8);
  if (descriptors.length > 0) {
    message.control.writeBigUInt64LE(BigInt(16 + payloadBytes), 0);
    message.control.writeInt32LE(solSocket, 8);
    message.control.writeInt32LE(scmRights, 12);
    for (const [index, descriptor] of descriptors.entries()) message.control.writeInt32LE(descriptor, 16 + index * 4);
  }
  return orErrno(fn.sendmsg(fd, message.header, flags));
}

/** Receives into `data`, with the descriptors that came along (close-on-exec; the caller closes them). `received` is negative errno on error. */
export function tryReceiveDescriptors(fd: number, data: Uint8Array, maxDescriptors: number, flags = 0): {received: number; descriptors: number[]} {
  const message = messageHeader(data, 16 + Math.ceil((maxDescriptors * 4) / 8) * 8);
  const closeOnExec = 0x40000000;
  const received = orErrno(fn.recvmsg(fd, message.header, flags | closeOnExec));
  const descriptors: number[] = [];
  if (received >= 0 && message.header.readBigUInt64LE(40) >= 16n) {
    const payloadBytes = Number(message.control.readBigUInt64LE(0)) - 16;
    if (message.control.readInt32LE(8) === solSocket && message.control.readInt32LE(12) === scmRights) {
      for (let at = 0; at + 4 <= payloadBytes; at += 4) descriptors.push(message.control.readInt32LE(16 + at));
    }
  }
  return {received, descriptors};
}

/** Ends the repair mode (tcp(7), TCP_REPAIR) in which CRIU holds a connection, without sending a packet. @returns 0, or a negative errno */
export function tryDisableRepair(fd: number): number {
  const offWithoutWindowProbe = -1;
  return orErrno(fn.setsockopt(fd, 6, 19, [offWithoutWindowProbe], 4));
}

/** Moves this thread into a namespace. @param type CLONE_NEW* or 0 for any */
export function setns(fd: number, type: number): void {
  check('enter', `namespace descriptor ${fd}`, fn.setns(fd, type));
}

export function socket(domain: number, type: number, protocol: number): number {
  return check('create', `socket ${domain}/${type}/${protocol}`, fn.socket(domain, type, protocol));
}

/** A connected AF_UNIX pair; `type` is SOCK_* with SOCK_CLOEXEC as wanted. The caller closes both. */
export function socketpair(type: number): [number, number] {
  const pair = [0, 0];
  check('create', 'a socket pair', fn.socketpair(1, type, 0, pair));
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** @param address a `struct sockaddr`. @throws SystemCallError */
export function bindSocket(fd: number, address: Uint8Array): void {
  check('bind', `descriptor ${fd}`, fn.bind(fd, address, address.length));
}

/** @throws SystemCallError */
export function listenSocket(fd: number, backlog: number): void {
  check('listen on', `descriptor ${fd}`, fn.listen(fd, backlog));
}

/** A listening socket of TCP refuses clients from now on, until it listens again; it keeps its address. @throws SystemCallError */
export function stopListening(fd: number): void {
  const both = 2;
  check('stop listening on', `descriptor ${fd}`, fn.shutdown(fd, both));
}

/** setsockopt(2). @throws SystemCallError */
export function setSocketOption(fd: number, level: number, name: number, value: number | string): void {
  const result = typeof value === 'number' ? fn.setsockopt(fd, level, name, [value], 4) : fn.setsockoptText(fd, level, name, value, Buffer.byteLength(value));
  check('set an option of', `descriptor ${fd}`, result);
}

/** From now on calls return -EAGAIN rather than wait. @throws SystemCallError */
export function setNonBlocking(fd: number): void {
  const command = {getFlags: 3, setFlags: 4} as const;
  const flags = check('ask for the flags of', `descriptor ${fd}`, fn.fcntl(fd, command.getFlags, 0));
  check('set the flags of', `descriptor ${fd}`, fn.fcntl(fd, command.setFlags, flags | socketType.nonBlocking));
}

/** Programs that are started from now on do not get this descriptor. @throws SystemCallError */
export function setCloseOnExec(fd: number): void {
  const [setDescriptorFlags, closeOnExec] = [2, 1];
  check('set the flags of', `descriptor ${fd}`, fn.fcntl(fd, setDescriptorFlags, closeOnExec));
}

/** A pipe, close-on-exec: the end that is read and the end that is written. The caller closes both. @throws SystemCallError */
export function pipe(): readonly [read: number, write: number] {
  const closeOnExec = 0o2000000;
  const pair = [-1, -1];
  check('make', 'a pipe', fn.pipe2(pair, closeOnExec));
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** Another descriptor of the same open file, close-on-exec, with the lowest free number from `lowest` on; the caller closes it. @throws SystemCallError */
export function duplicate(fd: number, lowest = 0): number {
  const duplicateCloseOnExec = 1030;
  return check('duplicate', `descriptor ${fd}`, fn.fcntl(fd, duplicateCloseOnExec, lowest));
}

/** Makes `to` another descriptor of what `from` is of; what it was before is closed. @throws SystemCallError */
export function replaceDescriptor(from: number, to: number): void {
  check('duplicate', `descriptor ${from}`, fn.dup2(from, to));
}

export const socketType = {stream: 1, datagram: 2, raw: 3, sequenced: 5, closeOnExec: 0o2000000, nonBlocking: 0o4000} as const;

/** A raw system call of up to three numbers. @returns its result, or a negative errno */
export function trySyscall(number: number, a = 0, b = 0, c = 0): number {
  return orErrno(fn.syscall(number, a, b, c));
}

const clockIds = {monotonic: 1, boottime: 7} as const;

/** clock_gettime(2), nanoseconds. @throws SystemCallError */
export function clockTime(clock: keyof typeof clockIds): bigint {
  const time = Buffer.alloc(16);
  check('read', `clock ${clock}`, fn.clockGettime(clockIds[clock], time));
  return time.readBigInt64LE(0) * 1_000_000_000n + time.readBigInt64LE(8);
}

/** Reaps one child without blocking. @returns undefined while it runs, else its wait status; null if it is not our child */
export function reap(pid: number): number | null | undefined {
  try {
    return waitStatus(pid, 1);
  } catch {
    return null;
  }
}

/** waitpid(2): the status of a child or of a process that is traced; undefined when it has none to tell. @throws SystemCallError */
export function waitStatus(pid: number, options: number): number | undefined {
  const status = [0];
  return check('wait for', `process ${pid}`, fn.waitpid(pid, status, options)) === 0 ? undefined : (status[0] ?? 0);
}

/** The address of a Buffer's memory; the caller keeps the Buffer alive as long as the kernel may use it. */
export function addressOf(data: Uint8Array): bigint {
  return koffi.address(data);
}
