/**
 * Lets Node's event loop wait for a descriptor that Node has no class for, such as one of epoll. It is libuv's own `uv_poll_t`
 * (docs.libuv.org, "uv_poll_t"), through the functions that Node exports for its addons; no thread stands between. Each thread has a loop of its own.
 */
import {isMainThread} from 'node:worker_threads';
import koffi from 'koffi';
import {libc, SystemCallError} from '../../core/libc.ts';

/** koffi knows a function's types only at run time: the prototype says them. */
type NativeFunction<Result> = (...values: readonly unknown[]) => Result;

const node = koffi.load(null);
const calloc: NativeFunction<unknown> = libc.func('void *calloc(size_t count, size_t size)');
const defaultLoop: NativeFunction<unknown> = node.func('void *uv_default_loop()');
/** `v8::Isolate::GetCurrent()` and `node::GetCurrentEventLoop(isolate)`, for a thread that is not the first. */
const currentIsolate: NativeFunction<unknown> = node.func('void *_ZN2v87Isolate10GetCurrentEv()');
const loopOf: NativeFunction<unknown> = node.func('void *_ZN4node19GetCurrentEventLoopEPN2v87IsolateE(void *isolate)');
const handleSize: NativeFunction<number> = node.func('size_t uv_handle_size(int type)');
const pollInit: NativeFunction<number> = node.func('int uv_poll_init(void *loop, void *handle, int fd)');
const pollStart: NativeFunction<number> = node.func('int uv_poll_start(void *handle, int events, void *callback)');
const pollStop: NativeFunction<number> = node.func('int uv_poll_stop(void *handle)');
const closeHandle: NativeFunction<void> = node.func('void uv_close(void *handle, void *callback)');

/** UV_POLL, UV_READABLE of uv.h. */
const pollHandle = 8;
const readable = 1;
/** What libuv calls with the handle when the descriptor is ready. It does nothing: that the loop woke is enough. */
const nothing: unknown = node.symbol('uv_handle_get_loop');

function check(call: string, fd: number, result: number): void {
  if (result < 0) throw new SystemCallError(call, -result, `descriptor ${fd} in the event loop`);
}

function ownLoop(): unknown {
  return isMainThread ? defaultLoop() : loopOf(currentIsolate());
}

/** Of the thread that makes it, for as long as that lives: the handle is libuv's, and is never freed. */
export class EventLoopWatch {
  readonly #fd: number;
  readonly #handle: unknown;
  readonly #onTurn: () => void;
  /** Null: it is not active. */
  #next: NodeJS.Immediate | null = null;

  /**
   * @param onTurn called once in each turn of the event loop while the watch is active, after the loop has waited; also in turns in which the
   *   descriptor is not ready
   * @throws SystemCallError
   */
  constructor(fd: number, onTurn: () => void) {
    this.#fd = fd;
    this.#onTurn = onTurn;
    this.#handle = calloc(1, handleSize(pollHandle));
    check('watch', fd, pollInit(ownLoop(), this.#handle, fd));
  }

  /** From now on the process is kept alive. @throws SystemCallError */
  start(): void {
    if (this.#next !== null) return;
    check('watch', this.#fd, pollStart(this.#handle, readable, nothing));
    this.#next = setImmediate(this.#turn).unref();
  }

  stop(): void {
    if (this.#next === null) return;
    clearImmediate(this.#next);
    this.#next = null;
    check('stop watching', this.#fd, pollStop(this.#handle));
  }

  /** For good. A thread whose loop still has the handle when it ends takes the process with it. */
  close(): void {
    this.stop();
    closeHandle(this.#handle, null);
  }

  /** An immediate that is unreferenced does not keep the loop from waiting, and runs when it has. */
  readonly #turn = (): void => {
    this.#next = setImmediate(this.#turn).unref();
    this.#onTurn();
  };
}
