/** How long sessions are held by the edge while their apps wake. */
import type {Clock} from '../core/clock.ts';
import {Histogram, type HistogramCounts} from '../core/histogram.ts';
import type {AppName} from '../core/ids.ts';
import type {AppAccess} from '../edge/app-access.ts';
import {wakeBoundsSeconds} from './event-counts.ts';

export interface Holds {
  /** Sessions that are held now. */
  readonly held: number;
  /** In seconds; those that were refused in the end, or whose client has left, count too. */
  readonly times: HistogramCounts;
}

export class HoldTimes {
  readonly #clock: Clock;
  readonly #histogram = new Histogram(wakeBoundsSeconds);
  #held = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get counted(): Holds {
    return {held: this.#held, times: this.#histogram.counted};
  }

  /** The same access; sessions that find their app awake are not held. */
  measuring(access: AppAccess, isAwake: (app: AppName) => boolean): AppAccess {
    return {
      missed: (app) => access.missed(app),
      session: (app) => access.session(app),
      wake: (app, trigger, signal) => {
        const waking = access.wake(app, trigger, signal);
        if (isAwake(app)) return waking;
        const startedMs = this.#clock.monotonicMs();
        this.#held++;
        let isOver = false;
        const over = (): void => {
          if (isOver) return;
          isOver = true;
          signal.removeEventListener('abort', over);
          this.#held--;
          this.#histogram.add((this.#clock.monotonicMs() - startedMs) / 1000);
        };
        signal.addEventListener('abort', over);
        waking.then(over, over);
        return waking;
      },
    };
  }
}
