/**
 * GETs past the client of AWS, whose work for each request takes a millisecond or more. A cold wake makes a dozen at once: a URL is signed once for an
 * object, and its ranges, which need not be part of a signature (Signature Version 4 wants host and x-amz-* only), are asked for with that.
 */
import type {Head} from './get-connection.ts';
import {GetConnections} from './get-connections.ts';
import type {ByteRange} from './object-store.ts';
import {type AnswerReader, answerOf} from './s3-answer.ts';

/** How long a URL is good for, and how long it is used. */
export const signedSeconds = 900;
const usedMs = 300_000;
const keptUrls = 256;
/** Of an answer that says why there is no object: some lines of XML. */
const problemBytesMax = 4096;

export interface SignedGetOptions {
  /** Makes a URL for GETs of an object that is good for `signedSeconds`. */
  readonly sign: (key: string) => Promise<string>;
  readonly connectTimeoutMs: number;
}

export class SignedGets implements Disposable {
  readonly #options: SignedGetOptions;
  readonly #connections: GetConnections;
  /** The oldest first. */
  readonly #urls = new Map<string, {readonly url: Promise<string>; readonly untilMs: number}>();

  constructor(options: SignedGetOptions) {
    this.#options = options;
    this.#connections = new GetConnections(options);
  }

  /**
   * Makes one request.
   * @returns undefined when the answer is not the content: whoever asks again through the client of AWS hears why
   * @throws errors of the connection; when there is no such object, or the server cannot now, an error as the client of AWS has it
   */
  async get(key: string, range: ByteRange | undefined, {signal, begin, arrived}: AnswerReader): Promise<Buffer | undefined> {
    const url = new URL(await this.#url(key));
    let status: number | undefined;
    let data: Buffer | undefined;
    let problem: Buffer | undefined;
    const place = (head: Head): Buffer | undefined => {
      status = head.status;
      if (status === 404 && head.sizeBytes <= problemBytesMax) {
        problem = Buffer.alloc(head.sizeBytes);
        return problem;
      }
      if ((status !== 200 && status !== 206) || !head.headers.has('etag')) return undefined;
      data = begin(answerOf(head.sizeBytes, head.headers.get('content-range')));
      return data;
    };
    await this.#connections.get({url, range: rangeHeader(range), signal, place, arrived});
    if (data !== undefined) return data;
    // Of what is asked for much is not there: an app's key, say, or what was learned of its pages.
    if (problem?.includes('<Code>NoSuchKey</Code>') === true) throw failed(404, 'NoSuchKey');
    if (status !== undefined && (status === 429 || status >= 500)) throw failed(status, status === 503 || status === 429 ? 'SlowDown' : 'InternalError');
    // The signature may be what is wrong with it, for example after credentials were replaced.
    this.#urls.delete(key);
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#connections[Symbol.dispose]();
  }

  #url(key: string): Promise<string> {
    const nowMs = performance.now();
    const known = this.#urls.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.url;
    const url = this.#options.sign(key);
    this.#urls.delete(key);
    this.#urls.set(key, {url, untilMs: nowMs + usedMs});
    // The next one tries anew.
    url.catch(() => this.#urls.delete(key));
    for (const oldest of this.#urls.keys()) {
      if (this.#urls.size <= keptUrls) break;
      this.#urls.delete(oldest);
    }
    return url;
  }
}

/** As the header wants it. */
export function rangeHeader(range: ByteRange | undefined): string | undefined {
  return range === undefined ? undefined : `bytes=${range.position}-${range.position + range.length - 1}`;
}

function failed(statusCode: number, name: string): Error {
  return Object.assign(new Error('UnknownError'), {name, $metadata: {httpStatusCode: statusCode}});
}
