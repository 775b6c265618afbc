/** What passes between the two sides of an exchange, whatever version of HTTP each of them speaks. Names of fields are in lower case, as HAProxy sends them. */
import type {ByteStream} from '../streams/byte-stream.ts';

export type Header = readonly [name: string, value: string];
export type HttpVersion = '1.0' | '1.1' | '2.0';

export interface RequestHead {
  method: string;
  /** As in the request line: a path with its query, `http://host/path`, `host:port`, or `*`. */
  uri: string;
  readonly version: HttpVersion;
  headers: Header[];
}

export interface ResponseHead {
  status: number;
  reason: string;
  readonly version: HttpVersion;
  headers: Header[];
  /** As much of the body as rules have waited for. Empty: there is none. */
  body?: Uint8Array;
}

/** Bytes of a body: a number when it is known beforehand, 0 when there is none, null when only the end of the body tells. */
export type BodyLength = number | null;

/** The client's half of an exchange: where its request came from, and its answer goes. After `end` or `abort` nothing may be called. */
export interface ClientStream {
  /** Lets the request's body flow; it waits until this is called. */
  resume(): void;
  pause(): void;
  /** Nothing more will be read of this request, and the connection ends with its answer. Before `head`. */
  closeAfter(): void;
  /** What the client is told in the place of that status, where it would take it for something else. */
  told(status: number): number;
  /** An answer before the answer: 100, 103, ... */
  informational(head: ResponseHead): void;
  /**
   * @param length of what follows with `write`
   * @param bodyless there is no body, whatever the fields say: answers to HEAD, 204, 304
   * @returns how many bytes the head has
   */
  head(head: ResponseHead, length: BodyLength, bodyless: boolean): number;
  /** No more of the body will follow in this turn of the event loop: what waits for it is sent. */
  flush(): void;
  /** False: wait for `clientDrained`. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly Header[] | null): void;
  /** Ends it so that the client can tell that the answer is incomplete. */
  abort(): void;
  /** Sends a head after which the connection is a tunnel, and gives it away. Null: it is not what the client has asked for. */
  tunnel(head: ResponseHead): ClientTunnel | null;
  /** Closes without a word, as `refuseSocket` does. */
  vanish(how: 'reject' | 'silent-drop'): void;
}

/** A connection that is no longer HTTP, and what was read from it already. */
export interface Tunnel {
  readonly socket: ByteStream;
  readonly head: Buffer;
}

export interface ClientTunnel extends Tunnel {
  /** How long the head was that the client got. */
  readonly sentBytes: number;
}

/** What the client's side tells. */
export interface RequestEvents {
  requestData(chunk: Buffer): void;
  requestEnd(trailers: readonly Header[] | null): void;
  /** The body is malformed; the client cannot be spoken to for longer than an answer. */
  requestMalformed(reason: string): void;
  clientDrained(): void;
  /** The client's connection or stream is gone; with `halfClosed` it may still read. */
  clientGone(how: 'closed' | 'half-closed' | 'timeout'): void;
}

/** The server's half of an exchange. */
export interface ServerStream {
  /** True when the server answered requests on this connection before. */
  readonly reused: boolean;
  /**
   * @param length of the body that follows with `write`
   * @param options `upgrade`: the fields of a protocol switch go along; `close`: the connection is used no further
   */
  head(head: RequestHead, length: BodyLength, options: {readonly upgrade: boolean; readonly close: boolean}): void;
  /** No more of the body will follow in this turn of the event loop: what waits for it is sent. */
  flush(): void;
  /** False: wait for `serverDrained`. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly Header[] | null): void;
  resume(): void;
  pause(): void;
  /** Gives the request up: an HTTP/1 connection is closed, an HTTP/2 stream reset. */
  abort(): void;
}

/** Why there is no whole answer. */
export interface ServerFailure {
  /** Nothing came, not HTTP came, the answer broke off, or it took too long. */
  readonly kind: 'empty' | 'junk' | 'cut' | 'timeout';
  /** The connection broke; without it, the server has closed it. */
  readonly isBroken?: true;
  readonly reason: string;
  /** What came that could not be read, and where it is wrong. */
  readonly unread?: {readonly bytes: Buffer; readonly position: number};
}

/** What the server's side tells. */
export interface ResponseEvents {
  responseInformational(head: ResponseHead): void;
  responseHead(head: ResponseHead, length: BodyLength): void;
  responseData(chunk: Buffer): void;
  /** There is no more at this moment. */
  responsePaused(): void;
  responseEnd(trailers: readonly Header[] | null): void;
  responseFailed(failure: ServerFailure): void;
  serverDrained(): void;
  /** The server switched protocols. */
  responseTunnel(head: ResponseHead, tunnel: Tunnel): void;
}

export function headerOf(headers: readonly Header[], name: string): string | null {
  for (const header of headers) if (header[0] === name) return header[1];
  return null;
}

export function withoutHeader(headers: readonly Header[], name: string): Header[] {
  return headers.filter((header) => header[0] !== name);
}

const unsafe = /[^\t\x20-\x7e\x80-\xff]/;

/** A text as a string of bytes, in UTF-8 if it is not one yet. */
export function byteString(text: string): string {
  return /[^\0-\xff]/.test(text) ? Buffer.from(text).toString('latin1') : text;
}

/** A text that rules made of what clients sent, as the value of a field: no line ends or other controls, and bytes only. */
export function fieldValue(text: string): string {
  return unsafe.test(text) ? byteString(text).replace(/[^\t\x20-\x7e\x80-\xff]/g, '') : text;
}
