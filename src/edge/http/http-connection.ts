/** A connection of a client to an HTTP frontend: HTTP/1 or HTTP/2, as ALPN, the bind, or its first bytes say. */
import {constants, createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream} from 'node:http2';
import type {Bind} from '../../config/proxy-value.ts';
import {errorMessage} from '../../core/errors.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {nodeSocket} from '../streams/node-socket.ts';
import {Exchange} from './exchange.ts';
import {H1ClientConnection} from './h1-client-connection.ts';
import {HeadError} from './h1-head.ts';
import {responseText} from './h1-writer.ts';
import {H2ClientStream} from './h2-client-stream.ts';
import {h2Request} from './h2-request.ts';
import type {HttpParts} from './http-parts.ts';
import type {BrokenRequest, IncomingRequest} from './incoming-request.ts';
import {LazyTimer} from './lazy-timer.ts';
import type {ClientStream} from './message.ts';
import type {UnreadMessage} from './message-captures.ts';
import {errorPage} from './proxies.ts';
import {brokenRequestRecord} from './session-record.ts';
import {type ClientSession, Transaction, type TransactionParts} from './transaction.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const nothing = Buffer.alloc(0);
/** As HAProxy's `tune.h2.max-concurrent-streams`, and its limit on heads; WebSockets are possible. */
const h2Settings = {maxConcurrentStreams: 100, maxHeaderListSize: 16_384, enablePush: false, enableConnectProtocol: true};

/** Of what has become no request. */
const terminations = {malformed: 'PR--', late: 'cR--', left: 'CR--'} as const satisfies Record<BrokenRequest['cause'], string>;

export interface HttpConnectionOptions {
  readonly socket: ByteStream;
  readonly session: ClientSession;
  readonly bind: Pick<Bind, 'proto'>;
  readonly parts: HttpParts;
}

export interface HttpConnection {
  /** Requests are being answered. */
  readonly isBusy: boolean;
  readonly lastActivityMs: number;
  /** Closes when its requests are answered. */
  finish(): void;
  cut(): void;
  /** For an operator: its requests end as those of a server that must have no sessions any more. */
  shutDown(): void;
}

interface Timeouts {
  readonly requestMs: number;
  readonly keepAliveMs: number;
  readonly clientMs: number;
}

/** HAProxy's fall-backs: `http-keep-alive` is `http-request`, and that is `client`. */
function timeoutsOf({frontend}: HttpParts): Timeouts {
  const {clientTimeoutMs, httpRequestTimeoutMs, keepAliveTimeoutMs} = frontend.config;
  const requestMs = httpRequestTimeoutMs ?? clientTimeoutMs;
  return {requestMs, keepAliveMs: keepAliveTimeoutMs ?? requestMs, clientMs: clientTimeoutMs};
}

class Connection implements HttpConnection {
  readonly #options: HttpConnectionOptions;
  readonly #timeouts: Timeouts;
  readonly #transactionParts: TransactionParts;
  #h1: H1ClientConnection | null = null;
  #h2: ServerHttp2Session | null = null;
  #timer: LazyTimer | null = null;
  readonly #exchanges = new Set<Exchange>();
  #hasAsked = false;
  #isFinishing = false;
  lastActivityMs: number;

  constructor(options: HttpConnectionOptions) {
    this.#options = options;
    this.#timeouts = timeoutsOf(options.parts);
    this.#transactionParts = {frontend: options.parts.frontend, session: options.session};
    this.lastActivityMs = options.session.acceptedMs;
  }

  start(): void {
    const {socket, bind, session} = this.#options;
    const alpn = session.facts.tls?.alpn ?? null;
    if (bind.proto === 'h2' || alpn === 'h2') this.#startH2(nothing);
    else if (bind.proto === 'h1' || alpn !== null) this.#startH1(nothing);
    else this.#sniff(socket);
  }

