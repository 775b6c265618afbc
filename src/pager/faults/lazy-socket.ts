/**
 * The server's side of CRIU's `lazy-pages.socket`, without blocking: the fault loop polls its descriptors.
 *
 * One connection per restore. For each process 4 bytes with its pid inside of the container, negative for a zombie; then, not for a zombie,
 * one byte that carries the userfaultfd; at the end 4 bytes `finished`, sent when all tasks are caught and before they run.
 *
 * CRIU closes its own descriptors, so what it sent must survive us from the first moment: the sockets themselves are kept by somebody who
 * outlives us (`keep`), and a descriptor is taken out of the queue only when it was handed over.
 */
import {closeSync, constants, openSync, rmSync} from 'node:fs';
import {constants as osConstants} from 'node:os';
import {join} from 'node:path';
import koffi from 'koffi';
import {CodedError} from '../../core/errors.ts';
import {close, libc, SystemCallError, socket, socketType, tryReceiveDescriptors} from '../../core/libc.ts';

const bind = libc.func('int bind(int fd, const void *address, unsigned int length)');
const listen = libc.func('int listen(int fd, int backlog)');
const accept4 = libc.func('int accept4(int fd, void *address, void *length, int flags)');
const {EAGAIN, EINTR, ECONNABORTED} = osConstants.errno;
const unixFamily = 1;
const finished = 0x52535446;
const messagePeek = 2;
const messageDontWait = 0x40;

export type LazyMessage =
  | {readonly kind: 'process'; readonly vpid: number /** The receiver owns it. */; readonly fd: number}
  | {readonly kind: 'finished'}
  /** CRIU closed the connection before it had finished. */
  | {readonly kind: 'aborted'};

/** The name of the socket in CRIU's work directory. */
export const lazySocketName = 'lazy-pages.socket';

function listenOn(directory: string): number {
  rmSync(join(directory, lazySocketName), {force: true});
  const fd = socket(unixFamily, socketType.stream | socketType.closeOnExec | socketType.nonBlocking, 0);
  // Through the descriptor of the directory, because the path of a socket may have 107 bytes only.
  const directoryFd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const path = `/proc/self/fd/${directoryFd}/${lazySocketName}`;
    const address = Buffer.alloc(2 + path.length + 1);
    address.writeUInt16LE(unixFamily, 0);
    address.write(path, 2);
    if (bind(fd, address, address.length) < 0 || listen(fd, 4) < 0) throw new SystemCallError('listen on', koffi.errno(), `"${directory}/${lazySocketName}"`);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  } finally {
    closeSync(directoryFd);
  }
}

export class LazySocket implements Disposable {
  readonly #path: string;
  readonly #keep: (socket: number) => void;
  #listener: number | undefined;
  #connection: number | undefined;
  readonly #pid = Buffer.alloc(4);
  #pidBytes = 0;
  /** The pid whose descriptor comes next. */
  #expected: number | undefined;

  /**
   * Listens at once.
   * @param keep gives a duplicate of a socket to somebody who outlives us
   * @throws SystemCallError, the error of opening the directory, or what `keep` throws
   */
  constructor(directory: string, keep: (socket: number) => void) {
    this.#path = join(directory, lazySocketName);
    this.#keep = keep;
    this.#listener = listenOn(directory);
    keep(this.#listener);
  }

  /** What to poll for input now; undefined after the end. */
  get fd(): number | undefined {
    return this.#connection ?? this.#listener;
  }

  /** Reads what is there. @throws CodedError ERR_LAZY_PROTOCOL, or what `handle` throws */
  receive(handle: (message: LazyMessage) => void): void {
    if (this.#connection === undefined) this.#accept();
    while (this.#connection !== undefined) {
      const state = this.#next(this.#connection, handle);
      if (state === 'empty') return;
      if (state === 'taken') continue;
      this[Symbol.dispose]();
      handle({kind: state});
    }
  }

  #accept(): void {
    if (this.#listener === undefined) return;
    const fd = Number(accept4(this.#listener, null, null, socketType.closeOnExec | socketType.nonBlocking));
    if (fd < 0) {
      const errno = koffi.errno();
      if (errno === EAGAIN || errno === EINTR || errno === ECONNABORTED) return;
      throw new SystemCallError('accept on', errno, `"${this.#path}"`);
    }
    this.#keep(fd);
    this.#connection = fd;
    // One restore, one connection: a second one would not be ours.
    close(this.#listener);
    this.#listener = undefined;
  }

  #next(connection: number, handle: (message: LazyMessage) => void): 'empty' | 'taken' | 'finished' | 'aborted' {
    if (this.#expected !== undefined) return this.#takeDescriptor(connection, this.#expected, handle);
    if (this.#pidBytes === 0 && saysFinished(connection)) return 'finished';
    const part = tryReceiveDescriptors(connection, this.#pid.subarray(this.#pidBytes), 1);
    for (const stray of part.descriptors) close(stray);
    if (part.received <= 0) return ended(part.received);
    this.#pidBytes += part.received;
    if (this.#pidBytes < this.#pid.length) return 'taken';
    this.#pidBytes = 0;
    const pid = this.#pid.readInt32LE();
    if (pid === finished) return 'finished';
    // A zombie has no memory.
    if (pid >= 0) this.#expected = pid;
    return 'taken';
  }

  #takeDescriptor(connection: number, vpid: number, handle: (message: LazyMessage) => void): 'empty' | 'taken' | 'aborted' {
    const {received, descriptors} = tryReceiveDescriptors(connection, Buffer.alloc(1), 1, messagePeek);
    if (received <= 0) return ended(received);
    const [fd] = descriptors;
    if (fd === undefined) {
      throw new CodedError('ERR_LAZY_PROTOCOL', `Cannot serve a lazy restore: no descriptor came for process ${vpid}`, {source: 'host'});
    }
    handle({kind: 'process', vpid, fd});
    this.#expected = undefined;
    for (const taken of tryReceiveDescriptors(connection, Buffer.alloc(1), 1).descriptors) close(taken);
    return 'taken';
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#listener, this.#connection]) if (fd !== undefined) close(fd);
    if (this.#listener !== undefined || this.#connection !== undefined) rmSync(this.#path, {force: true});
    this.#listener = undefined;
    this.#connection = undefined;
  }
}

/**
 * Whether all that is left in a connection is the word that every process was handed over. The word is never taken out: a pager that is killed
 * before it has written that down finds it again in the socket that was kept.
 */
export function saysFinished(connection: number): boolean {
  const word = Buffer.alloc(4);
  const {received, descriptors} = tryReceiveDescriptors(connection, word, 1, messagePeek | messageDontWait);
  for (const fd of descriptors) close(fd);
  return received === word.length && word.readUInt32LE() === finished;
}

function ended(received: number): 'empty' | 'aborted' {
  return received === -EAGAIN || received === -EINTR ? 'empty' : 'aborted';
}
