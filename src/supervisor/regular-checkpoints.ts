/**
 * `checkpoint-every`: an app that is awake for long has a checkpoint made of it now and then, so that no more than that is lost with its worker. It
 * falls asleep for it and is woken at once: its clients are held meanwhile, as at any other sleep.
 */
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';

export interface RegularCheckpointsOptions {
  /** Null: never. */
  readonly everyMs: (app: AppName) => number | null;
  /** @throws CodedError; the app goes on running, or sleeps and is woken by the next client */
  readonly make: (app: AppName) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

export class RegularCheckpoints implements Disposable {
  readonly #options: RegularCheckpointsOptions;
  readonly #cancels = new Map<AppName, () => void>();

  constructor(options: RegularCheckpointsOptions) {
    this.#options = options;
  }

  /** To be told when an app has begun to run, or does not any more. */
  awakeChanged(app: AppName, isAwake: boolean): void {
    this.#cancels.get(app)?.();
    this.#cancels.delete(app);
    if (isAwake) this.#schedule(app);
  }

  #schedule(app: AppName): void {
    const {clock, everyMs, log, make} = this.#options;
    const ms = everyMs(app);
    if (ms === null) return;
    const cancel = clock.after(ms, () => {
      make(app).catch((error: unknown) => {
        log.warn({app, error: errorMessage(error)}, 'no checkpoint could be made of the app while it ran; that is tried again');
        // It goes on running, and nobody tells of that.
        if (this.#cancels.get(app) === cancel) this.#schedule(app);
      });
    });
    this.#cancels.set(app, cancel);
  }

  [Symbol.dispose](): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }
}
