/**
 * `checkpoint-every`: an app that is awake for long has a checkpoint made of it now and then, so that no more than that is lost with its worker. It
 * falls asleep for it and is woken at once: its clients are held meanwhile, as at any other sleep. It may have work to do without clients, so it is
 * woken again and again where the first attempt fails.
 */
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {BackOff} from './back-off.ts';

const pauses = {firstMs: 1000, limitMs: 60_000} as const;

export interface RegularCheckpointsOptions {
  /** Null: never. */
  readonly everyMs: (app: AppName) => number | null;
  /** Puts the app to sleep. @throws CodedError; it goes on running then */
  readonly checkpoint: (app: AppName) => Promise<unknown>;
  /** Resolves when it runs, wherever. @throws CodedError */
  readonly wake: (app: AppName) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
}

export class RegularCheckpoints implements Disposable {
  readonly #options: RegularCheckpointsOptions;
  readonly #cancels = new Map<AppName, () => void>();
  #isOver = false;

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
    const {clock, everyMs} = this.#options;
    const ms = everyMs(app);
    if (ms === null) return;
    const cancel = clock.after(ms, () => void this.#make(app, cancel));
    this.#cancels.set(app, cancel);
  }

  /** @param cancel what planned it */
  async #make(app: AppName, cancel: () => void): Promise<void> {
    const {checkpoint, log} = this.#options;
    try {
      await checkpoint(app);
    } catch (error) {
      log.warn({app, error: errorMessage(error)}, 'no checkpoint could be made of the app while it ran; that is tried again');
      // It goes on running, and nobody tells of that.
      if (this.#cancels.get(app) === cancel) this.#schedule(app);
      return;
    }
    await this.#wake(app, new BackOff(pauses));
  }

  async #wake(app: AppName, backOff: BackOff): Promise<void> {
    const {clock, log, wake} = this.#options;
    try {
      await wake(app);
    } catch (error) {
      log.warn({app, error: errorMessage(error)}, 'the app sleeps for a checkpoint and cannot be woken; that is tried again');
      if (this.#isOver || this.#cancels.has(app)) return;
      backOff.failed();
      this.#cancels.set(
        app,
        clock.after(backOff.ms, () => {
          this.#cancels.delete(app);
          void this.#wake(app, backOff);
        }),
      );
    }
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }
}
