/** One request of an HTTP/2 client and its answer. */
import {constants, type ServerHttp2Stream} from 'node:http2';
import type {Clock} from '../../core/clock.ts';
import {hopByHop, responseText} from './h1-writer.ts';
import {toFields} from './h2-fields.ts';
import {type ProtocolSwitch, tunnelStream} from './h2-tunnel.ts';
import {LazyTimer} from './lazy-timer.ts';
import {type BodyLength, type ClientStream, type ClientTunnel, type Header, headerOf, type RequestEvents, type ResponseHead} from './message.ts';

export interface H2ClientStreamOptions {
  readonly stream: ServerHttp2Stream;
  readonly clock: Clock;
  /** How long the client may be silent while its body is awaited, or not take what is sent. */
  readonly clientMs: number;
}

export class H2ClientStream implements ClientStream {
  readonly #stream: ServerHttp2Stream;
  readonly #timer: LazyTimer;
  readonly #clientMs: number;
  #events: RequestEvents | null = null;
  #trailers: readonly Header[] | null = null;
  #requestTrailers: readonly Header[] | null = null;
  #isRequestDone = false;
  #isDone = false;
  /** What the client wants the stream to become. */
  switching: ProtocolSwitch | null = null;

  constructor({stream, clock, clientMs}: H2ClientStreamOptions) {
    this.#stream = stream;
    this.#clientMs = clientMs;
    this.#timer = new LazyTimer(clock, () => this.#events?.clientGone('timeout'));
    stream.on('error', () => {
      // Resets are the client's affair; 'close' follows.
    });
    stream.on('trailers', (_headers, _flags, ...raw: unknown[]) => {
      this.#requestTrailers = trailersOf(raw[0] ?? _headers);
    });
    stream.on('drain', () => {
      this.#timer.clear();
      this.#events?.clientDrained();
    });
    stream.on('wantTrailers', () => stream.sendTrailers(this.#trailers === null ? {} : toFields(this.#trailers.filter(([name]) => !hopByHop.has(name)))));
    stream.on('close', () => {
      this.#timer.stop();
      const events = this.#events;
      this.#events = null;
      if (!this.#isDone) events?.clientGone('closed');
    });
  }

  /** Who hears the request; its body waits for `resume`. */
  listen(events: RequestEvents): void {
    if (this.#isDone) return;
    this.#events = events;
  }

  #listenToBody(): void {
    const stream = this.#stream;
    stream.on('data', (chunk: Buffer) => {
      this.#timer.set(this.#clientMs);
      this.#events?.requestData(chunk);
    });
    stream.on('end', () => {
      this.#timer.clear();
      if (this.#isRequestDone) return;
      this.#isRequestDone = true;
      this.#events?.requestEnd(this.#requestTrailers);
    });
  }

  resume(): void {
    if (this.#isRequestDone) return;
    this.#timer.set(this.#clientMs);
    if (this.#stream.listenerCount('data') === 0) this.#listenToBody();
    this.#stream.resume();
  }

  pause(): void {
    this.#timer.clear();
    this.#stream.pause();
  }

  closeAfter(): void {
    // Other streams of the connection go on.
  }

  /** RFC 8441, section 5: a success would mean that the protocol is switched. */
  told(status: number): number {
    return this.switching !== null && status < 300 ? 502 : status;
  }

  informational(head: ResponseHead): void {
    if (this.#stream.destroyed || this.#stream.headersSent) return;
    this.#stream.additionalHeaders({':status': head.status, ...toFields(head.headers.filter(([name]) => !hopByHop.has(name)))});
  }

  head(head: ResponseHead, length: BodyLength, bodyless: boolean): number {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return 0;
    const fields = toFields(head.headers.filter(([name]) => !hopByHop.has(name)));
    if (bodyless) {
      const declared = head.headers.find(([name]) => name === 'content-length');
      if (declared !== undefined && head.status !== 204) fields['content-length'] = declared[1];
    } else if (length !== null) fields['content-length'] = String(length);
    stream.respond({':status': this.told(head.status), ...fields}, {endStream: bodyless || length === 0, waitForTrailers: length === null && !bodyless});
    let bytes = 0;
    for (const [name, value] of head.headers) bytes += name.length + value.length;
    return bytes;
  }

  flush(): void {
    // Node sends frames at the end of the turn.
  }

  write(chunk: Buffer): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return true;
    const isTaken = this.#stream.write(chunk);
    if (!isTaken) this.#timer.set(this.#clientMs);
    return isTaken;
  }

  end(trailers: readonly Header[] | null): void {
    this.#isDone = true;
    this.#events = null;
    this.#timer.stop();
    this.#trailers = trailers;
    const stream = this.#stream;
    if (!stream.writableEnded) stream.end();
    // RFC 9113, section 8.1: an answer before the end of the request asks for no more of it.
    if (!stream.readableEnded && !stream.endAfterHeaders) {
      stream.resume();
      if (!this.#isRequestDone) stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
    }
  }

  abort(): void {
    this.#isDone = true;
    this.#events = null;
    this.#timer.stop();
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  tunnel(head: ResponseHead): ClientTunnel | null {
    const {switching} = this;
    const stream = this.#stream;
    if (switching === null || head.status !== 101 || stream.destroyed) return null;
    if (switching.accept !== null && headerOf(head.headers, 'sec-websocket-accept') !== switching.accept) return null;
    this.#isDone = true;
    this.#events = null;
    this.#timer.stop();
    stream.respond({':status': 200, ...toFields(head.headers.filter(([name]) => !hopByHop.has(name) && name !== 'sec-websocket-accept'))});
    return {socket: tunnelStream(stream), head: Buffer.alloc(0), sentBytes: responseText(head, '', '').length};
  }

  vanish(): void {
    this.#isDone = true;
    this.#events = null;
    this.#timer.stop();
    this.#stream.session?.destroy();
  }
}

function trailersOf(raw: unknown): readonly Header[] | null {
  if (typeof raw !== 'object' || raw === null) return null;
  const pairs: Header[] = [];
  if (Array.isArray(raw)) for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([String(raw[at]), String(raw[at + 1])]);
  else for (const [name, value] of Object.entries(raw)) pairs.push([name, String(value)]);
  const fields = pairs.filter(([name]) => !name.startsWith(':') && !hopByHop.has(name));
  return fields.length === 0 ? null : fields;
}
