/**
 * One connection for GETs by HTTP/1.1 (RFC 9112), one after the other, whose bodies the kernel puts where they are wanted. Node's client reads into new memory, copies that
 * into other new memory, and gives it to us to be copied once more: half of what the pager did in a cold wake (docs/performance/cold-wake.md).
 */
import {connect as connectTcp, type OnReadOpts, type Socket} from 'node:net';
import {connect as connectTls} from 'node:tls';

/** Longer ones are not understood. */
const headBytesMax = 16 * 1024;
const headEnd = '\r\n\r\n';
/** Who is between forgets connections that are silent for some minutes, and does not say so. */
const restMs = 60_000;

export interface Head {
  readonly status: number;
  /** By lower-case name; of one that comes more than once, all values, with a comma between them (RFC 9110, section 5.3). */
  readonly headers: ReadonlyMap<string, string>;
  /** Of the body. */
  readonly sizeBytes: number;
}

export interface Get {
  readonly url: URL;
  readonly range: string | undefined;
  readonly signal: AbortSignal;
  /** Where the body is put, of its size; undefined when it is not wanted. What it throws, the request rejects with. */
  readonly place: (head: Head) => Buffer | undefined;
  /** Told of each piece of the body. */
  readonly arrived: (count: number) => void;
}

interface Exchange extends Get {
  readonly resolve: (head: Head | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface Body {
  readonly head: Head;
  readonly into: Buffer;
  filled: number;
}

/** Nothing may be read from the memory that `place` gave, nor may it be used for anything else, before the request has settled. */
export class GetConnection {
  readonly #socket: Socket;
  readonly #start = Buffer.allocUnsafeSlow(headBytesMax);
  #startBytes = 0;
  #exchange: Exchange | undefined;
  #body: Body | undefined;

  constructor(
    {protocol, hostname, port}: URL,
    {connectTimeoutMs, onClose}: {readonly connectTimeoutMs: number; readonly onClose: (connection: GetConnection) => void},
  ) {
    const onread: OnReadOpts = {buffer: () => this.#space(), callback: (count) => this.#read(count)};
    const isTls = protocol === 'https:';
    // Of an IPv6 address, URLs have the brackets too.
    const host = hostname.replaceAll(/^\[|\]$/g, '');
    const options = {host, port: Number(port) || (isTls ? 443 : 80), onread, noDelay: true, keepAlive: true};
    this.#socket = isTls ? connectTls({...options, ...(/^[\d.]+$|:/.test(host) ? {} : {servername: host})}) : connectTcp(options);
    const late = setTimeout(() => this.#fail(timeout(connectTimeoutMs)), connectTimeoutMs);
    const settled = (): void => clearTimeout(late);
    this.#socket.once(isTls ? 'secureConnect' : 'connect', settled);
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(closed()));
    // Only set while it rests.
    this.#socket.on('timeout', () => this.close());
    this.#socket.on('close', () => {
      settled();
      this.#fail(closed());
      onClose(this);
    });
  }

  /** Whether another request may follow. */
  get isUsable(): boolean {
    return this.#exchange === undefined && !this.#socket.destroyed;
  }

  /** To be called when the one before has resolved. @returns undefined when this is no answer that is understood here, or one that is not wanted */
  get(get: Get): Promise<Head | undefined> {
    return new Promise((resolve, reject) => {
      const {url, range, signal} = get;
      const aborted = (): void => this.#fail(signal.reason);
      const settle = (): void => signal.removeEventListener('abort', aborted);
      this.#exchange = {
        ...get,
        resolve: (head) => {
          settle();
          resolve(head);
        },
        reject: (error) => {
          settle();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      };
      if (signal.aborted) {
        aborted();
        return;
      }
      signal.addEventListener('abort', aborted, {once: true});
      this.#socket.ref().setTimeout(0);
      this.#socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n${range === undefined ? '' : `Range: ${range}\r\n`}\r\n`);
    });
  }

  /** Nothing is wanted of it at the moment: it does not keep the process alive, and is closed after a while. */
  rest(): void {
    this.#socket.unref().setTimeout(restMs);
  }

  close(): void {
    this.#fail(closed());
  }

  /** Where the kernel is to put what comes next. */
  #space(): Buffer {
    if (this.#body !== undefined) return this.#body.into.subarray(this.#body.filled);
    return this.#start.subarray(this.#startBytes);
  }

  /** @returns true: reading goes on */
  #read(count: number): boolean {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      // Nobody has asked for anything.
      this.#socket.destroy();
      return true;
    }
    try {
      if (this.#body === undefined) this.#readStart(exchange, count);
      else this.#readBody(exchange, this.#body, count);
    } catch (error) {
      this.#fail(error);
    }
    return true;
  }

  #readStart(exchange: Exchange, count: number): void {
    this.#startBytes += count;
    const length = this.#start.subarray(0, this.#startBytes).indexOf(headEnd, 0, 'latin1');
    if (length < 0) {
      if (this.#startBytes === headBytesMax) this.#giveUp(exchange);
      return;
    }
    const head = parseHead(this.#start.toString('latin1', 0, length));
    const into = head === undefined ? undefined : exchange.place(head);
    if (head === undefined || into === undefined) {
      this.#giveUp(exchange);
      return;
    }
    const rest = this.#start.subarray(length + headEnd.length, this.#startBytes);
    this.#startBytes = 0;
    this.#body = {head, into, filled: 0};
    if (rest.length > head.sizeBytes)
      throw Object.assign(new Error(`bytes came after the end of the answer: ${rest.length - head.sizeBytes}`), {code: 'EPROTO'});
    this.#readBody(exchange, this.#body, rest.copy(into));
  }

  #readBody(exchange: Exchange, body: Body, count: number): void {
    body.filled += count;
    if (count > 0) exchange.arrived(count);
    if (body.filled < body.head.sizeBytes) return;
    this.#body = undefined;
    this.#exchange = undefined;
    if (/\bclose\b/i.test(body.head.headers.get('connection') ?? '')) this.#socket.destroy();
    exchange.resolve(body.head);
  }

  #giveUp(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#socket.destroy();
    exchange.resolve(undefined);
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    // Whatever comes now must not go where the body was wanted.
    this.#body = undefined;
    this.#socket.destroy();
    exchange?.reject(error);
  }
}

/** Undefined for one that does not say how long its body is, or is not of HTTP/1.1. */
function parseHead(text: string): Head | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 ([2-5]\d\d)(?: |$)/.exec(first)?.[1];
  const headers = new Map<string, string>();
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    const before = headers.get(name);
    const value = line.slice(line.indexOf(':') + 1).trim();
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const length = /^\d{1,15}$/.exec(headers.get('content-length') ?? '')?.[0];
  if (status === undefined || length === undefined || headers.has('transfer-encoding')) return undefined;
  return {status: Number(status), headers, sizeBytes: Number(length)};
}

function closed(): Error {
  return Object.assign(new Error('the server closed the connection'), {code: 'ECONNRESET'});
}

function timeout(timeoutMs: number): Error {
  return Object.assign(new Error(`no connection within ${timeoutMs} ms`), {name: 'TimeoutError'});
}
