/**
 * Reads many sockets of datagrams with few system calls. While datagrams come, the main thread asks the kernel in every turn of the event
 * loop; node:dgram would spend several times as much on each of them. Once it has found nothing for a moment, a thread waits in its place
 * and wakes it, so that an idle gateway does nothing.
 */
import {once} from 'node:events';
import {Worker} from 'node:worker_threads';
import {assert} from '../../core/errors.ts';
import {close, eventfd, tryWrite} from '../../core/libc.ts';
import {openEpoll, ReadyDescriptors, watchReadable} from './datagram-calls.ts';
import {type DatagramSlots, openSlots} from './datagram-slots.ts';
import {type PollerThreadData, pollerState} from './poller-thread-data.ts';

export interface PolledSocket {
  readonly fd: number;
  /** Takes what is there, or a bounded part of it: what is left is told again. */
  onReadable(): void;
}

/** What is sent together at the end of a turn, if it does not become full before. */
export interface OutgoingBatch {
  flush(): void;
}

/** Other work of the process waits for no longer than this. */
const maxTurnMs = 2;
/** So long the main thread asks in vain: an answer often comes sooner than a thread wakes another. */
const patienceMs = 0.05;
const eventsPerWait = 256;

/** Plain JavaScript has no type annotations left, and another name. */
const threadUrl = new URL(import.meta.url.endsWith('.ts') ? './poller-thread.ts' : './poller-thread.js', import.meta.url);
const threadLimits = {maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1, stackSizeMb: 1} as const;

export class Poller {
  /** Memory for datagrams, shared by all sockets: it holds something during a turn only. */
  readonly incoming: DatagramSlots = openSlots();
  readonly outgoing: DatagramSlots = openSlots();
  readonly #epoll: number;
  readonly #state: Int32Array;
  readonly #ready = new ReadyDescriptors(eventsPerWait);
  readonly #sockets: (PolledSocket | undefined)[] = [];
  #readyCount = 0;
  #readyAt = 0;
  #batch: OutgoingBatch | null = null;
  #lastFoundMs = 0;

  constructor(epoll: number, state: Int32Array) {
    this.#epoll = epoll;
    this.#state = state;
  }

  /** @throws SystemCallError */
  add(socket: PolledSocket): void {
    watchReadable(this.#epoll, socket.fd);
    this.#sockets[socket.fd] = socket;
  }

  /** Closes the socket. */
  close(socket: PolledSocket): void {
    this.#sockets[socket.fd] = undefined;
    close(socket.fd);
  }

  /** The outgoing memory is this batch's until another one or the end of the turn flushes it. */
  lendOutgoing(batch: OutgoingBatch): void {
    if (this.#batch === batch) return;
    this.#batch?.flush();
    this.#batch = batch;
  }

  flush(): void {
    this.#batch?.flush();
    this.#batch = null;
  }

  readonly turn = (): void => {
    if (Atomics.load(this.#state, 0) !== pollerState.polling) return;
    const found = this.#poll();
    const nowMs = performance.now();
    if (found) this.#lastFoundMs = nowMs;
    if (nowMs - this.#lastFoundMs < patienceMs) {
      setImmediate(this.turn);
      return;
    }
    Atomics.store(this.#state, 0, pollerState.waiting);
    Atomics.notify(this.#state, 0);
  };

  /** @returns whether any socket was ready */
  #poll(): boolean {
    if (this.#readyAt >= this.#readyCount) {
      this.#readyAt = 0;
      this.#readyCount = this.#ready.wait(this.#epoll, 0);
      if (this.#readyCount <= 0) return false;
    }
    const endMs = performance.now() + maxTurnMs;
    do {
      // A socket that was closed meanwhile is not there, and one that got its descriptor finds nothing.
      this.#sockets[this.#ready.at(this.#readyAt++)]?.onReadable();
    } while (this.#readyAt < this.#readyCount && performance.now() < endMs);
    this.flush();
    return true;
  }
}

/** @throws SystemCallError when the system lacks what is needed */
async function openPoller(): Promise<{readonly poller: Poller} & AsyncDisposable> {
  await using scope = new AsyncDisposableStack();
  const epoll = openEpoll();
  scope.defer(() => close(epoll));
  const closeOnExec = 0o2000000;
  const wakeUp = eventfd(closeOnExec);
  scope.defer(() => close(wakeUp));
  watchReadable(epoll, wakeUp);
  const shared = new SharedArrayBuffer(4);
  const state = new Int32Array(shared);
  const workerData: PollerThreadData = {epoll, state: shared};
  const thread = new Worker(threadUrl, {workerData, env: {}, stdin: false, execArgv: [], resourceLimits: threadLimits});
  const exited = once(thread, 'exit');
  const one = Buffer.alloc(8);
  one.writeBigUInt64LE(1n);
  const stop = (): void => {
    Atomics.store(state, 0, pollerState.ended);
    Atomics.notify(state, 0);
    tryWrite(wakeUp, one);
  };
  // Node waits for its threads when it exits, and this one waits in a system call.
  process.once('exit', stop);
  scope.defer(async () => {
    process.off('exit', stop);
    stop();
    await exited;
  });
  await once(thread, 'online');
  // Without this thread no datagram is read: an error of it ends the process.
  thread.on('error', (error) => {
    throw error;
  });
  const poller = new Poller(epoll, state);
  thread.on('message', poller.turn);
  poller.turn();
  const owned = scope.move();
  return {poller, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

export interface TakenPoller extends AsyncDisposable {
  readonly poller: Poller;
}

let opened: ReturnType<typeof openPoller> | null = null;
let users = 0;

/**
 * The poller of this process, for all frontends: a thread costs memory. It ends with the last who gives it back, and keeps the process
 * alive until then, as sockets do.
 * @throws SystemCallError when the system lacks what is needed
 */
export async function takePoller(): Promise<TakenPoller> {
  users++;
  opened ??= openPoller();
  const mine = opened;
  let used = true;
  const giveBack = async (): Promise<void> => {
    if (!used) return;
    used = false;
    users--;
    assert(users >= 0, 'The poller is given back more often than taken');
    if (users > 0) return;
    opened = null;
    await (await mine)[Symbol.asyncDispose]();
  };
  try {
    return {poller: (await mine).poller, [Symbol.asyncDispose]: giveBack};
  } catch (error) {
    users--;
    if (opened === mine) opened = null;
    throw error;
  }
}
