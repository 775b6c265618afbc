/**
 * The object store in a bucket of S3, or of a server that speaks it: conditional PUT, ranges, multipart uploads and LIST are needed. Reading
 * is hedged; every request has time-outs and is repeated a few times. What fails after that says whether waiting can help (`retryable`).
 */
import {systemClock} from '../core/clock.ts';
import {CodedError} from '../core/errors.ts';
import {type ByteRange, checkKey, type ListedObject, type ObjectBody, ObjectStoreError, type PutOptions} from './object-store.ts';
import {RequestTimes, type StoreOperation} from './request-times.ts';
import {type Attempt, type AttemptOptions, attempt, type Patience, withRetries} from './s3-attempts.ts';
import {openS3Client, type S3Client} from './s3-client.ts';
import {defaultS3Limits, type S3Counters, type S3Stats, type S3Store, type S3StoreOptions} from './s3-options.ts';
import {problemOf, storeError} from './s3-problem.ts';
import {HedgedReader} from './s3-read.ts';
import {type RequestOptions, uploadObject} from './s3-upload.ts';
import {StoreHealth, type StoreOutage} from './store-health.ts';

/**
 * Makes no request: `check` does. The caller disposes it.
 * @throws CodedError ERR_S3_REGION
 */
export async function openS3Store(options: S3StoreOptions): Promise<S3Store> {
  const limits = {...defaultS3Limits, ...options.limits};
  return new BucketStore(options, await openS3Client(options, limits), {clock: options.clock ?? systemClock, limits});
}

class BucketStore implements S3Store {
  readonly #client: S3Client;
  readonly #options: S3StoreOptions;
  readonly #patience: Patience;
  readonly #closed = new AbortController();
  readonly #reader: HedgedReader;
  readonly #stats: S3Counters = {requests: 0, hedges: 0, hedgesWon: 0, retries: 0, failures: 0, bytesRead: 0, bytesWritten: 0};
  readonly #times: RequestTimes;
  readonly place: string;
  readonly #health: StoreHealth;

  constructor(options: S3StoreOptions, client: S3Client, {clock, limits}: Pick<Patience, 'clock' | 'limits'>) {
    this.#options = options;
    this.#client = client;
    this.#patience = {clock, limits, closed: this.#closed.signal};
    this.#health = new StoreHealth(clock);
    this.#times = new RequestTimes(clock);
    this.place = `bucket "${options.bucket}"${options.endpoint === null ? '' : ` at ${options.endpoint}`}`;
    this.#reader = new HedgedReader({client, patience: this.#patience, counters: this.#stats, times: this.#times, place: this.place});
  }

  stats(): S3Stats {
    return {...this.#stats, times: this.#times.counted};
  }

  outage(): StoreOutage | null {
    return this.#health.outage;
  }

  async check(): Promise<void> {
    await this.#run({doing: `use ${this.place}`, key: ''}, undefined, () =>
      this.#request('list', ({signal}) => this.#client.list({prefix: this.#inBucket(''), after: undefined, limit: 1}, signal), {}),
    );
  }

  async put(key: string, body: ObjectBody, {ifAbsent = false, signal}: PutOptions = {}): Promise<number> {
    checkKey(key);
    const {silenceTimeoutMs, partBytes} = this.#patience.limits;
    const upload = {
      client: this.#client,
      key: this.#inBucket(key),
      body: body instanceof Uint8Array ? body : marked(body),
      ifAbsent,
      signal,
      partBytes,
      request: <T>(start: (signal: AbortSignal, tried: number) => Promise<T>, {extraMs = 0, signal: abort}: RequestOptions): Promise<T> =>
        this.#request('put', ({signal: own}, tried) => start(own, tried), {signal: abort, firstAnswerMs: silenceTimeoutMs + extraMs}),
      onWritten: (sizeBytes: number): void => {
        this.#stats.bytesWritten += sizeBytes;
      },
      onLeft: (error: unknown): void =>
        this.#options.log.warn({key, reason: storeError(this.#what('take back', key), error).message}, 'parts of an upload stay behind'),
    };
    return this.#run(this.#what('write', key), signal, () => uploadObject(upload));
  }

