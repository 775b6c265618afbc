/**
 * The sessions of a `mode udp` frontend: one per client address and port. Anybody can invent source addresses, so there are bounds per
 * frontend (`maxconn`) and per source address; where one is reached, the session that was silent for longest makes room.
 */
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, errorCode, errorMessage} from '../core/errors.ts';
import {ActivityList} from './activity-list.ts';
import {type Counters, countConnection, countSession} from './counters.ts';
import type {ReceivedDatagram} from './datagrams/received-datagram.ts';
import type {ReplyBatch} from './datagrams/reply-batch.ts';
import type {Frontend} from './frontend.ts';
import type {Poller} from './polling/poller.ts';
import type {Pool} from './pool/pool.ts';
import type {RefusalLog} from './refusal-log.ts';
import type {DatagramAddresses, DatagramProxyCodec, FirstDatagram} from './udp-proxy-header.ts';
import {type SessionOwner, UdpSession} from './udp-session.ts';

export interface UdpSessionTableOptions {
  readonly config: FrontendConfig;
  /** Asked once for each session; null: no rule has a backend for it, and the datagram is dropped. */
  readonly choosePool: (first: FirstDatagram) => Pool | null;
  /** For binds with `accept-proxy` and servers with `send-proxy-v2`; without it neither may be configured. */
  readonly proxyCodec?: DatagramProxyCodec;
  readonly clock: Clock;
  readonly refusals: RefusalLog;
  readonly counters: Counters;
  readonly poller: Poller;
}

/** What comes to one bound socket. */
export interface Receiver {
  /** @returns whether it belongs to a session of this frontend, which may be a new one */
  receive(datagram: ReceivedDatagram, replies: ReplyBatch): boolean;
}

/** The sessions of one bound socket, by client. */
type Sessions = Map<number | string, UdpSession>;

interface NewSession {
  readonly sessions: Sessions;
  readonly key: number | string;
  readonly datagram: ReceivedDatagram;
  readonly replies: ReplyBatch;
  readonly addresses: DatagramAddresses;
  readonly payload: Buffer;
  readonly receivedProxy: boolean;
}

/** Sessions of one source address; a resolver or a NAT in front of many clients needs some. */
const maxPerSource = 1024;

export class UdpSessionTable {
  /** Settles after `stop()`, when no session is left. */
  readonly drained: Promise<void>;
  readonly #options: UdpSessionTableOptions;
  readonly #bySocket: Sessions[] = [];
  /** Those that do not wait for a wake: nobody pushes out one that does. */
  readonly #established = new ActivityList<UdpSession>();
  readonly #perSource = new Map<string, number>();
  readonly #settleDrained: () => void;
  #stopped = false;
  #cancelSweep: (() => void) | null = null;
  /** Of all sessions so far: those of backends with a shorter `timeout server` end earlier. */
  #shortestTimeoutMs: number;

  constructor(options: UdpSessionTableOptions) {
    this.#options = options;
    this.#shortestTimeoutMs = options.config.clientTimeoutMs;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.drained = promise;
    this.#settleDrained = resolve;
  }

  /** For another bound socket. */
  addReceiver(acceptProxy: boolean): Receiver {
    const sessions: Sessions = new Map();
    this.#bySocket.push(sessions);
    const owner = this.#ownerOf(sessions);
    return {
      receive: (datagram, replies) => {
        // Nobody can be answered at port 0, which only forged datagrams come from.
        if (datagram.port === 0) return true;
        if (acceptProxy) return this.#receiveProxied(owner, sessions, datagram, replies);
        const {key} = datagram;
        let session = sessions.get(key) ?? null;
        if (session === null) {
          const payload = datagram.memory.subarray(0, datagram.length);
          session = this.#create(owner, {sessions, key, datagram, replies, addresses: datagram.addresses, payload, receivedProxy: false});
        }
        session?.take(datagram.memory, datagram.length);
        return session !== null;
      },
    };
  }

  /** One address of the load balancer in front may stand for many clients. */
  #receiveProxied(owner: SessionOwner, sessions: Sessions, datagram: ReceivedDatagram, replies: ReplyBatch): boolean {
    const whole = datagram.memory.subarray(0, datagram.length);
    const header = this.#options.proxyCodec?.read(whole) ?? null;
    if (header === null) {
      this.#options.counters.datagramsDropped++;
      return true;
    }
    const payload = whole.subarray(header.headerBytes);
    const client = header.addresses?.source;
    const key = `${datagram.key} ${client?.host ?? ''} ${client?.port ?? ''}`;
    const addresses = header.addresses ?? datagram.addresses;
    const session = sessions.get(key) ?? this.#create(owner, {sessions, key, datagram, replies, addresses, payload, receivedProxy: true});
    session?.take(payload, payload.length);
    return session !== null;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    // A client cannot be told; a session in which nothing is outstanding is as good as over.
    for (const session of this.#all()) if (!session.isBusy) session.close();
    this.#settleIfDone();
  }

