/**
 * GETs past the client of AWS, whose work for each request takes a millisecond or more. A cold wake makes a dozen at once: a URL is signed once for an
 * object, and its ranges, which need not be part of a signature (Signature Version 4 wants host and x-amz-* only), are asked for with that.
 */
import {type Agent as HttpAgent, request as httpRequest, type IncomingMessage} from 'node:http';
import {type Agent as HttpsAgent, request as httpsRequest} from 'node:https';
import type {ByteRange} from './object-store.ts';
import type {Answer} from './s3-answer.ts';

/** How long a URL is good for, and how long it is used. */
export const signedSeconds = 900;
const usedMs = 300_000;
const keptUrls = 256;

export interface SignedGetOptions {
  /** Makes a URL for GETs of an object that is good for `signedSeconds`. */
  readonly sign: (key: string) => Promise<string>;
  readonly agents: {readonly http: HttpAgent; readonly https: HttpsAgent};
  readonly connectTimeoutMs: number;
}

export class SignedGets {
  readonly #options: SignedGetOptions;
  /** The oldest first. */
  readonly #urls = new Map<string, {readonly url: Promise<string>; readonly untilMs: number}>();

  constructor(options: SignedGetOptions) {
    this.#options = options;
  }

  /**
   * Makes one request.
   * @returns undefined when the answer is not the content: whoever asks again through the client of AWS hears why
   * @throws errors of the connection; of an answer that says that the server cannot now, an error as the client of AWS has it
   */
  async get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Answer | undefined> {
    const answer = await this.#ask(await this.#url(key), range, signal);
    const {statusCode = 0, headers} = answer;
    const sizeBytes = Number(headers['content-length'] ?? Number.NaN);
    if ((statusCode === 200 || statusCode === 206) && headers.etag !== undefined && sizeBytes >= 0) {
      const position = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
      return {sizeBytes, position: position === undefined ? undefined : Number(position), body: answer};
    }
    answer.destroy();
    if (statusCode === 429 || statusCode >= 500) throw unable(statusCode);
    // The signature may be what is wrong with it, for example after credentials were replaced.
    this.#urls.delete(key);
    return undefined;
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

  #ask(url: string, range: ByteRange | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const {agents, connectTimeoutMs} = this.#options;
    const headers = range === undefined ? {} : {range: `bytes=${range.position}-${range.position + range.length - 1}`};
    return new Promise((resolve, reject) => {
      const request = url.startsWith('https:')
        ? httpsRequest(url, {agent: agents.https, headers, signal}, resolve)
        : httpRequest(url, {agent: agents.http, headers, signal}, resolve);
      request.on('error', reject);
      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        const late = setTimeout(() => request.destroy(connectTimeout(connectTimeoutMs)), connectTimeoutMs);
        const connected = (): void => clearTimeout(late);
        socket.once(url.startsWith('https:') ? 'secureConnect' : 'connect', connected).once('close', connected);
      });
      request.end();
    });
  }
}

function unable(statusCode: number): Error {
  return Object.assign(new Error('UnknownError'), {
    name: statusCode === 503 || statusCode === 429 ? 'SlowDown' : 'InternalError',
    $metadata: {httpStatusCode: statusCode},
  });
}

function connectTimeout(timeoutMs: number): Error {
  return Object.assign(new Error(`no connection within ${timeoutMs} ms`), {name: 'TimeoutError'});
}
