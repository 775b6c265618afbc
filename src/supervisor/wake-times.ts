/** Where the time of a wake goes. */
import type {Clock} from '../core/clock.ts';
import type {WakePhases} from '../store/app-record.ts';

/** What the supervisor itself can tell; the pages are the pager's. */
export type OwnPhases = Omit<WakePhases, 'pagesMs'>;

export class WakeTimes {
  readonly #clock: Clock;
  readonly #wantedMs: number;
  readonly #begunMs: number;
  #placedMs: number | null = null;
  #ranMs: number | null = null;
  #expectedMs: number | null = null;
  #criuMs: number | null = null;

  /** Of a wake that begins now. @param wantedMs of Clock.monotonicMs */
  constructor(clock: Clock, wantedMs: number) {
    this.#clock = clock;
    this.#wantedMs = wantedMs;
    this.#begunMs = clock.monotonicMs();
  }

  /** The lease is there. */
  placed(): void {
    this.#placedMs ??= this.#clock.monotonicMs();
  }

  /** The app's processes run; of several attempts the last one counts. */
  runs(): void {
    this.#ranMs = this.#clock.monotonicMs();
  }

  /** The pager is told: from now on pages come. */
  expected(): void {
    this.#expectedMs = this.#clock.monotonicMs();
  }

  /** From the beginning until then. */
  get pagesFromMs(): number {
    return (this.#expectedMs ?? this.#begunMs) - this.#begunMs;
  }

  /** Of a wake that has failed just now: how long it took, and what was before it. */
  get untilNow(): {readonly ms: number; readonly holdMs: number} {
    return {ms: this.#clock.monotonicMs() - this.#begunMs, holdMs: this.#begunMs - this.#wantedMs};
  }

  /** CRIU makes the processes meanwhile. */
  async criu<T>(restoring: Promise<T>): Promise<T> {
    const sinceMs = this.#clock.monotonicMs();
    const restored = await restoring;
    this.#criuMs = this.#clock.monotonicMs() - sinceMs;
    return restored;
  }

  /** @param readyMs when it was ready, Clock.monotonicMs */
  phases(readyMs: number): OwnPhases {
    const ranMs = this.#ranMs ?? readyMs;
    return {
      holdMs: this.#begunMs - this.#wantedMs,
      placeMs: (this.#placedMs ?? readyMs) - this.#begunMs,
      restoreMs: ranMs - this.#begunMs,
      criuMs: this.#criuMs,
      readyMs: readyMs - ranMs,
    };
  }
}
