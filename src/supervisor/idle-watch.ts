import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {type IdleFacts, type IdleVerdict, judgeIdle} from './idle.ts';
import type {Network} from './instance.ts';

/** Longest time between two looks at an app's traffic. */
const checkLimitMs = 1000;

export interface IdleWatchOptions {
  readonly clock: Clock;
  readonly config: AppConfig;
  readonly network: Network;
  readonly facts: () => Pick<IdleFacts, 'runningSinceMs' | 'busySessions' | 'notBeforeMs' | 'notBeforeReason'>;
  /** Puts the app to sleep; starts this watch again if that was cancelled or failed. */
  readonly sleep: () => Promise<unknown>;
  readonly onError: (error: unknown) => void;
}

/** Looks at a running app again and again, as soon as it could be idle, and puts it to sleep when it is. */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  /** Grows with every start and stop, so that a look that was under way meanwhile counts for nothing. */
  #round = 0;
  #cancel: (() => void) | undefined;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  /** Whether the app could sleep now, or what keeps it awake. */
  async judge(): Promise<IdleVerdict> {
    const {clock, config, facts, network} = this.#options;
    const lastTrafficMs = await network.lastTraffic();
    return judgeIdle({...facts(), nowMs: clock.monotonicMs(), lastTrafficMs, hibernateAfterMs: config.hibernateAfterMs});
  }

  start(): void {
    this.stop();
    this.#schedule(0);
  }

  stop(): void {
    this.#round += 1;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #schedule(ms: number): void {
    const round = this.#round;
    this.#cancel = this.#options.clock.after(Math.max(1, Math.min(ms, checkLimitMs)), () => {
      this.#look(round).catch((error: unknown) => {
        this.#options.onError(error);
        if (round === this.#round) this.#schedule(checkLimitMs);
      });
    });
  }

  async #look(round: number): Promise<void> {
    const verdict = await this.judge();
    if (round !== this.#round) return;
    if (verdict.kind === 'sleep') await this.#options.sleep();
    else if (Number.isFinite(verdict.ms)) this.#schedule(verdict.ms);
  }
}
