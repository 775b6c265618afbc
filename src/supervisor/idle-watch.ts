import type {Clock} from '../core/clock.ts';
import type {IdleVerdict} from './idle.ts';

/** Longest time between two looks at an app's traffic. */
const checkLimitMs = 1000;

export interface IdleWatchOptions {
  readonly clock: Clock;
  readonly judge: () => Promise<IdleVerdict>;
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
  #isWatching = false;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.stop();
    this.#isWatching = true;
    this.#schedule(0);
  }

  /** What is known has changed: looks again, if it watches. */
  lookAgain(): void {
    if (this.#isWatching) this.start();
  }

  stop(): void {
    this.#round += 1;
    this.#isWatching = false;
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
    const verdict = await this.#options.judge();
    if (round !== this.#round) return;
    if (verdict.kind === 'sleep') await this.#options.sleep();
    else if (Number.isFinite(verdict.ms)) this.#schedule(verdict.ms);
  }
}
