/** One HTTP/2 connection to a server, with many requests at a time. */
import {type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders, type IncomingHttpStatusHeader} from 'node:http2';
import type {Socket} from 'node:net';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import {isBodyless} from './h1-framing.ts';
import {hopByHop} from './h1-writer.ts';
import {fromPairs, toFields} from './h2-fields.ts';
import {LazyTimer} from './lazy-timer.ts';
import type {BodyLength, Header, RequestHead, ResponseEvents, ServerFailure, ServerStream} from './message.ts';
import {splitTarget} from './target.ts';

export class H2ServerConnection {
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  readonly openedMs: number;
  #streams = 0;
  #served = 0;
  /** When its last stream ended; infinite while there are any. */
  idleSinceMs: number;

  /** Takes over a connected socket. */
  constructor({socket, clock, onClosed}: {readonly socket: Socket; readonly clock: Clock; readonly onClosed: () => void}) {
    this.#clock = clock;
    this.openedMs = clock.monotonicMs();
    this.idleSinceMs = this.openedMs;
    this.#session = connect('http://server', {createConnection: () => socket, settings: {enablePush: false}});
    this.#session.on('error', () => {
      // The streams are told; 'close' follows.
    });
    this.#session.on('goaway', () => onClosed());
    this.#session.on('close', onClosed);
  }

  get served(): number {
    return this.#served;
  }

  get hasRoom(): boolean {
    const {maxConcurrentStreams = 100} = this.#session.remoteSettings;
    return !this.#session.closed && !this.#session.destroyed && this.#streams < maxConcurrentStreams;
  }

  take(events: ResponseEvents, timeoutMs: number): ServerStream {
    const isReused = this.#served++ > 0;
    this.#streams++;
    this.idleSinceMs = Number.POSITIVE_INFINITY;
    const ended = (): void => {
      this.#streams--;
      if (this.#streams === 0) this.idleSinceMs = this.#clock.monotonicMs();
    };
    return new H2Request({session: this.#session, clock: this.#clock, events, timeoutMs, reused: isReused, ended});
  }

  /** After the streams that are open. */
  close(): void {
    this.#session.close();
  }
}

interface H2RequestOptions {
  readonly session: ClientHttp2Session;
  readonly clock: Clock;
  readonly events: ResponseEvents;
  readonly timeoutMs: number;
  readonly reused: boolean;
  readonly ended: () => void;
}

class H2Request implements ServerStream {
  readonly reused: boolean;
  readonly #options: H2RequestOptions;
  readonly #timer: LazyTimer;
  #events: ResponseEvents | null;
  #stream: ClientHttp2Stream | null = null;
  #trailers: readonly Header[] | null = null;
  #responseTrailers: readonly Header[] | null = null;
  #isAnswered = false;
  #requestSent = false;

  constructor(options: H2RequestOptions) {
    this.reused = options.reused;
    this.#options = options;
    this.#events = options.events;
    this.#timer = new LazyTimer(options.clock, () => this.#fail({kind: 'timeout', reason: `no answer within ${options.timeoutMs} ms`}));
  }

  head(head: RequestHead, length: BodyLength): void {
    const authority = head.headers.find(([name]) => name === 'host')?.[1] ?? '';
    const {path, query} = splitTarget(head.uri);
    const pseudo =
      head.method === 'CONNECT'
        ? {':method': 'CONNECT', ':authority': head.uri}
        : {
            ':method': head.method,
            ':scheme': this.#options.session.encrypted ? 'https' : 'http',
            ':authority': authority,
            ':path': query === null ? path : `${path}?${query}`,
          };
    const fields = toFields(head.headers.filter(([name]) => name !== 'host' && !hopByHop.has(name)));
    if (length !== null && (length > 0 || head.headers.some(([name]) => name === 'content-length'))) fields['content-length'] = String(length);
    let stream: ClientHttp2Stream;
    try {
      stream = this.#options.session.request({...pseudo, ...fields}, {endStream: length === 0, waitForTrailers: length === null});
    } catch (error) {
      process.nextTick(() => this.#fail({kind: 'empty', isBroken: true, reason: errorMessage(error)}));
      return;
    }
    this.#stream = stream;
    this.#listen(stream, head.method);
    if (length === 0) this.#sent();
  }

  #listen(stream: ClientHttp2Stream, method: string): void {
    stream.on('headers', (headers: IncomingHttpHeaders & IncomingHttpStatusHeader) =>
      this.#events?.responseInformational({status: headers[':status'] ?? 100, reason: '', version: '2.0', headers: fromPairs(headers)}),
    );
    stream.on('response', (headers) => this.#respond(headers, method));
    stream.on('trailers', (headers: IncomingHttpHeaders) => {
      this.#responseTrailers = fromPairs(headers);
    });
    stream.on('wantTrailers', () => stream.sendTrailers(this.#trailers === null ? {} : toFields(this.#trailers)));
    stream.on('drain', () => this.#events?.serverDrained());
    stream.on('data', (chunk: Buffer) => {
      this.#touch();
      this.#events?.responseData(chunk);
    });
    stream.on('end', () => this.#finish());
    stream.on('error', (error) => this.#fail({kind: this.#isAnswered ? 'cut' : 'empty', isBroken: true, reason: errorMessage(error)}));
    stream.on('close', () => {
      this.#timer.stop();
      this.#fail({kind: this.#isAnswered ? 'cut' : 'empty', reason: 'the server closed the stream'});
      this.#options.ended();
    });
  }

  #respond(headers: IncomingHttpHeaders, method: string): void {
    this.#isAnswered = true;
    this.#touch();
    const status = Number(headers[':status'] ?? 0);
    const length = headers['content-length'];
    const fields = fromPairs(headers);
    const bodyless = isBodyless(method, status);
    this.#events?.responseHead({status, reason: '', version: '2.0', headers: fields}, bodyless ? 0 : length === undefined ? null : Number(length));
    this.#events?.responsePaused();
  }

  #finish(): void {
    if (!this.#isAnswered) return;
    const events = this.#events;
    this.#events = null;
    this.#timer.stop();
    events?.responseEnd(this.#responseTrailers);
    if (!this.#requestSent) this.#stream?.close(constants.NGHTTP2_NO_ERROR);
  }

  #fail(failure: ServerFailure): void {
    const events = this.#events;
    this.#events = null;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    events?.responseFailed(failure);
  }

  #sent(): void {
    this.#requestSent = true;
    this.#touch();
  }

  #touch(): void {
    if (this.#requestSent) this.#timer.set(this.#options.timeoutMs);
    else this.#timer.clear();
  }

  flush(): void {
    // Node sends frames at the end of the turn.
  }

  write(chunk: Buffer): boolean {
    return this.#stream?.write(chunk) ?? true;
  }

  end(trailers: readonly Header[] | null): void {
    this.#trailers = trailers;
    if (this.#stream?.writableEnded === false) this.#stream.end();
    this.#sent();
  }

  pause(): void {
    this.#timer.clear();
    this.#stream?.pause();
  }

  resume(): void {
    this.#touch();
    this.#stream?.resume();
  }

  abort(): void {
    this.#events = null;
    this.#timer.stop();
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }
}
