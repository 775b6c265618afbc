/**
 * Apps that sleep on other workers, and are to wake up for a timer of their own: each worker wakes those that it has had last. One that is gone, or
 * was stopped, does not, so all others look at the time whether it does.
 */
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {Trigger} from '../../core/trigger.ts';
import type {AppRecord} from '../../store/app-record.ts';
import {parseDetails} from '../records.ts';

/** What an app is due for is recorded after it has been said that it sleeps. */
const recordedMs = 1000;
/** Timers of Node end after 24 days, and clocks are set. */
const lookLimitMs = 30_000;
const pollMs = 250;
const retryMs = 60_000;

export interface OrphanedTimersOptions {
  readonly readApp: (name: AppName) => Promise<AppRecord | null>;
  /** @throws CodedError */
  readonly isAlive: (worker: string) => Promise<boolean>;
  /** Wakes an app, wherever. @throws CodedError */
  readonly reach: (name: AppName, trigger: Trigger) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
}

export class OrphanedTimers implements Disposable {
  readonly #options: OrphanedTimersOptions;
  readonly #cancel = new Map<AppName, () => void>();

  constructor(options: OrphanedTimersOptions) {
    this.#options = options;
  }

  /** It may sleep, with another time to wake up than before. */
  watch(name: AppName): void {
    this.#after(name, recordedMs);
  }

  [Symbol.dispose](): void {
    for (const cancel of this.#cancel.values()) cancel();
    this.#cancel.clear();
  }

  #after(name: AppName, ms: number): void {
    this.#cancel.get(name)?.();
    const cancel = this.#options.clock.after(Math.min(ms, lookLimitMs), () => {
      this.#look(name).catch((error: unknown) => {
        this.#options.log.warn({app: name, error: errorMessage(error)}, 'the app may be due to wake up, and cannot be woken; it is tried again');
        if (this.#cancel.get(name) === cancel) this.#after(name, retryMs);
      });
    });
    this.#cancel.set(name, cancel);
  }

  async #look(name: AppName): Promise<void> {
    const {readApp, isAlive, reach, clock} = this.#options;
    const record = await readApp(name);
    const {due, home} = parseDetails(record?.details ?? null);
    if (record?.state !== 'hibernated' || due === null || home === null) return;
    const leftMs = due - clock.nowMs();
    if (leftMs > 0) this.#after(name, leftMs);
    else if (await isAlive(home)) this.#after(name, pollMs);
    else await reach(name, {kind: 'timer'});
  }
}
