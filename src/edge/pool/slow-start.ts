/** How much of its weight and `maxconn` a server has after it came up (HAProxy manual, `slowstart`). */
import type {Clock} from '../../core/clock.ts';

export interface SlowStartOptions {
  /** Null: it has all of it at once. */
  readonly slowStartMs: number | null;
  readonly clock: Clock;
  /** It is warmer than before. */
  readonly warmed: () => void;
}

export class SlowStart implements Disposable {
  readonly #options: SlowStartOptions;
  /** Clock.monotonicMs; null: it is warm. */
  #sinceMs: number | null = null;
  #cancel: (() => void) | undefined;

  constructor(options: SlowStartOptions) {
    this.#options = options;
  }

  /** @param sinceMs Clock.monotonicMs; null: it does not */
  begin(sinceMs: number | null): void {
    this.#cancel?.();
    this.#sinceMs = this.#options.slowStartMs === null ? null : sinceMs;
    if (this.#sinceMs !== null) this.#warmUp();
  }

  #warmUp(): void {
    const {slowStartMs, clock, warmed} = this.#options;
    if (slowStartMs === null) return;
    this.#cancel = clock.after(Math.max(1000, slowStartMs / 20), () => {
      if (this.warmth >= 1) this.#sinceMs = null;
      else this.#warmUp();
      warmed();
    });
  }

  /** From 0 to 1. */
  get warmth(): number {
    const {slowStartMs, clock} = this.#options;
    if (this.#sinceMs === null || slowStartMs === null) return 1;
    return Math.min(1, (clock.monotonicMs() - this.#sinceMs) / slowStartMs);
  }

  /** Null when it is warm. */
  get percent(): number | null {
    return this.#sinceMs === null ? null : Math.max(1, Math.floor(this.warmth * 100));
  }

  /** Stops the timer. */
  [Symbol.dispose](): void {
    this.#cancel?.();
  }
}

/** How many sessions a server may have at this moment: manual, `minconn`, `fullconn` and `slowstart`. @param host its backend */
export function maxconnNow(
  {maxconn, minconn, warmth}: {readonly maxconn: number; readonly minconn: number | null; readonly warmth: number},
  host: {readonly fullconn: number | null; sessions(): number},
): number {
  const {fullconn} = host;
  const sessions = host.sessions();
  const isStatic = minconn === null || minconn >= maxconn || fullconn === null || sessions >= fullconn;
  const limit = isStatic ? maxconn : Math.max(minconn, Math.floor((sessions * maxconn) / fullconn));
  return Math.max(1, Math.floor(limit * warmth));
}
