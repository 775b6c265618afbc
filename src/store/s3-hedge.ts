/**
 * Hedged requests: a GET that takes longer than 95 of 100 of its size did is asked for a second time, and the first answer counts. It cuts the
 * slow tail of S3, of which a wake may hit many. A budget keeps a server that is slow altogether from being asked twice for everything.
 */
import type {Clock} from '../core/clock.ts';

const keptTimes = 64;
const neededTimes = 10;
/** As long as little is known of a size. */
const unknownTimeMs = 500;
const tokensMax = 10;
const tokensPerRequest = 0.1;
/** Whoever comes second hears it; a new error for each request would take longer than the rest of it. */
const over = new Error('another request was first');

/** The time that 95 of the last 100 answers took, for each size class: powers of two. */
export class AnswerTimes {
  readonly #times = new Map<number, number[]>();

  add(sizeBytes: number | undefined, timeMs: number): void {
    const key = sizeClass(sizeBytes);
    const times = this.#times.get(key) ?? [];
    if (times.length === 0) this.#times.set(key, times);
    times.push(timeMs);
    if (times.length > keptTimes) times.shift();
  }

  p95(sizeBytes: number | undefined): number {
    const times = this.#times.get(sizeClass(sizeBytes)) ?? [];
    if (times.length < neededTimes) return unknownTimeMs;
    return times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1] ?? unknownTimeMs;
  }
}

/** Objects whose size is not known before are a class of their own. */
function sizeClass(sizeBytes: number | undefined): number {
  return sizeBytes === undefined ? -1 : Math.ceil(Math.log2(Math.max(1, sizeBytes)));
}

/** One second request for ten first ones, and ten more at a time. */
export class HedgeBudget {
  #tokens = tokensMax;

  earn(): void {
    this.#tokens = Math.min(tokensMax, this.#tokens + tokensPerRequest);
  }

  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

export interface HedgeOptions {
  readonly clock: Clock;
  readonly afterMs: number;
  /** Asked when the time has come. */
  readonly mayHedge: () => boolean;
  /** True for a failure that the other request would meet as well. */
  readonly isFinal: (error: unknown) => boolean;
}

/** Resolves with the first success; the other request is aborted. Rejects with a final failure, or when no request is left. */
export async function hedge<T>(
  start: (signal: AbortSignal) => Promise<T>,
  options: HedgeOptions,
): Promise<{readonly value: T; readonly winner: 'first' | 'second'}> {
  const stop = new AbortController();
  let cancel = (): void => undefined;
  try {
    const {promise, resolve} = Promise.withResolvers<() => {readonly value: T; readonly winner: 'first' | 'second'}>();
    let running = 0;
    const launch = (winner: 'first' | 'second'): void => {
      running++;
      start(stop.signal).then(
        (value) => resolve(() => ({value, winner})),
        (error: unknown) => {
          running--;
          if (running > 0 && !options.isFinal(error)) return;
          resolve(() => {
            throw error;
          });
        },
      );
    };
    launch('first');
    cancel = options.clock.after(options.afterMs, () => {
      if (running > 0 && options.mayHedge()) launch('second');
    });
    return (await promise)();
  } finally {
    cancel();
    stop.abort(over);
  }
}
