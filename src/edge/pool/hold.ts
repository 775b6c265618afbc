/** A session that is held: for a free place, or for a wake. Its wait is bounded in time, and so is the number of those that wait. */
import type {Clock} from '../../core/clock.ts';
import type {CodedError} from '../../core/errors.ts';
import type {FairQueue, Waiter} from './fair-queue.ts';

/** @typeParam S the session, @typeParam T what it waits for */
export class HeldSession<S extends Waiter, T> implements Waiter {
  readonly session: S;
  readonly source: string;
  readonly sinceMs: number;
  /** Where it waits; others may move it. */
  queue: FairQueue<HeldSession<S, T>>;
  readonly ended: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;

  constructor(session: S, queue: FairQueue<HeldSession<S, T>>, sinceMs: number) {
    const {promise, resolve, reject} = Promise.withResolvers<T>();
    this.session = session;
    this.source = session.source;
    this.queue = queue;
    this.sinceMs = sinceMs;
    this.ended = promise;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** All that wait, whatever they wait for. */
export type WaitingRoom = FairQueue<Waiter & {reject(error: Error): void}>;

export interface HoldLimits {
  readonly room: WaitingRoom;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** The session is given up when it is aborted, and rejected with its reason. */
  readonly signal: AbortSignal;
  readonly timedOut: () => CodedError;
  readonly full: () => CodedError;
  /** Called once the session has its place. */
  readonly begin: () => void;
}

/** Longer timers do not exist in Node. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Settles as `held` is settled by others, or by what ends its wait first; then it is in no queue.
 * @throws what `full` makes when there is no place, or when another source needs this one's place more
 */
export async function hold<S extends Waiter, T>(held: HeldSession<S, T>, limits: HoldLimits): Promise<T> {
  const {room, clock, signal} = limits;
  signal.throwIfAborted();
  const leave = (): void => held.reject(asError(signal.reason));
  const cancel = clock.after(Math.min(limits.timeoutMs, maxTimerMs), () => held.reject(limits.timedOut()));
  signal.addEventListener('abort', leave);
  try {
    enter(held.queue, held, limits.full);
    enter(room, held, limits.full);
    limits.begin();
    return await held.ended;
  } finally {
    cancel();
    signal.removeEventListener('abort', leave);
    held.queue.leave(held);
    room.leave(held);
  }
}

function enter<W extends Waiter & {reject(error: Error): void}>(queue: FairQueue<W>, held: W, full: () => CodedError): void {
  const displaced = queue.enter(held);
  if (displaced === 'full') throw full();
  displaced?.reject(full());
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** @throws the reason of `signal` */
export function pause(delayMs: number, {clock, signal}: {readonly clock: Clock; readonly signal: AbortSignal}): Promise<void> {
  if (delayMs <= 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      cancel();
      reject(asError(signal.reason));
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener('abort', leave);
      resolve();
    });
    signal.addEventListener('abort', leave, {once: true});
  });
}
