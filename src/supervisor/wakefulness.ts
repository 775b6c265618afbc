import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {BackOff} from './back-off.ts';
import {BusySessions} from './busy-sessions.ts';
import {type IdleVerdict, judgeIdle} from './idle.ts';
import type {Network} from './instance.ts';
import {unquiet} from './quiet.ts';

export interface WakefulnessOptions {
  readonly clock: Clock;
  readonly config: AppConfig;
  readonly network: Network;
}

/** What keeps an app awake: all that is known for the rule in idle.ts. */
export class Wakefulness {
  readonly #options: WakefulnessOptions;
  readonly busySessions = new BusySessions();
  readonly #backOff = new BackOff();
  #runningSinceMs = 0;
  /** After an attempt to sleep that did not succeed. */
  #pause = {untilMs: 0, reason: ''};

  constructor(options: WakefulnessOptions) {
    this.#options = options;
  }

  /** Whether the app could sleep now, or what keeps it awake. */
  async judge(): Promise<IdleVerdict> {
    const {clock, config, network} = this.#options;
    const lastTrafficMs = await network.lastTraffic();
    return judgeIdle({
      nowMs: clock.monotonicMs(),
      lastTrafficMs,
      runningSinceMs: this.#runningSinceMs,
      busySessions: this.busySessions.count,
      hibernateAfterMs: config.hibernateAfterMs,
      notBeforeMs: this.#pause.untilMs,
      notBeforeReason: this.#pause.reason,
    });
  }

  /** The app runs from this moment on (monotonic). */
  woke(atMs: number): void {
    this.#runningSinceMs = atMs;
  }

  /** It sleeps. */
  slept(): void {
    this.#backOff.succeeded();
  }

  /** It was not put to sleep: it was at work, or somebody needed it. */
  stayedAwake(cause: 'busy' | 'wanted'): void {
    if (cause === 'busy') this.#wait(unquiet);
    else this.#wait({pauseMs: this.#backOff.ms, reason: 'it was needed while it was being put to sleep'});
  }

  /** Its checkpoint failed. */
  failedToSleep(message: string): void {
    this.#backOff.failed();
    this.#wait({pauseMs: this.#backOff.ms, reason: `its checkpoint failed: ${message}`});
  }

  #wait({pauseMs, reason}: {readonly pauseMs: number; readonly reason: string}): void {
    this.#pause = {untilMs: this.#options.clock.monotonicMs() + pauseMs, reason};
  }
}
