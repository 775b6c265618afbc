/** Writes HTTP/1 messages to a socket: one system call for a small message, chunks where the length is not known. */
import type {ByteStream} from '../streams/byte-stream.ts';
import type {BodyLength, Header, RequestHead, ResponseHead} from './message.ts';

/** Fields about one connection, which are made anew for the next one. */
export const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
  'http2-settings',
  'content-length',
]);

/** Up to here, copying into one buffer is cheaper than a vector of buffers. */
const maxJoinedBytes = 16_384;

function fieldLines(headers: readonly Header[]): string {
  let text = '';
  for (const header of headers) {
    if (hopByHop.has(header[0])) continue;
    text += `${header[0]}: ${header[1]}\r\n`;
  }
  return text;
}

/** Clients that can take trailers say so, and what a protocol switch needs is told to the server. */
function requestOptions(headers: readonly Header[], options: {readonly upgrade: boolean; readonly close: boolean; readonly old: boolean}): string {
  let text = '';
  const words: string[] = [];
  for (const [name, value] of headers) {
    if (name === 'te' && /\btrailers\b/i.test(value)) {
      text += 'te: trailers\r\n';
      words.push('te');
    } else if (name === 'upgrade' && options.upgrade) {
      text += `upgrade: ${value}\r\n`;
      words.push('upgrade');
    }
  }
  if (options.close) words.push('close');
  else if (options.old) words.push('keep-alive');
  return words.length === 0 ? text : `${text}connection: ${words.join(', ')}\r\n`;
}

/** @param length null: chunked; 0 without `Content-Length` when the method needs none */
export function requestText(head: RequestHead, length: BodyLength, options: {readonly upgrade: boolean; readonly close: boolean}): string {
  let framing = '';
  if (length === null) framing = 'transfer-encoding: chunked\r\n';
  else if (length > 0 || head.headers.some(([name]) => name === 'content-length')) framing = `content-length: ${length}\r\n`;
  // What HTTP/1.0 may leave out, such as Host, HTTP/1.1 must have.
  const old = head.version === '1.0';
  const {upgrade, close} = options;
  return `${head.method} ${head.uri} HTTP/${old ? '1.0' : '1.1'}\r\n${fieldLines(head.headers)}${framing}${requestOptions(head.headers, {upgrade, close, old})}\r\n`;
}

/** @param framing the line that tells how long the body is, or `''` */
export function responseText(head: ResponseHead, framing: string, connection: string): string {
  return `HTTP/1.1 ${head.status} ${head.reason}\r\n${fieldLines(head.headers)}${framing}${connection}\r\n`;
}

/** What an answer without a body says about the one that it would have. */
export function bodylessFraming(head: ResponseHead): string {
  if (head.status === 204 || head.status < 200) return '';
  let text = '';
  for (const [name, value] of head.headers) {
    if (name === 'content-length') text += `content-length: ${value}\r\n`;
    else if (name === 'transfer-encoding') text += 'transfer-encoding: chunked\r\n';
  }
  return text;
}

export class MessageWriter {
  readonly #socket: ByteStream;
  #head = '';
  #chunked = false;
  #isCorked = false;

  constructor(socket: ByteStream) {
    this.#socket = socket;
  }

  /** Starts a message. Its head goes with the first bytes of its body, or alone when `flush` comes first. */
  begin(head: string, chunked: boolean): void {
    this.#head = head;
    this.#chunked = chunked;
  }

  /** Sends what waits: a head for its body, chunks for the next ones. */
  flush(): void {
    if (this.#head !== '') this.#socket.write(this.#takeHead(), 'latin1');
    this.#uncork();
  }

  /** Bytes that this message took of the connection so far are told by the socket. False: wait for 'drain'. */
  write(chunk: Buffer): boolean {
    if (!this.#chunked) return this.#send(chunk);
    const size = `${this.#takeHead()}${chunk.length.toString(16)}\r\n`;
    const total = size.length + chunk.length + 2;
    if (total <= maxJoinedBytes) {
      const joined = Buffer.allocUnsafe(total);
      joined.write(size, 0, 'latin1');
      chunk.copy(joined, size.length);
      joined.write('\r\n', total - 2, 'latin1');
      this.#cork();
      return this.#socket.write(joined);
    }
    this.#cork();
    this.#socket.write(size, 'latin1');
    this.#socket.write(chunk);
    return this.#socket.write('\r\n', 'latin1');
  }

  end(trailers: readonly Header[] | null): void {
    if (this.#chunked) {
      const text = `${this.#takeHead()}0\r\n${trailers === null ? '' : fieldLines(trailers)}\r\n`;
      this.#socket.write(text, 'latin1');
      this.#chunked = false;
      this.#uncork();
    } else if (this.#head !== '') this.#socket.write(this.#takeHead(), 'latin1');
  }

  #send(chunk: Buffer): boolean {
    if (this.#head === '') return this.#socket.write(chunk);
    const head = this.#takeHead();
    const total = head.length + chunk.length;
    if (total <= maxJoinedBytes) {
      const joined = Buffer.allocUnsafe(total);
      joined.write(head, 0, 'latin1');
      chunk.copy(joined, head.length);
      return this.#socket.write(joined);
    }
    this.#cork();
    this.#socket.write(head, 'latin1');
    return this.#socket.write(chunk);
  }

  #takeHead(): string {
    const head = this.#head;
    this.#head = '';
    return head;
  }

  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(this.#uncork);
  }

  readonly #uncork = (): void => {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  };
}
