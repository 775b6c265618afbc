/** Takes the body of an HTTP/1 message out of a stream of bytes (RFC 9112, section 7.1), as strictly as the head is read. */
import type {Framing} from './h1-framing.ts';
import {HeadError, parseFields} from './h1-head.ts';
import type {Header} from './message.ts';

export interface BodySink {
  bodyData(chunk: Buffer): void;
  /** Called once, in the middle of `decode`. */
  bodyEnd(trailers: readonly Header[] | null): void;
}

const maxSizeLineBytes = 256;
/** Of all extensions of one body: they carry nothing, so more is an attack. */
const maxExtensionBytes = 16_384;
const maxTrailerBytes = 8192;
const lf = 10;
const cr = 13;
const sizeLine =
  /^([0-9a-fA-F]{1,12})((?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"))?)*)$/;
/** What frames or routes a message must be known before its body. */
const notInTrailers = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'trailer',
  'te',
  'upgrade',
  'keep-alive',
  'proxy-connection',
  'authorization',
  'cookie',
  'set-cookie',
  'content-encoding',
  'content-type',
  'content-range',
]);

type State = 'size' | 'data' | 'data-end' | 'trailers' | 'length' | 'close' | 'done';

export class BodyDecoder {
  #state: State;
  #left: number;
  /** Of a line that is not complete. */
  #rest: Buffer | null = null;
  #extensionBytes = 0;
  #lineAt = 0;
  readonly #sink: BodySink;

  constructor(framing: Framing, sink: BodySink) {
    this.#state = framing.chunked ? 'size' : framing.length === null ? 'close' : framing.length === 0 ? 'done' : 'length';
    this.#left = framing.length ?? 0;
    this.#sink = sink;
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Where the line that was read last begins in the bytes that `decode` was given last. */
  get lineAt(): number {
    return this.#lineAt;
  }

  /**
   * Hands over what there is of the body from `from` on, and returns where it stopped: at the end of the bytes, or of the body.
   * @throws HeadError
   */
  decode(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && this.#state !== 'done') {
      switch (this.#state) {
        case 'length':
        case 'data':
          at = this.#data(bytes, at);
          break;
        case 'close':
          this.#sink.bodyData(at === 0 ? bytes : bytes.subarray(at));
          at = bytes.length;
          break;
        case 'size':
        case 'data-end':
        case 'trailers':
          at = this.#line(bytes, at);
          break;
        default:
          return this.#state satisfies never;
      }
    }
    return at;
  }

  /** The connection ended. Returns whether the body is whole. */
  finish(): boolean {
    if (this.#state === 'close') {
      this.#state = 'done';
      this.#sink.bodyEnd(null);
    }
    return this.#state === 'done';
  }

  #data(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    const isLast = this.#left === 0;
    const byLength = this.#state === 'length';
    if (isLast) this.#state = byLength ? 'done' : 'data-end';
    this.#sink.bodyData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (isLast && byLength) this.#sink.bodyEnd(null);
    return end;
  }

  #line(bytes: Buffer, at: number): number {
    this.#lineAt = at;
    const end = bytes.indexOf(lf, at);
    const limit = this.#state === 'trailers' ? maxTrailerBytes : maxSizeLineBytes;
    const before = this.#rest;
    if ((before?.length ?? 0) + (end === -1 ? bytes.length : end) - at > limit) throw new HeadError('a line of a chunked body is too long');
    const piece = bytes.subarray(at, end === -1 ? bytes.length : end + 1);
    const line = before === null ? piece : Buffer.concat([before, piece]);
    if (end === -1) {
      // The bytes may be in a buffer that is used again.
      this.#rest = line === piece ? Buffer.from(piece) : line;
      return bytes.length;
    }
    if (line.length < 2 || line[line.length - 2] !== cr) throw new HeadError('a line ends in LF without CR');
    this.#rest = null;
    if (this.#state === 'trailers') this.#trailerLine(line);
    else if (this.#state === 'size') this.#sizeLine(line.toString('latin1', 0, line.length - 2));
    else if (line.length === 2) this.#state = 'size';
    else throw new HeadError('a chunk is longer than its size');
    return end + 1;
  }

  #sizeLine(text: string): void {
    const match = sizeLine.exec(text);
    if (match === null) throw new HeadError('an invalid chunk size');
    this.#extensionBytes += match[2]?.length ?? 0;
    if (this.#extensionBytes > maxExtensionBytes) throw new HeadError('too many chunk extensions');
    this.#left = Number.parseInt(match[1] ?? '', 16);
    this.#state = this.#left === 0 ? 'trailers' : 'data';
  }

  /** Lines of trailers are kept until the empty one. */
  #trailerLine(line: Buffer): void {
    const text = line.toString('latin1');
    const isEnd = text === '\r\n' || text.endsWith('\r\n\r\n');
    if (!isEnd) {
      this.#rest = Buffer.from(line);
      return;
    }
    const lines = text.slice(0, -2);
    if (/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/.test(lines)) throw new HeadError('a control character');
    const trailers = parseFields(lines, 0).filter(([name]) => !notInTrailers.has(name));
    this.#state = 'done';
    this.#sink.bodyEnd(trailers.length === 0 ? null : trailers);
  }
}
