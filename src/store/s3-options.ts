/** What a store on S3 is opened with, and what it offers beyond an object store. */
import type {Clock} from '../core/clock.ts';
import type {HistogramCounts} from '../core/histogram.ts';
import type {Log} from '../core/log.ts';
import type {ObjectStore} from './object-store.ts';
import type {StoreOperation} from './request-times.ts';
import type {StoreOutage} from './store-health.ts';

/** `global.store` of kind `s3` has the first five. Credentials come from where the tools of AWS look for them. */
export interface S3StoreOptions {
  readonly bucket: string;
  /** Without `/` at its end; `''` for none. */
  readonly prefix: string;
  /** Null: Amazon's. */
  readonly endpoint: string | null;
  /** Null: from the environment or the files of AWS; `us-east-1` when there is none and the endpoint is not Amazon's. */
  readonly region: string | null;
  readonly pathStyle: boolean;
  readonly log: Log;
  readonly clock?: Clock;
  readonly limits?: Partial<S3Limits>;
}

export interface S3Limits {
  readonly connectTimeoutMs: number;
  /** The longest silence of the server, before the answer and inside it. */
  readonly silenceTimeoutMs: number;
  /** How often a request is made at most; the first time counts. */
  readonly attempts: number;
  /** The longest wait between two attempts, which grows from 50 ms on. */
  readonly longestPauseMs: number;
  /** A second GET is started once the first took longer than 95 of 100 did, but not earlier than this. */
  readonly hedgeAfterAtLeastMs: number;
  /** Bodies beyond one part are uploaded in parts; at least 5 MiB for Amazon. */
  readonly partBytes: number;
}

export const defaultS3Limits: S3Limits = {
  connectTimeoutMs: 3000,
  silenceTimeoutMs: 10_000,
  attempts: 5,
  longestPauseMs: 2000,
  hedgeAfterAtLeastMs: 20,
  partBytes: 8 * 1024 ** 2,
};

/** Numbers since the store was opened. */
export interface S3Stats {
  /** Requests sent, with the second ones and the repeated ones. */
  readonly requests: number;
  /** Second GETs that were started because the first was slow. */
  readonly hedges: number;
  /** How many of those answered first. */
  readonly hedgesWon: number;
  readonly retries: number;
  /** Operations that failed for good; an object that is not there is no failure. */
  readonly failures: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** How long requests took, in seconds; see `requestBoundsSeconds`. */
  readonly times: Readonly<Record<StoreOperation, HistogramCounts>>;
}

/** The same while they are counted. */
export type S3Counters = {-readonly [Name in Exclude<keyof S3Stats, 'times'>]: number};

/** Disposing it closes its connections; what is under way fails then. */
export interface S3Store extends ObjectStore, AsyncDisposable {
  /** For messages: the bucket and where it is. */
  readonly place: string;
  stats(): S3Stats;
  /** Null while it answers, or nobody has asked it yet. */
  outage(): StoreOutage | null;
  /**
   * Makes one request (LIST, of one key), to see that the bucket can be used.
   * @throws ObjectStoreError ERR_STORE_FAILED saying what to do; `retryable` when the server does not answer or has too much to do
   */
  check(): Promise<void>;
}
