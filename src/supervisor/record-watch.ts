/**
 * Redis may forget: a failover loses what its replica had not got, a FLUSHALL everything. A running app finds out when its lease is extended;
 * the records of those that sleep are compared here: all when the connection was lost, one after the other otherwise, and all when one is gone.
 */
import type {Clock} from '../core/clock.ts';
import {errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';

const periodMs = 5000;
const retryMs = 500;

export interface RecordWatchOptions {
  /** Redis is back, and may have lost its last writes. */
  readonly onRedisBack: (callback: () => void) => Disposable;
  readonly clock: Clock;
  readonly log: Log;
}

export class RecordWatch implements Disposable {
  readonly #options: RecordWatchOptions;
  /** By app: tells Redis of it if need be, and returns whether that was so. */
  readonly #restate = new Map<string, () => Promise<boolean>>();
  #listening: Disposable | undefined;
  #cancel: (() => void) | undefined;
  #passing: Promise<void> | undefined;
  #isPassWanted = false;
  #next = 0;
  #stopped = false;

  constructor(options: RecordWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#listening = this.#options.onRedisBack(() => this.#compareAll());
    this.#cancel = this.#schedule();
  }

  add(app: string, restate: () => Promise<boolean>): void {
    this.#restate.set(app, restate);
  }

  remove(app: string): void {
    this.#restate.delete(app);
  }

  #schedule(): () => void {
    return this.#options.clock.after(periodMs, () => void this.#compareNext());
  }

  async #compareNext(): Promise<void> {
    const apps = [...this.#restate.values()];
    this.#next = (this.#next + 1) % Math.max(1, apps.length);
    try {
      if (await apps[this.#next]?.()) this.#compareAll();
    } catch (error) {
      this.#options.log.debug({error: errorMessage(error)}, 'a record could not be compared');
    }
    if (!this.#stopped) this.#cancel = this.#schedule();
  }

  /** One pass at a time; who asks during one gets another. */
  #compareAll(): void {
    this.#isPassWanted = true;
    this.#passing ??= this.#pass().finally(() => {
      this.#passing = undefined;
    });
  }

  async #pass(): Promise<void> {
    while (this.#isPassWanted) {
      this.#isPassWanted = false;
      for (const app of [...this.#restate.keys()]) await this.#compare(app);
    }
  }

  /** For as long as Redis cannot be reached: a slot of a cluster may be away for longer than the others. */
  async #compare(app: string): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#restate.get(app)?.();
        return;
      } catch (error) {
        if (errorCode(error) !== 'ERR_REDIS_UNAVAILABLE') return this.#options.log.error({app, error: errorMessage(error)}, 'the record could not be compared');
        await new Promise<void>((resolve) => void this.#options.clock.after(retryMs, resolve));
      }
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#listening?.[Symbol.dispose]();
    this.#restate.clear();
  }
}
