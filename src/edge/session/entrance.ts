/**
 * The way of a connection into a frontend: `tcp-request connection` rules, the PROXY header, TLS, `tcp-request session` rules. What is refused
 * on it wakes nothing.
 */
import type {Bind, FrontendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorCode, errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {BoundAddress} from '../addresses.ts';
import type {Gate} from '../admission.ts';
import {type Counters, countConnection, countSession, newCounters} from '../counters.ts';
import type {CountedListener} from '../frontend.ts';
import type {ListeningSockets} from '../listening-sockets.ts';
import {receiveProxyHeader} from '../proxy-protocol/receive-proxy-header.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {nodeSocket} from '../streams/node-socket.ts';
import {openTcpListener, type TcpListener} from '../tcp-listener.ts';
import {openTlsAcceptor, type TlsAcceptor, type TlsAcceptorOptions} from '../tls/accept-tls.ts';
import {SocketFacts} from './connection-facts.ts';
import {type ConnectionRule, runRules, type Verdict} from './connection-rules.ts';
import {failureRecord, handshakeFailure} from './handshake-failure.ts';
import {refuseSocket} from './refuse-socket.ts';
import {type ContextParts, SessionContext} from './session-context.ts';
import type {SessionLines} from './session-lines.ts';

/** A connection whose protocol begins. Nobody has read from the socket, which may be paused; its errors are the receiver's from now on. */
export interface Entered {
  readonly socket: ByteStream;
  readonly facts: SocketFacts;
  /** Owned by the receiver. */
  readonly context: SessionContext;
  /** Clock.monotonicMs of accept, and how long PROXY header and TLS took. */
  readonly acceptedMs: number;
  readonly handshakeMs: number;
  readonly bind: Bind;
}

export interface EntranceOptions {
  readonly config: FrontendConfig;
  readonly bind: Bind;
  readonly connectionRules: readonly ConnectionRule[];
  readonly sessionRules: readonly ConnectionRule[];
  readonly ipv6Only: boolean;
  readonly sockets?: ListeningSockets | undefined;
  readonly acceptsPerTurn?: number | undefined;
  readonly tls: TlsAcceptorOptions;
  readonly contextParts: ContextParts;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  /** Of sessions. Connections that become none have lines of their own. */
  readonly lines: SessionLines;
  readonly enter: (entered: Entered) => void;
}

export interface Entrance extends Gate {
  readonly address: BoundAddress;
  /** Null: the bind is not counted for itself. */
  readonly counted: CountedListener | null;
}

/** A client that is let in must be done with what comes before its protocol in this time, or sooner where `timeout client` is shorter. */
const handshakeTimeoutMs = 30_000;

/** @throws CodedError ERR_BIND, ERR_CA_FILE */
export async function openEntrance(options: EntranceOptions): Promise<Entrance> {
  const {config, bind, log} = options;
  const acceptor = bind.tls === null ? null : await openTlsAcceptor(bind.tls, options.tls);
  const listenerCounters = config.socketStats ? newCounters() : null;
  const way = new Way(options, acceptor, listenerCounters);
  const listener: TcpListener = await openTcpListener({
    frontend: config.name,
    bind,
    ipv6Only: options.ipv6Only,
    sockets: options.sockets,
    acceptsPerTurn: options.acceptsPerTurn,
    onConnection: (socket) => way.accept(socket),
    onError: (error) => log.error({frontend: config.name, reason: errorMessage(error)}, 'listener'),
  });
  return {
    address: {frontend: config.name, protocol: 'tcp', host: listener.host, port: listener.port},
    counted: listenerCounters === null ? null : countedListener(options, listener, listenerCounters),
    pause: () => listener.pause(),
    refuse: () => listener.refuse(),
    resume: () => listener.resume(),
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}

function countedListener({bind, config}: EntranceOptions, {host, port}: TcpListener, counters: Counters): CountedListener {
  const number = config.binds.indexOf(bind) + 1;
  const address = bind.unix === null ? {host, port} : 'unix';
  return {name: bind.name ?? `sock-${number}`, number, address, maxconn: bind.maxconn ?? 0, counters};
}

class Way {
  readonly #options: EntranceOptions;
  readonly #acceptor: TlsAcceptor | null;
  readonly #timeoutMs: number;
  /** Of this bind; null: it is not counted for itself. */
  readonly #listener: Counters | null;

  constructor(options: EntranceOptions, acceptor: TlsAcceptor | null, listener: Counters | null) {
    this.#options = options;
    this.#listener = listener;
    this.#acceptor = acceptor;
    this.#timeoutMs = Math.min(options.config.clientTimeoutMs, handshakeTimeoutMs);
  }

  accept(socket: ByteStream): void {
    const {bind, clock, config, connectionRules, sessionRules, contextParts, counters, enter} = this.#options;
    const acceptedMs = clock.monotonicMs();
    countConnection(counters, acceptedMs);
    const facts = new SocketFacts(socket, config, clock.nowMs());
    if (this.#listener !== null) {
      facts.listener = this.#listener;
      countOnListener(this.#listener, socket, acceptedMs);
    }
    if (config.logs.length > 0) facts.keepAddresses();
    const context = new SessionContext(facts, contextParts);
    const verdict = connectionRules.length === 0 ? 'accept' : judge(connectionRules, context);
    const expectsHeader = bind.acceptProxy || verdict === 'expect-proxy';
    if (verdict === 'accept' && !expectsHeader && this.#acceptor === null && sessionRules.length === 0) {
      if (context.isTracked) context.tracking.sessionAccepted();
      this.#countBytes(socket, 0);
      enter({socket, facts, context, acceptedMs, handshakeMs: 0, bind});
      return;
    }
    if (verdict === 'reject' || verdict === 'silent-drop') {
      counters.deniedConnections++;
      if (this.#listener !== null) this.#listener.deniedConnections++;
      refuse(socket, context, verdict === 'reject' ? 'reset' : verdict);
      return;
    }
    void this.#shakeHands(socket, {facts, context, acceptedMs, expectsHeader});
  }

  async #shakeHands(raw: ByteStream, way: {facts: SocketFacts; context: SessionContext; acceptedMs: number; expectsHeader: boolean}): Promise<void> {
    const {facts, context, acceptedMs, expectsHeader} = way;
    const {bind, clock, sessionRules, enter, counters} = this.#options;
    // Whatever happens to the connection meanwhile is found by who waits for it.
    const ignore = (): void => undefined;
    raw.on('error', ignore);
    try {
      let headerBytes = 0;
      if (expectsHeader) {
        const {header, sizeBytes} = await receiveProxyHeader(raw, {timeoutMs: this.#timeoutMs});
        facts.proxied(header);
        headerBytes = sizeBytes;
      }
      const socket = this.#acceptor === null ? raw : await this.#secure(this.#acceptor, raw, facts);
      raw.off('error', ignore);
      const verdict = sessionRules.length === 0 ? 'accept' : judge(sessionRules, context);
      if (verdict === 'reject' || verdict === 'silent-drop') {
        counters.deniedSessions++;
        if (this.#listener !== null) this.#listener.deniedSessions++;
        refuse(socket, context, verdict);
        return;
      }
      if (context.isTracked) context.tracking.sessionAccepted();
      this.#countBytes(socket, socket === raw ? headerBytes : 0);
      enter({socket, facts, context, acceptedMs, handshakeMs: clock.monotonicMs() - acceptedMs, bind});
    } catch (error) {
      this.#failed(error, {...way, bytesRead: raw.bytesRead});
      raw.destroy();
      context[Symbol.dispose]();
    }
  }

  /** @param headerBytes that came before what is counted */
  #countBytes(socket: ByteStream, headerBytes: number): void {
    const listener = this.#listener;
    if (listener === null) return;
    socket.once('close', () => {
      listener.bytesIn += socket.bytesRead - headerBytes;
      listener.bytesOut += socket.bytesWritten;
    });
  }

  #failed(error: unknown, way: {facts: SocketFacts; context: SessionContext; acceptedMs: number; bytesRead: number}): void {
    const {bind, clock, counters, log, config, lines} = this.#options;
    const {facts, context, acceptedMs, bytesRead} = way;
    counters.handshakeFailures++;
    log.debug({frontend: config.name, source: facts.source.host, reason: errorMessage(error), code: errorCode(error)}, 'connection refused');
    if (!lines.isWanted) return;
    const failure = handshakeFailure(error, {bytesRead, overTls: this.#acceptor !== null});
    facts.failure = failure;
    const elapsedMs = clock.monotonicMs() - acceptedMs;
    const common = {acceptedAtMs: facts.acceptedAtMs, elapsedMs, sessions: counters.sessions, failure};
    const record = failureRecord({...common, lineNumber: lines.nextNumber});
    lines.writeFailed(Object.assign(context, {record}), bind.name ?? String(config.binds.indexOf(bind) + 1));
  }

  async #secure(acceptor: TlsAcceptor, raw: ByteStream, facts: SocketFacts): Promise<ByteStream> {
    facts.keepAddresses();
    const accepted = await acceptor.accept(nodeSocket(raw), {timeoutMs: this.#timeoutMs});
    facts.tls = accepted.facts;
    const {counters} = this.#options;
    counters.tlsConnections++;
    counters.tlsConnectionsTotal++;
    accepted.socket.once('close', () => counters.tlsConnections--);
    return accepted.socket;
  }
}

/** Whatever becomes of it, as HAProxy counts sessions of a socket. */
function countOnListener(listener: Counters, socket: ByteStream, nowMs: number): void {
  listener.sessions++;
  countSession(listener, nowMs);
  socket.once('close', () => listener.sessions--);
}

function refuse(socket: ByteStream, context: SessionContext, how: Parameters<typeof refuseSocket>[1]): void {
  refuseSocket(socket, how);
  context[Symbol.dispose]();
}

/** What cannot be decided without bytes, of which there are none yet, does not hold. */
function judge(rules: readonly ConnectionRule[], context: SessionContext): Verdict {
  context.inspectionEnded = true;
  const verdict = runRules(rules, context);
  context.inspectionEnded = false;
  return verdict === 'undecided' ? 'accept' : verdict;
}
