/**
 * Meters what apps use. One timer looks at the memory of all apps that are awake, and none runs while all sleep; what they used in between is taken as
 * the mean of two looks. Redis is told every some seconds and when an app falls asleep. While it cannot be reached the sums are kept here, and a batch
 * of which nobody knows whether it arrived is sent again under the same name, so that it counts once.
 */
import {randomBytes} from 'node:crypto';
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Event, Events} from '../store/events.ts';
import {bytesPerGb, type Usage, type UsageBatch} from '../store/usage.ts';

const sampleMs = 5000;
const tellMs = 15_000;

export interface UsageMeterOptions {
  readonly worker: string;
  readonly usage: Usage;
  /** Null when that is not known. */
  readonly memoryBytes: (app: AppName) => Promise<number | null>;
  /** Of all generations of the app, and its files. @throws CodedError while that cannot be said */
  readonly storedBytes: (app: AppName) => Promise<number>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Sums {
  activeGbSeconds: number;
  wakes: number;
  storedBytes: number | null;
}

/** What is not in Redis yet of one app. */
interface Metered extends Sums {
  /** The last look at it, while it is awake. */
  look: {readonly atMs: number; readonly bytes: number} | null;
  /** Looks and batches come one after the other. */
  turn: Promise<void>;
  sending: UsageBatch | null;
}

export class UsageMeter implements AsyncDisposable {
  readonly #options: UsageMeterOptions;
  /** Of the app that sleeps and is settled with, nothing is kept. */
  readonly #apps = new Map<AppName, Metered>();
  readonly #run = randomBytes(6).toString('hex');
  #batches = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  /** The same events; wakes are counted before they are published. */
  counting(events: Events): Events {
    return {
      ...events,
      publish: (event) => {
        this.#count(event);
        return events.publish(event);
      },
    };
  }

  #count({app, kind}: Event): void {
    if (kind !== 'woken' || app === null) return;
    this.#metered(app as AppName).wakes += 1;
    this.#wait();
  }

  /** To be told at once. */
  awakeChanged(app: AppName, awake: boolean): void {
    const metered = this.#metered(app);
    if (awake) {
      this.#inTurn(metered, async () => {
        const atMs = this.#options.clock.monotonicMs();
        metered.look = {atMs, bytes: (await this.#memoryBytes(app)) ?? 0};
      });
      this.#wait();
      return;
    }
    this.#inTurn(metered, async () => {
      await this.#look(app, metered, true);
      metered.look = null;
    });
    this.#inTurn(metered, () => this.#tell(app, metered));
  }

  /** What is stored of an app may have changed. */
  storedChanged(app: AppName): void {
    if (this.#stopped) return;
    const metered = this.#metered(app);
    this.#inTurn(metered, async () => {
      metered.storedBytes = await this.#options.storedBytes(app);
      await this.#tell(app, metered);
    });
  }

  /** To be called when no app runs any more: Redis is told what it does not know. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    for (const [app, metered] of this.#apps) this.#inTurn(metered, () => this.#tell(app, metered));
    await Promise.all([...this.#apps.values()].map(({turn}) => turn));
  }

  #metered(app: AppName): Metered {
    let metered = this.#apps.get(app);
    if (metered === undefined) {
      metered = {activeGbSeconds: 0, wakes: 0, storedBytes: null, look: null, turn: Promise.resolve(), sending: null};
      this.#apps.set(app, metered);
    }
    return metered;
  }

  #inTurn(metered: Metered, work: () => Promise<void>): void {
    metered.turn = metered.turn.then(work).catch((error: unknown) => {
      this.#options.log.debug({error: errorMessage(error)}, 'usage could not be metered now');
    });
  }

  #wait(): void {
    if (this.#stopped || this.#cancel !== undefined) return;
    this.#cancel = this.#options.clock.after(sampleMs, () => {
      this.#cancel = undefined;
      this.#tick();
      if (this.#apps.size > 0) this.#wait();
    });
  }

  #tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const isTold = nowMs - this.#toldMs >= tellMs;
    if (isTold) this.#toldMs = nowMs;
    for (const [app, metered] of this.#apps) {
      this.#inTurn(metered, async () => {
        await this.#look(app, metered, false);
        if (isTold) await this.#tell(app, metered);
      });
    }
  }

  /** @param isLast of an app whose processes may have ended: it used what it used before */
  async #look(app: AppName, metered: Metered, isLast: boolean): Promise<void> {
    const before = metered.look;
    if (before === null) return;
    const atMs = this.#options.clock.monotonicMs();
    const found = (await this.#memoryBytes(app)) ?? before.bytes;
    const bytes = isLast ? Math.max(found, before.bytes) : found;
    metered.activeGbSeconds += ((before.bytes + bytes) / 2 / bytesPerGb) * ((atMs - before.atMs) / 1000);
    metered.look = {atMs, bytes};
  }

  async #memoryBytes(app: AppName): Promise<number | null> {
    return this.#options.memoryBytes(app).catch(() => null);
  }

  async #tell(app: AppName, metered: Metered): Promise<void> {
    const {usage, worker, clock, log} = this.#options;
    metered.sending ??= this.#batch(worker, clock.nowMs(), metered);
    try {
      if (metered.sending !== null) await usage.add(app, metered.sending);
      metered.sending = null;
    } catch (error) {
      log.debug({app, error: errorMessage(error)}, 'Redis does not know of the usage yet');
      return this.#wait();
    }
    // What came meanwhile is told next time.
    if (metered.look === null && isEmpty(metered) && this.#apps.get(app) === metered) this.#apps.delete(app);
  }

  /** Null when there is nothing to tell. */
  #batch(worker: string, at: number, metered: Metered): UsageBatch | null {
    if (isEmpty(metered)) return null;
    const {activeGbSeconds, wakes, storedBytes} = metered;
    this.#batches += 1;
    Object.assign(metered, {activeGbSeconds: 0, wakes: 0, storedBytes: null} satisfies Sums);
    return {worker, id: `${this.#run}-${this.#batches}`, at, activeGbSeconds, wakes, storedBytes};
  }
}

function isEmpty({activeGbSeconds, wakes, storedBytes}: Sums): boolean {
  return activeGbSeconds === 0 && wakes === 0 && storedBytes === null;
}
