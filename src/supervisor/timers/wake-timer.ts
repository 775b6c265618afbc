/** Wakes a sleeping app at its time: for a timer of its own, or by a schedule of the configuration. */

import {nextTime} from '../../config/schedule.ts';
import type {AppConfig} from '../../config/value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {Trigger} from '../../core/trigger.ts';

/** Nobody knows how far ahead a clock will be set, and timers of Node end after 24 days: it is looked again that often. */
const lookLimitMs = 30_000;
/** A wake that took longer was an exception. */
const leadLimitMs = 5000;
const retryMs = 60_000;

export type WakeTrigger = Extract<Trigger, {readonly kind: 'timer' | 'schedule'}>;

/** Times are milliseconds since 1970. */
export type NextWake = {
  readonly at: number;
  readonly trigger: WakeTrigger;
  /** As people read it: `timerfd 5 of process 1`, `wake-at 0 3 * * *`. */
  readonly what: string;
};

/** The timer of a sleeping app that is due first. */
export interface DueTimer {
  readonly at: number;
  readonly what: string;
}

export interface WakeFacts {
  /** The timer of the sleeping app that wakes it first. */
  readonly due: DueTimer | null;
  /** How long its last wake took: the next one is begun as much earlier. */
  readonly wakeMs: number;
}

export interface WakeTimerOptions {
  readonly config: Pick<AppConfig, 'wakeAt'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly wake: (trigger: WakeTrigger) => Promise<void>;
  readonly facts: () => WakeFacts;
}

export class WakeTimer {
  readonly #options: WakeTimerOptions;
  #next: NextWake | null = null;
  #cancel: (() => void) | undefined;
  /** What was woken for by a schedule is over, even when the wake began before its time. */
  #scheduledUpTo = 0;
  #stopped = false;

  constructor(options: WakeTimerOptions) {
    this.#options = options;
  }

  /** Null while the app is awake, and when nothing is due. */
  get next(): NextWake | null {
    return this.#next;
  }

  /** The app sleeps; what was due before does not count any more. */
  arm(): void {
    this.#armBeyond(null);
  }

  #armBeyond(done: NextWake | null): void {
    this.disarm();
    if (this.#stopped) return;
    this.#next = this.#earliest(done);
    this.#wait(0);
  }

  /** The app is awake. */
  disarm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#next = null;
  }

  /** For good. */
  stop(): void {
    this.#stopped = true;
    this.disarm();
  }

  #earliest(done: NextWake | null): NextWake | null {
    const {clock, config, facts} = this.#options;
    const {due} = facts();
    const after = Math.max(clock.nowMs(), this.#scheduledUpTo);
    const isDone = due !== null && due.at === done?.at && due.what === done.what;
    const found: NextWake[] = due === null || isDone ? [] : [{...due, trigger: {kind: 'timer'}}];
    for (const expression of config.wakeAt) {
      const at = nextTime(expression, after);
      if (at !== null) found.push({at, trigger: {kind: 'schedule', expression}, what: `wake-at ${expression}`});
    }
    return found.toSorted((a, b) => a.at - b.at)[0] ?? null;
  }

  /** @param pauseMs not sooner than that */
  #wait(pauseMs: number): void {
    const next = this.#next;
    if (next === null) return;
    const {clock, facts} = this.#options;
    const leftMs = Math.max(next.at - Math.min(facts().wakeMs, leadLimitMs) - clock.nowMs(), pauseMs);
    this.#cancel = clock.after(Math.max(1, Math.min(leftMs, lookLimitMs)), () => {
      if (leftMs > lookLimitMs) this.#wait(pauseMs - lookLimitMs);
      else void this.#wake(next);
    });
  }

  async #wake(next: NextWake): Promise<void> {
    if (next.trigger.kind === 'schedule') this.#scheduledUpTo = next.at;
    try {
      await this.#options.wake(next.trigger);
      // It was woken by another worker: what comes after this may be ours again.
      if (this.#next === next) this.#armBeyond(next);
    } catch (error) {
      this.#options.log.warn({error: errorMessage(error), due: next.what}, 'the app could not be woken in time; it is tried again');
      // Unless it has come to life all the same, and perhaps sleeps again.
      if (this.#next !== next) return;
      this.#cancel = undefined;
      this.#wait(retryMs);
    }
  }
}
