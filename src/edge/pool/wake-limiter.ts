/** Limits on wakes, so that a scanner cannot keep everything awake: token buckets per app and per source (`wake-rate`). */
import type {WakeRate} from '../../config/wake-rate.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';

/** Sources that are remembered; those that have not caused a wake for longest are forgotten first. */
const maxBuckets = 65_536;

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

class TokenBuckets {
  readonly #rate: WakeRate;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: WakeRate) {
    this.#rate = rate;
  }

  has(key: string, nowMs: number): boolean {
    return this.#tokens(key, nowMs) >= 1;
  }

  take(key: string, nowMs: number): void {
    const tokens = this.#tokens(key, nowMs) - 1;
    this.#buckets.delete(key);
    if (this.#buckets.size >= maxBuckets) for (const oldest of this.#buckets.keys()) if (this.#buckets.delete(oldest)) break;
    this.#buckets.set(key, {tokens, filledAtMs: nowMs});
  }

  #tokens(key: string, nowMs: number): number {
    const bucket = this.#buckets.get(key);
    const {wakes, periodMs} = this.#rate;
    return bucket === undefined ? wakes : Math.min(wakes, bucket.tokens + ((nowMs - bucket.filledAtMs) * wakes) / periodMs);
  }
}

export interface WakeLimits {
  readonly perApp: ReadonlyMap<AppName, WakeRate>;
  /** Of all apps together. */
  readonly perSource: WakeRate | null;
}

export interface WakeLimiter {
  /**
   * A session is about to wake an app.
   * @throws CodedError ERR_WAKE_RATE; then nothing was counted
   */
  admit(app: AppName, source: string): void;
}

export function createWakeLimiter({perApp, perSource}: WakeLimits, clock: Clock): WakeLimiter {
  const apps = new Map([...perApp].map(([app, rate]) => [app, {rate, buckets: new TokenBuckets(rate)}]));
  const sources = perSource === null ? null : {rate: perSource, buckets: new TokenBuckets(perSource)};
  return {
    admit(app, source) {
      const nowMs = clock.monotonicMs();
      const ofApp = apps.get(app);
      if (ofApp?.buckets.has(app, nowMs) === false) throw refused(app, `it was woken ${describe(ofApp.rate)} already`);
      if (sources?.buckets.has(source, nowMs) === false) throw refused(app, `${source} has woken apps ${describe(sources.rate)} already`);
      ofApp?.buckets.take(app, nowMs);
      sources?.buckets.take(source, nowMs);
    },
  };
}

function describe({wakes, periodMs}: WakeRate): string {
  return `${wakes} times in ${periodMs} ms`;
}

function refused(app: AppName, found: string): CodedError<'ERR_WAKE_RATE'> {
  return new CodedError('ERR_WAKE_RATE', `Cannot wake app "${app}": ${found} (wake-rate)`, {source: 'client', retryable: true});
}
