/**
 * Watches what the apps that are awake use of memory together. Above the high mark those that were used longest ago are put to sleep, one after the
 * other, until less than the low mark is used: what is short is given to who needs it now. It looks after each wake and every few seconds, and not at
 * all while every app sleeps.
 */
import {type MemoryMarks, markBytes} from '../config/memory-marks.ts';
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Events} from '../store/events.ts';
import type {App} from './app.ts';
import {type Candidate, nextVictim, type Shortage} from './eviction.ts';

type LimitedApp = Pick<App, 'instance' | 'status' | 'hibernate' | 'wakefulness'>;

export interface MemoryLimitOptions {
  readonly marks: MemoryMarks;
  /** Of what shares are. */
  readonly totalBytes: () => Promise<number>;
  /** As they are at the moment: a reload may open and retire some. */
  readonly apps: {entries(): Iterable<readonly [name: string, app: LimitedApp]>};
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
}

const lookMs = 3000;
/** After a wake, which must not wait for this. */
const soonMs = 100;

export class MemoryLimit {
  readonly #options: MemoryLimitOptions;
  #pass: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  /** Nobody could go when it was last too much: that is said once. */
  #isStuck = false;
  #stopped = false;

  constructor(options: MemoryLimitOptions) {
    this.#options = options;
  }

  /** An app has been woken: looks when it has got what it needs first, and again and again as long as one is awake. Never throws. */
  woken(): void {
    this.#lookAfter(soonMs);
  }

  #lookAfter(ms: number): void {
    this.#cancel?.();
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#cancel = undefined;
      this.#pass ??= this.#look();
    });
  }

  async #look(): Promise<void> {
    try {
      await this.#makeRoom();
    } catch (error) {
      this.#options.log.warn({error: errorMessage(error)}, 'the memory that apps use could not be limited');
    }
    this.#pass = undefined;
    if (this.#cancel === undefined && this.#awake().length > 0) this.#lookAfter(lookMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** @throws Error when what there is cannot be read */
  async measure(): Promise<Shortage> {
    const {marks, totalBytes} = this.#options;
    const total = await totalBytes();
    const usedBytes = this.#awake().reduce((sum, [, app]) => sum + (app.wakefulness.memoryBytes() ?? 0), 0);
    const highBytes = markBytes(marks.high, total);
    // A size and a share can be in the wrong order here although nobody could know it from the configuration.
    const lowBytes = Math.min(markBytes(marks.low, total), highBytes);
    return {usedBytes, highBytes, lowBytes};
  }

  /** Also those on their way to it, or from it. */
  #awake(): (readonly [name: string, app: LimitedApp])[] {
    return [...this.#options.apps.entries()].filter(([, app]) => app.instance !== null);
  }

  async #makeRoom(): Promise<void> {
    let shortage = await this.measure();
    if (shortage.usedBytes <= shortage.highBytes) {
      this.#isStuck = false;
      return;
    }
    const tried = new Set<string>();
    while (!this.#stopped) {
      const running = new Map(this.#awake().filter(([name, app]) => app.status().state === 'running' && !tried.has(name)));
      const candidates = await Promise.all(
        [...running].map(async ([name, app]): Promise<Candidate> => ({name, verdict: await app.wakefulness.judgeEviction()})),
      );
      const name = nextVictim(candidates, shortage);
      const app = name === undefined ? undefined : running.get(name);
      if (name === undefined || app === undefined) break;
      tried.add(name);
      await this.#evict(name, app, shortage);
      shortage = await this.measure();
    }
    this.#tellIfStuck(shortage);
  }

  async #evict(name: string, app: LimitedApp, {usedBytes, highBytes}: Shortage): Promise<void> {
    const {log} = this.#options;
    try {
      if ((await app.hibernate({cause: 'memory'})) === 'cancelled') return;
      log.info({app: name, usedBytes, highBytes}, 'put to sleep to free memory');
      this.#publish(name, 'evicted', {reason: 'memory-high', usedBytes, highBytes});
    } catch (error) {
      // Its own log and events say why; the next one is tried.
      log.debug({app: name, error: errorMessage(error)}, 'not put to sleep');
    }
  }

  #tellIfStuck({usedBytes, highBytes}: Shortage): void {
    const isStuck = usedBytes > highBytes;
    if (isStuck && !this.#isStuck) {
      this.#options.log.warn({usedBytes, highBytes}, 'the apps use more memory than memory-high, and none of them can be put to sleep now');
      this.#publish(null, 'memory-short', {usedBytes, highBytes});
    }
    this.#isStuck = isStuck;
  }

  #publish(app: string | null, kind: string, fields: Readonly<Record<string, string | number>>): void {
    const {events, clock, log} = this.#options;
    events
      .publish({...fields, at: clock.nowMs(), app, kind})
      .catch((error: unknown) => log.warn({app, kind, error: errorMessage(error)}, 'event not recorded'));
  }
}