  async get(key: string, range?: ByteRange, into?: Buffer): Promise<Buffer> {
    checkKey(key);
    if (range?.length === 0) {
      await this.size(key);
      return Buffer.alloc(0);
    }
    return this.#run(this.#what('read', key), undefined, () =>
      this.#confirmed(key, () => this.#reader.read({key, keyInBucket: this.#inBucket(key), range, into})),
    );
  }

  async size(key: string): Promise<number> {
    checkKey(key);
    const head = async (): Promise<number> => (await this.#request('head', ({signal}) => this.#client.head(this.#inBucket(key), signal), {})).sizeBytes;
    return this.#run(this.#what('read', key), undefined, () => this.#confirmed(key, head));
  }

  async list(prefix: string): Promise<readonly ListedObject[]> {
    return this.#run({doing: `list objects "${prefix}..." in ${this.place}`, key: prefix}, undefined, async () => {
      const found: ListedObject[] = [];
      const cut = this.#inBucket('').length;
      let after: string | undefined;
      do {
        const at = after;
        const answer = await this.#request('list', ({signal}) => this.#client.list({prefix: this.#inBucket(prefix), after: at}, signal), {});
        found.push(...answer.objects.map(({key, sizeBytes}) => ({key: key.slice(cut), sizeBytes})));
        after = answer.next;
      } while (after !== undefined);
      return found.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    });
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.#run(this.#what('delete', key), undefined, async () => {
      try {
        await this.#request('delete', ({signal}) => this.#client.delete(this.#inBucket(key), signal), {});
      } catch (error) {
        if (problemOf(error).kind !== 'no-object') throw error;
      }
    });
  }

  async localFile(key: string): Promise<undefined> {
    checkKey(key);
    return Promise.resolve(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new CodedError('ERR_STORE_CLOSED', `Cannot use ${this.place}: the store is closed`, {source: 'host'}));
    this.#client[Symbol.dispose]();
    return Promise.resolve();
  }

  #inBucket(key: string): string {
    return this.#options.prefix === '' ? key : `${this.#options.prefix}/${key}`;
  }

  #what(verb: string, key: string): {readonly doing: string; readonly key: string} {
    return {doing: `${verb} object "${key}" in ${this.place}`, key};
  }

  /**
   * Nobody may take a checkpoint for lost because of a 404 of something between here and S3, or of a bucket that is gone: a 404 that does not
   * name the object counts only when LIST does not have it either.
   */
  async #confirmed<T>(key: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      if (problemOf(error).kind !== 'not-found') throw error;
      const inBucket = this.#inBucket(key);
      const {objects} = await this.#request('list', ({signal}) => this.#client.list({prefix: inBucket, after: undefined, limit: 1}, signal), {});
      if (objects.some((object) => object.key === inBucket)) throw error;
      const {doing} = this.#what('read', key);
      throw new ObjectStoreError('ERR_NO_OBJECT', `Cannot ${doing}: it does not exist`, {key, cause: error});
    }
  }

  /** Turns what S3 says into the store's errors; an abort stays what it is. */
  async #run<T>(what: {doing: string; key: string}, signal: AbortSignal | undefined, operation: () => Promise<T>): Promise<T> {
    const begunAt = this.#patience.clock.nowMs();
    try {
      const result = await operation();
      this.#health.answered();
      return result;
    } catch (error) {
      signal?.throwIfAborted();
      this.#closed.signal.throwIfAborted();
      if (error instanceof BodyError) throw error.cause;
      const failure = error instanceof ObjectStoreError ? error : storeError(what, error);
      this.#health.failed(failure, begunAt);
      if (failure.code === 'ERR_STORE_FAILED' || failure.code === 'ERR_STORE_FULL') this.#stats.failures++;
      throw failure;
    }
  }

  #request<T>(operation: StoreOperation, start: (attempt: Attempt, tried: number) => Promise<T>, options: AttemptOptions): Promise<T> {
    const {signal} = options;
    return withRetries(this.#patience, {signal, onRetry: () => this.#stats.retries++}, (tried) =>
      this.#times.measure(operation, () => this.#attempt(options, (own) => start(own, tried))),
    );
  }

  #attempt<T>(options: AttemptOptions, start: (attempt: Attempt) => Promise<T>): Promise<T> {
    this.#stats.requests++;
    return attempt(this.#patience, options, start);
  }
}

/** Marks an error as that of whoever makes the body. */
class BodyError extends Error {}

async function* marked(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw new BodyError('the body failed', {cause});
  }
}
