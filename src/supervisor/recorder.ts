import type {Clock} from '../core/clock.ts';
import {errorCode, errorMessage} from '../core/errors.ts';
import type {FencingToken} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppStatus, Records} from './app-status.ts';

const retryMs = 1000;

/** Keeps an app's record up to date. That Redis is gone is no reason not to go on: it learns of the app's state later. */
export class Recorder {
  readonly #options: {readonly records: Records; readonly clock: Clock; readonly log: Log; readonly status: () => AppStatus};
  #stopped = false;

  constructor(options: {readonly records: Records; readonly clock: Clock; readonly log: Log; readonly status: () => AppStatus}) {
    this.#options = options;
  }

  /** Writes what the app does now, and gives up the lease when no instance has it. Never throws. */
  async record(token: FencingToken): Promise<void> {
    const {clock, log, records, status} = this.#options;
    try {
      const now = status();
      // Of an app that another worker has had this one knows less than Redis.
      if (!records.isStale()) await records.save(token, now);
      if (now.token === null) await records.release(token);
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'the state of the app could not be recorded');
      // A newer token makes Redis refuse this one, and then it has been told more.
      if (errorCode(error) === 'ERR_REDIS_UNAVAILABLE' && !this.#stopped) clock.after(retryMs, () => void this.record(token));
    }
  }

  /** Corrects a record that says what a gateway that was killed did last. */
  async correct(recorded: string): Promise<void> {
    const {records, status} = this.#options;
    if (recorded !== status().state) await this.record(await records.acquire());
  }

  /** No attempt is repeated from now on. */
  stop(): void {
    this.#stopped = true;
  }
}
