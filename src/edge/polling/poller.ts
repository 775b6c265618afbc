/**
 * Tells the sockets that we read and write ourselves when they can be. Node's own sockets cost several times as much for each datagram,
 * connection and read (docs/performance.md); these share one epoll descriptor, which Node's event loop waits for.
 */
import {holdTime, releaseTime} from '../../core/clock.ts';
import {close} from '../../core/libc.ts';
import {Epoll} from './epoll.ts';
import {EventLoopWatch} from './event-loop.ts';

export interface PolledDescriptor {
  readonly fd: number;
  /** Deals with what can be done now, or a bounded part of it: what is left is told again. @param events of `ready` in epoll.ts */
  onReady(events: number): void;
}

/** What is sent together at the end of a turn, if it does not become full before. */
export interface OutgoingBatch {
  flush(): void;
}

/** Other work of the process waits for no longer than this. */
const maxTurnMs = 2;
const eventsPerTurn = 256;

export class Poller {
  readonly #epoll = new Epoll(eventsPerTurn);
  readonly #watch = new EventLoopWatch(this.#epoll.fd, () => this.#turn());
  readonly #descriptors: (PolledDescriptor | undefined)[] = [];
  /** Of those who have the descriptor now: what was found before may be about who had its number before. */
  readonly #tags: number[] = [];
  #lastTag = 0;
  #size = 0;
  #foundCount = 0;
  #foundAt = 0;
  #batch: OutgoingBatch | null = null;

  /** @param events of `ready` that it is told of, besides errors. @param fd what `descriptor.fd` is going to be. @throws SystemCallError */
  add(descriptor: PolledDescriptor, events: number, fd = descriptor.fd): void {
    this.#lastTag = (this.#lastTag + 1) >>> 0;
    this.#epoll.add(fd, events, this.#lastTag);
    this.#descriptors[fd] = descriptor;
    this.#tags[fd] = this.#lastTag;
    if (++this.#size === 1) this.#watch.start();
  }

  /** @throws SystemCallError */
  change({fd}: PolledDescriptor, events: number): void {
    this.#epoll.change(fd, events, this.#tags[fd] ?? 0);
  }

  /** It stays open. */
  remove(descriptor: PolledDescriptor): void {
    this.#epoll.remove(descriptor.fd);
    this.#forget(descriptor);
  }

  close(descriptor: PolledDescriptor): void {
    this.#forget(descriptor);
    close(descriptor.fd);
  }

  /** What the batches share is this one's until another one or the end of the turn flushes it. */
  lendTo(batch: OutgoingBatch): void {
    if (this.#batch === batch) return;
    this.#batch?.flush();
    this.#batch = batch;
  }

  flush(): void {
    this.#batch?.flush();
    this.#batch = null;
  }

  /** For good; nobody is told of anything any more. */
  end(): void {
    this.#watch.close();
    close(this.#epoll.fd);
  }

  #forget({fd}: PolledDescriptor): void {
    this.#descriptors[fd] = undefined;
    if (--this.#size === 0) this.#watch.stop();
  }

  #turn(): void {
    const epoll = this.#epoll;
    if (this.#foundAt >= this.#foundCount) {
      this.#foundAt = 0;
      this.#foundCount = epoll.wait(0);
    }
    if (this.#foundCount <= 0) return;
    const endMs = holdTime() + maxTurnMs;
    try {
      do {
        const at = this.#foundAt++;
        const fd = epoll.fdAt(at);
        if (this.#tags[fd] === epoll.tagAt(at)) this.#descriptors[fd]?.onReady(epoll.eventsAt(at));
      } while (this.#foundAt < this.#foundCount && holdTime() < endMs);
      this.flush();
    } finally {
      releaseTime();
    }
  }
}

let shared: Poller | null = null;

/** That of the thread. @throws SystemCallError when the system has no epoll */
export function processPoller(): Poller {
  shared ??= new Poller();
  return shared;
}

/** The thread is about to end. */
export function endPoller(): void {
  shared?.end();
  shared = null;
}
