/** epoll(7). As in core/libc.ts the `try...` forms return a negative errno. */
import koffi from 'koffi';
import {libc, SystemCallError} from '../../core/libc.ts';

/** koffi knows a function's types only at run time: the prototype says them. Every result here is a number. */
type NativeFunction = (...values: readonly unknown[]) => number;

const epollCreate1: NativeFunction = libc.func('int epoll_create1(int flags)');
const epollCtl: NativeFunction = libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const epollWait: NativeFunction = libc.func('int epoll_wait(int epoll, void *events, int count, int timeout)');

export const ready = {
  input: 1,
  output: 4,
  /** Told without having been asked for. */
  error: 8,
  /** Both directions are closed. Told without having been asked for. */
  hangUp: 16,
} as const;

const operation = {add: 1, remove: 2, change: 3} as const;
const closeOnExec = 0o2000000;

/** `struct epoll_event` is packed on this one only. */
const eventForm = process.arch === 'x64' ? {words: 3, dataWord: 1} : {words: 4, dataWord: 2};

function check(call: string, what: string, result: number): void {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), what);
}

/** An epoll descriptor, and what it was last found to have. It tells of level, not of edge: what is not dealt with is told again. */
export class Epoll {
  readonly fd: number;
  readonly #found: Buffer;
  readonly #words: Uint32Array;
  readonly #capacity: number;
  readonly #event = new Uint32Array(eventForm.words);

  /** @param capacity of one `wait()`. @throws SystemCallError */
  constructor(capacity: number) {
    this.fd = epollCreate1(closeOnExec);
    check('create', 'an epoll descriptor', this.fd);
    this.#capacity = capacity;
    this.#found = Buffer.alloc(capacity * eventForm.words * 4);
    this.#words = new Uint32Array(this.#found.buffer, this.#found.byteOffset, capacity * eventForm.words);
  }

  /** Closing the descriptor takes it out again. @param tag 32 bits that come with what is found. @throws SystemCallError */
  add(fd: number, events: number, tag: number): void {
    this.#control(operation.add, fd, events, tag);
  }

  /** @throws SystemCallError */
  change(fd: number, events: number, tag: number): void {
    this.#control(operation.change, fd, events, tag);
  }

  /** @throws SystemCallError */
  remove(fd: number): void {
    this.#control(operation.remove, fd, 0, 0);
  }

  /** @param timeoutMs 0: does not wait. @returns how many descriptors are ready, at most the capacity, or a negative errno */
  wait(timeoutMs: number): number {
    const count = epollWait(this.fd, this.#found, this.#capacity, timeoutMs);
    return count < 0 ? -koffi.errno() : count;
  }

  eventsAt(index: number): number {
    return this.#words[index * eventForm.words] ?? 0;
  }

  fdAt(index: number): number {
    return this.#words[index * eventForm.words + eventForm.dataWord] ?? -1;
  }

  tagAt(index: number): number {
    return this.#words[index * eventForm.words + eventForm.dataWord + 1] ?? 0;
  }

  #control(call: number, fd: number, events: number, tag: number): void {
    this.#event[0] = events;
    this.#event[eventForm.dataWord] = fd;
    this.#event[eventForm.dataWord + 1] = tag;
    check('watch', `descriptor ${fd}`, epollCtl(this.fd, call, fd, this.#event));
  }
}