  finish(): void {
    this.#isFinishing = true;
    this.#h1?.finish();
    if (this.#hasAsked) this.#h2?.close();
  }

  get isBusy(): boolean {
    return this.#exchanges.size > 0;
  }

  shutDown(): void {
    for (const exchange of [...this.#exchanges]) exchange.cut('K');
    this.finish();
    if (!this.#hasAsked) this.#options.socket.destroySoon();
  }

  cut(): void {
    this.#h2?.destroy();
    this.#options.socket.destroy();
  }

  /** Reads until it is clear whether the first bytes are HTTP/2's preface. */
  #sniff(socket: ByteStream): void {
    let bytes: Buffer = nothing;
    const stop = (): void => {
      this.#timer?.stop();
      this.#timer = null;
      socket.off('data', look);
      socket.off('end', left);
      socket.off('error', left);
    };
    const left = (): void => {
      stop();
      this.#startH1(bytes).ended();
    };
    const look = (chunk: Buffer): void => {
      if (bytes.length === 0) this.#timer?.set(this.#timeouts.requestMs);
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const compared = Math.min(bytes.length, preface.length);
      if (bytes.compare(preface, 0, compared, 0, compared) !== 0) {
        stop();
        this.#startH1(bytes);
      } else if (compared === preface.length) {
        stop();
        this.#startH2(bytes);
      }
    };
    socket.on('data', look);
    socket.resume();
    socket.on('end', left);
    socket.on('error', left);
    // A client that says nothing is refused as one that says too little.
    this.#timer = new LazyTimer(this.#options.parts.clock, () => {
      stop();
      this.#startH1(bytes).expired();
    });
    this.#timer.set(this.#timeouts.requestMs);
    socket.once('close', () => this.#timer?.stop());
  }

  #startH1(early: Buffer): H1ClientConnection {
    const {socket, session, parts} = this.#options;
    const connection = new H1ClientConnection(
      {
        socket,
        clock: parts.clock,
        acceptedMs: session.acceptedMs,
        timeouts: this.#timeouts,
        isFinishing: this.#isFinishing,
        begin: (stream, incoming) => this.#begin(stream, incoming),
        refuse: (broken) => this.#refuse(broken),
        unread: (bytes, position, reason) => this.#unread({bytes, position, reason}),
      },
      early,
    );
    this.#h1 = connection;
    return connection;
  }

  #begin(stream: ClientStream, incoming: IncomingRequest): Exchange {
    const {parts} = this.#options;
    const nowMs = parts.clock.monotonicMs();
    this.lastActivityMs = nowMs;
    this.#hasAsked = true;
    if (this.#isFinishing) this.#h2?.close();
    const exchange = new Exchange({parts, client: stream, transaction: new Transaction(this.#transactionParts, incoming, nowMs), over: this.#over});
    this.#exchanges.add(exchange);
    return exchange.start();
  }

  readonly #over = (exchange: Exchange): void => {
    this.#exchanges.delete(exchange);
    this.lastActivityMs = this.#options.parts.clock.monotonicMs();
  };

  #unread(what: Pick<UnreadMessage, 'bytes' | 'position' | 'reason'>): void {
    const {parts, session} = this.#options;
    const source = session.facts.source;
    parts.captures.keep('request', {...what, source, frontend: parts.frontend.config.name, backend: null, server: null}, parts.clock.nowMs());
  }

  /** A whole answer for what is not HTTP, came too slowly, or not at all. */
  #refuse({status, cause, reason, idleSinceMs, firstByteMs, bytes}: BrokenRequest): Buffer | null {
    const {parts, session} = this.#options;
    const {frontend, clock} = parts;
    if (cause === 'late') parts.counters.timeouts++;
    if (bytes.length === 0 && frontend.config.ignoreProbes) return null;
    const page = errorPage(status, {frontend, backend: null}, session.context);
    const head = responseText(
      {status: page.status, reason: page.reason, version: '1.1', headers: [...page.headers]},
      `content-length: ${page.body.length}\r\n`,
      'connection: close\r\n',
    );
    parts.finished(
      brokenRequestRecord({
        session,
        idleSinceMs,
        firstByteMs,
        nowMs: clock.monotonicMs(),
        wallMs: clock.nowMs(),
        status: page.status,
        // As in HAProxy, whose answers to what has become no request count nowhere.
        bytes: {in: bytes.length, out: 0},
        termination: terminations[cause],
        reason,
      }),
      session.context,
    );
    return page.isSilent === true ? null : Buffer.concat([Buffer.from(head, 'latin1'), page.body]);
  }

  #startH2(early: Buffer): void {
    const socket = nodeSocket(this.#options.socket);
    // What is unshifted must still be there when the session looks for it.
    socket.pause();
    if (early.length > 0) socket.unshift(early);
    const server = h2Server();
    server.once('session', (session) => this.#takeSession(session));
    // Makes a session at once.
    server.emit('connection', socket);
  }

  #takeSession(session: ServerHttp2Session): void {
    const {parts} = this.#options;
    this.#h2 = session;
    const timer = new LazyTimer(parts.clock, () => session.close());
    this.#timer = timer;
    timer.set(this.#timeouts.requestMs);
    let index = 0;
    session.on('error', () => {
      // The streams are told; 'close' follows.
    });
    session.on('close', () => timer.stop());
    session.on('stream', (stream: ServerHttp2Stream, _headers: unknown, flags: number, rawHeaders: readonly string[]) => {
      timer.clear();
      stream.once('close', () => {
        if (!this.isBusy) timer.set(this.#timeouts.keepAliveMs);
      });
      this.#stream(stream, {endsHere: (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0, raw: rawHeaders, index: index++});
    });
  }

  #stream(stream: ServerHttp2Stream, {endsHere, raw, index}: {readonly endsHere: boolean; readonly raw: readonly string[]; readonly index: number}): void {
    const {parts, session} = this.#options;
    const nowMs = parts.clock.monotonicMs();
    const client = new H2ClientStream({stream, clock: parts.clock, clientMs: this.#timeouts.clientMs});
    try {
      const {head, length, switching} = h2Request(raw, endsHere);
      client.switching = switching;
      const headBytes = raw.reduce((bytes, text) => bytes + text.length, 0);
      const exchange = this.#begin(client, {head, length, index, idleSinceMs: index === 0 ? session.acceptedMs : nowMs, firstByteMs: nowMs, headBytes});
      client.listen(exchange);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const page = errorPage(error.status, {frontend: parts.frontend, backend: null}, session.context);
      parts.finished(
        brokenRequestRecord({
          session,
          idleSinceMs: session.acceptedMs,
          firstByteMs: nowMs,
          nowMs,
          wallMs: parts.clock.nowMs(),
          status: page.status,
          bytes: {in: 0, out: page.body.length},
          termination: 'PR--',
          reason: errorMessage(error),
        }),
        session.context,
      );
      client.head({status: page.status, reason: '', version: '2.0', headers: [...page.headers]}, page.body.length, false);
      client.write(page.body);
      client.end(null);
    }
  }
}

let sharedServer: Http2Server | null = null;

/** Never listens: it makes sessions of sockets. Its limits stop floods of resets; nghttp2 has others of its own. */
function h2Server(): Http2Server {
  sharedServer ??= createServer({settings: h2Settings, streamResetBurst: 200, streamResetRate: 50});
  return sharedServer;
}

export function openHttpConnection(options: HttpConnectionOptions): HttpConnection {
  const connection = new Connection(options);
  connection.start();
  return connection;
}
