/** Reading an object, or exactly a range of it, into one buffer; slow answers are asked for a second time. */
import {type ByteRange, ObjectStoreError} from './object-store.ts';
import type {RequestTimes} from './request-times.ts';
import type {Answer} from './s3-answer.ts';
import {type Attempt, attempt, type Patience, withRetries} from './s3-attempts.ts';
import type {S3Client} from './s3-client.ts';
import {AnswerTimes, HedgeBudget, hedge} from './s3-hedge.ts';
import type {S3Counters} from './s3-options.ts';
import {isPassing, problemOf} from './s3-problem.ts';

/** Larger answers are not asked for twice once they have begun: their time is the line's. */
const hedgedBytesMax = 8 * 1024 ** 2;

export interface Reading {
  /** As callers know it. */
  readonly key: string;
  /** As the bucket has it. */
  readonly keyInBucket: string;
  readonly range: ByteRange | undefined;
  /** Of the length of `range`; undefined: new memory. */
  readonly into: Buffer | undefined;
}

export interface ReaderOptions {
  readonly client: S3Client;
  readonly patience: Patience;
  readonly counters: S3Counters;
  readonly times: RequestTimes;
  /** For messages. */
  readonly place: string;
}

export class HedgedReader {
  readonly #options: ReaderOptions;
  readonly #times = new AnswerTimes();
  readonly #budget = new HedgeBudget();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Rejects with what the last attempt failed with, or ObjectStoreError ERR_OBJECT_TRUNCATED. */
  read(reading: Reading): Promise<Buffer> {
    const {patience, counters} = this.#options;
    return withRetries(patience, {onRetry: () => counters.retries++}, () => this.#hedged(reading));
  }

  async #hedged(reading: Reading): Promise<Buffer> {
    const {patience, counters, times} = this.#options;
    const {clock, limits} = patience;
    const sizeBytes = reading.range?.length;
    const startedMs = clock.monotonicMs();
    let begunBytes = 0;
    const start = (signal: AbortSignal): Promise<Buffer> => {
      counters.requests++;
      return times.measure('get', () =>
        attempt(patience, {signal}, (own) =>
          this.#once(reading, own, (answer) => {
            begunBytes = answer.sizeBytes;
          }),
        ),
      );
    };
    this.#budget.earn();
    const {value, winner} = await hedge(start, {
      clock,
      afterMs: Math.max(limits.hedgeAfterAtLeastMs, this.#times.p95(sizeBytes)),
      mayHedge: () => {
        if (begunBytes > hedgedBytesMax || !this.#budget.spend()) return false;
        counters.hedges++;
        return true;
      },
      isFinal: (error) => !isPassing(problemOf(error)),
    });
    if (winner === 'second') counters.hedgesWon++;
    this.#times.add(sizeBytes, clock.monotonicMs() - startedMs);
    return value;
  }

  async #once({key, keyInBucket, range, into}: Reading, {signal, heard}: Attempt, begun: (answer: Answer) => void): Promise<Buffer> {
    const {client, counters, place} = this.#options;
    return client.get(keyInBucket, range, {
      signal,
      begin(answer) {
        heard();
        begun(answer);
        if (range !== undefined) checkRange(answer, range, {key, place});
        return into ?? Buffer.allocUnsafeSlow(answer.sizeBytes);
      },
      arrived(count) {
        counters.bytesRead += count;
        heard();
      },
    });
  }
}

function checkRange({position, sizeBytes}: Answer, range: ByteRange, {key, place}: {key: string; place: string}): void {
  const end = range.position + range.length;
  const fail = (code: 'ERR_OBJECT_TRUNCATED' | 'ERR_STORE_FAILED', found: string): ObjectStoreError =>
    new ObjectStoreError(code, `Cannot read object "${key}" in ${place}: ${found}`, {key});
  if (position === range.position && sizeBytes === range.length) return;
  if (position === range.position && sizeBytes < range.length) throw fail('ERR_OBJECT_TRUNCATED', `it ends at byte ${position + sizeBytes}, ${end} are needed`);
  throw fail('ERR_STORE_FAILED', `asked for bytes ${range.position} to ${end}, the server answers with ${sizeBytes} bytes from ${position ?? 'its beginning'}`);
}
