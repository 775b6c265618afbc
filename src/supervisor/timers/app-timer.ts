/** What an app has to wait for, in times that mean the same while it sleeps and after: milliseconds since 1970. */
import type {DueTimer} from './wake-timer.ts';

export interface AppTimer {
  readonly at: number;
  /** 0: once. */
  readonly everyMs: number;
  /** As people read it: `timerfd 5 of process 1`. Processes and threads as the app numbers them. */
  readonly what: string;
  readonly process: number;
  readonly place: TimerPlace;
}

/** How a restored app is told that it slept: CRIU gives it the time that was left when it fell asleep. */
export type TimerPlace =
  /** @property clock CLOCK_*. @property flags of timerfd_settime(2), as they were given */
  | {readonly kind: 'timerfd'; readonly descriptor: number; readonly clock: number; readonly flags: number}
  | {readonly kind: 'interval'}
  | {readonly kind: 'posix'; readonly id: number}
  /** What is left stands in the app's memory, and its system call begins again with that. */
  | {readonly kind: 'memory'; readonly address: number; readonly unit: 'timespec' | 'timeval'; readonly seconds: number; readonly fraction: number}
  /** No timer: a thread was at work, so that it is due at once. */
  | {readonly kind: 'work'}
  /** Nothing is to be done: its system call ends, or waits for a time of a clock that went on. */
  | {readonly kind: 'call'};

/** The timers of a generation. */
export interface SavedTimers {
  /** When the app fell asleep, to the millisecond. */
  readonly at: number;
  /** CRIU's image of its clocks, as they were then; null where the kernel has no time namespaces. */
  readonly clocks: string | null;
  readonly timers: readonly AppTimer[];
}

/**
 * The first that counts, null when none does. Work counts always. A timer that comes again and again counts from its first time beyond the shortest.
 * @param minMs timers that are due sooner after the app fell asleep, or as often, do not count
 */
export function firstDue({at: sleptAt, timers}: Pick<SavedTimers, 'at' | 'timers'>, minMs: number): DueTimer | null {
  const due = timers.flatMap(({at, everyMs, what, place}) => {
    if (place.kind === 'work') return [{at, what}];
    if (at - sleptAt >= minMs) return everyMs === 0 || everyMs >= minMs ? [{at, what}] : [];
    return everyMs === 0 || everyMs < minMs ? [] : [{at: at + Math.ceil((sleptAt + minMs - at) / everyMs) * everyMs, what}];
  });
  return due.toSorted((a, b) => a.at - b.at)[0] ?? null;
}