  cut(): void {
    for (const session of this.#all()) session.close();
  }

  *list(): ReturnType<Frontend['sessions']> {
    const frontend = this.#options.config.name;
    for (const session of this.#all()) {
      const {id, backend, server, app, source, sourcePort, startedMs, lastActivityMs, isBusy} = session;
      const cut = (): void => session.close();
      yield {id, frontend, protocol: 'udp', backend, server, app, source, sourcePort, startedMs, lastActivityMs, busy: isBusy, cut};
    }
  }

  *#all(): Iterable<UdpSession> {
    for (const sessions of this.#bySocket) yield* sessions.values();
  }

  #ownerOf(sessions: Sessions): SessionOwner {
    const {clock, counters, poller} = this.#options;
    return {
      clock,
      counters,
      poller,
      established: (session) => this.#established.append(session),
      touched: (session) => this.#established.moveToEnd(session),
      idle: (session) => {
        if (this.#stopped) session.close();
      },
      closed: (session, error) => {
        sessions.delete(session.key);
        this.#forget(session);
        if (error !== null) this.#report(session, error);
      },
    };
  }

  #create(owner: SessionOwner, {sessions, key, datagram, replies, addresses, payload, receivedProxy}: NewSession): UdpSession | null {
    if (this.#stopped) return null;
    const {config, counters, proxyCodec} = this.#options;
    const source = addresses.source.host;
    const pool = this.#makeRoom(source) ? this.#options.choosePool({...addresses, payload, receivedProxy}) : null;
    if (pool === null) {
      counters.refused++;
      return null;
    }
    const session = new UdpSession({
      owner,
      key,
      source,
      sourcePort: addresses.source.port,
      pool,
      headerFor: (server) => proxyCodec?.write(addresses, server) ?? null,
      idleTimeoutMs: Math.min(config.clientTimeoutMs, pool.config.serverTimeoutMs),
      client: {replies, address: datagram.returnAddress()},
    });
    sessions.set(key, session);
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1);
    countConnection(counters, session.startedMs);
    counters.sessions++;
    countSession(counters, session.startedMs);
    this.#sweepWithin(session.idleTimeoutMs);
    void session.start();
    return session;
  }

  #report({serverName}: UdpSession, error: Error): void {
    const {config, counters, refusals} = this.#options;
    const code = errorCode(error);
    if (code === 'ERR_QUEUE_FULL') counters.refused++;
    else if (code === 'ERR_CONNECT') counters.connectFailures++;
    else counters.wakeFailures++;
    refusals.report({frontend: config.name, server: serverName, reason: errorMessage(error)});
  }

  /** False when the bound is reached and only sessions are left that wait for a wake. */
  #makeRoom(source: string): boolean {
    if ((this.#perSource.get(source) ?? 0) >= maxPerSource && !this.#evict((session) => session.source === source)) return false;
    return this.#options.counters.sessions < this.#options.config.maxconn || this.#evict(() => true);
  }

  #evict(matches: (session: UdpSession) => boolean): boolean {
    let session = this.#established.first;
    while (session !== null && !matches(session)) session = session.next;
    session?.close();
    return session !== null;
  }

  #forget(session: UdpSession): void {
    const {source} = session;
    if (!session.isWaiting) this.#established.remove(session);
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left === 0) this.#perSource.delete(source);
    else this.#perSource.set(source, left);
    this.#options.counters.sessions--;
    assert(this.#options.counters.sessions >= 0, 'A session is closed twice');
    this.#settleIfDone();
  }

  #settleIfDone(): void {
    if (this.#options.counters.sessions > 0) return;
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    if (this.#stopped) this.#settleDrained();
  }

  #sweepWithin(idleTimeoutMs: number): void {
    if (idleTimeoutMs < this.#shortestTimeoutMs) {
      this.#shortestTimeoutMs = idleTimeoutMs;
      this.#cancelSweep?.();
      this.#cancelSweep = null;
    }
    this.#cancelSweep ??= this.#scheduleSweep();
  }

  #scheduleSweep(): () => void {
    const {clock, counters} = this.#options;
    // Late by a tenth at most, and never more than ten sweeps per second.
    return clock.after(Math.min(Math.max(this.#shortestTimeoutMs / 10, 100), 60_000), () => {
      const nowMs = clock.monotonicMs();
      for (let session = this.#established.first, next: UdpSession | null; session !== null; session = next) {
        next = session.next;
        const silentMs = nowMs - session.lastActivityMs;
        if (silentMs < this.#shortestTimeoutMs) break;
        if (silentMs >= session.idleTimeoutMs) session.close();
      }
      this.#cancelSweep = counters.sessions === 0 ? null : this.#scheduleSweep();
    });
  }
}
