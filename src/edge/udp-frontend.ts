/**
 * A `mode udp` frontend: a session per client address and port. Anybody can invent source addresses, so there are bounds per frontend
 * (`maxconn`) and per source address; where one is reached, the session that was silent for longest makes room.
 */
import type {RemoteInfo, Socket} from 'node:dgram';
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {type BoundAddress, plainAddress} from './addresses.ts';
import {countConnection, countSession, newCounters} from './counters.ts';
import {openDatagramSockets, type SharedDatagramSocket} from './datagram-sockets.ts';
import type {Frontend} from './frontend.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import type {Pool} from './pool/pool.ts';
import type {RefusalLog} from './refusal-log.ts';
import type {DatagramAddresses, DatagramProxyCodec, FirstDatagram} from './udp-proxy-header.ts';
import {UdpSession} from './udp-session.ts';

export interface UdpFrontendOptions {
  readonly config: FrontendConfig;
  /** Asked once for each session; null: no rule has a backend for it, and the datagram is dropped. */
  readonly choosePool: (first: FirstDatagram) => Pool | null;
  /** For binds with `accept-proxy` and servers with `send-proxy-v2`; without it neither may be configured. */
  readonly proxyCodec?: DatagramProxyCodec;
  readonly ipv6Only: (port: number) => boolean;
  /** Shared with other generations of the configuration. */
  readonly sockets?: ListeningSockets | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly refusals: RefusalLog;
}

/** Sessions of one source address; a resolver or a NAT in front of many clients needs some. */
const maxPerSource = 1024;

/** @throws CodedError ERR_BIND; what was bound before is closed again */
export async function openUdpFrontend(options: UdpFrontendOptions): Promise<Frontend> {
  const {config, log} = options;
  assert(options.proxyCodec !== undefined || !config.binds.some(({acceptProxy}) => acceptProxy), `Frontend "${config.name}" cannot read PROXY headers`);
  const counters = newCounters();
  const table = new SessionTable(options, counters);
  const datagrams = options.sockets?.datagrams ?? openDatagramSockets();
  const shared: SharedDatagramSocket[] = [];
  const addresses: BoundAddress[] = [];
  try {
    for (const bind of config.binds) {
      const taken = await datagrams.take({frontend: config.name, bind, ipv6Only: options.ipv6Only(bind.port)});
      shared.push(taken);
      const {socket} = taken;
      const {address, port} = socket.address();
      addresses.push({frontend: config.name, protocol: 'udp', host: address, port});
      socket.on('error', (error) => log.error({frontend: config.name, reason: errorMessage(error)}, 'datagram socket'));
      const listener: Listener = {socket, id: shared.length, host: address, port, acceptProxy: bind.acceptProxy};
      taken.receive((datagram, from) => table.receive(listener, datagram, from));
    }
  } catch (error) {
    for (const taken of shared) taken[Symbol.dispose]();
    throw error;
  }
  const closed = table.drained.then(() => {
    for (const taken of shared) taken[Symbol.dispose]();
  });
  return {
    name: config.name,
    addresses,
    counters,
    admission: null,
    stopAccepting: () => table.stop(),
    sessions: () => table.list(),
    ended: () => closed,
    cut: () => table.cut(),
  };
}

interface NewSession {
  readonly key: string;
  readonly listener: Listener;
  readonly from: RemoteInfo;
  readonly payload: Buffer;
  /** Of the PROXY header. */
  readonly proxied: DatagramAddresses | null;
}

interface Listener {
  readonly socket: Socket;
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly acceptProxy: boolean;
}

class SessionTable {
  /** Settles after `stop()`, when no session is left. */
  readonly drained: Promise<void>;
  readonly #options: UdpFrontendOptions;
  readonly #counters: ReturnType<typeof newCounters>;
  /** In the order of their last activity: the first was silent for longest. */
  readonly #sessions = new Map<string, UdpSession>();
  readonly #perSource = new Map<string, number>();
  readonly #settleDrained: () => void;
  #stopped = false;
  #cancelSweep: (() => void) | null = null;
  /** Of all sessions so far: those of backends with a shorter `timeout server` end earlier. */
  #shortestTimeoutMs: number;

  constructor(options: UdpFrontendOptions, counters: ReturnType<typeof newCounters>) {
    this.#options = options;
    this.#counters = counters;
    this.#shortestTimeoutMs = options.config.clientTimeoutMs;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.drained = promise;
    this.#settleDrained = resolve;
  }

  /** @returns whether it belongs to a session of this frontend, which may be a new one */
  receive(listener: Listener, datagram: Buffer, from: RemoteInfo): boolean {
    // Nobody can be answered at port 0, which only forged datagrams come from.
    if (from.port === 0) return false;
    if (listener.acceptProxy) return this.#receiveProxied(listener, datagram, from);
    const key = `${from.address} ${from.port} ${listener.id}`;
    const session = this.#sessions.get(key) ?? this.#create({key, listener, from, payload: datagram, proxied: null});
    session?.take(datagram);
    return session !== null;
  }

  /** One address of the load balancer in front may stand for many clients. */
  #receiveProxied(listener: Listener, datagram: Buffer, from: RemoteInfo): boolean {
    const header = this.#options.proxyCodec?.read(datagram) ?? null;
    if (header === null) {
      this.#counters.datagramsDropped++;
      return false;
    }
    const payload = datagram.subarray(header.headerBytes);
    const client = header.addresses?.source;
    const key = `${from.address} ${from.port} ${listener.id} ${client?.host ?? ''} ${client?.port ?? ''}`;
    const session = this.#sessions.get(key) ?? this.#create({key, listener, from, payload, proxied: header.addresses});
    session?.take(payload);
    return session !== null;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    // A client cannot be told; a session in which nothing is outstanding is as good as over.
    for (const session of this.#sessions.values()) if (!session.isBusy) session.close();
    this.#settleIfDone();
  }

  cut(): void {
    for (const session of this.#sessions.values()) session.close();
  }

  *list(): ReturnType<Frontend['sessions']> {
    const frontend = this.#options.config.name;
    for (const session of this.#sessions.values()) {
      const {id, backend, server, app, source, sourcePort, startedMs, lastActivityMs, isBusy} = session;
      const cut = (): void => session.close();
      yield {id, frontend, protocol: 'udp', backend, server, app, source, sourcePort, startedMs, lastActivityMs, busy: isBusy, cut};
    }
  }

  #create({key, listener, from, payload, proxied}: NewSession): UdpSession | null {
    if (this.#stopped) return null;
    const direct = {source: {host: plainAddress(from.address), port: from.port}, destination: {host: listener.host, port: listener.port}};
    const addresses = proxied ?? direct;
    const source = addresses.source.host;
    const {clock, refusals, config, proxyCodec} = this.#options;
    const pool = this.#makeRoom(source) ? this.#options.choosePool({...addresses, payload, receivedProxy: listener.acceptProxy}) : null;
    if (pool === null) {
      this.#counters.refused++;
      return null;
    }
    const {socket} = listener;
    const session = new UdpSession({
      source,
      sourcePort: addresses.source.port,
      pool,
      headerFor: (server) => proxyCodec?.write(addresses, server) ?? null,
      idleTimeoutMs: Math.min(config.clientTimeoutMs, pool.config.serverTimeoutMs),
      clock,
      counters: this.#counters,
      reply: (datagram) => {
        socket.send(datagram, from.port, from.address, (error) => {
          // The client's host may be gone; its session ends by its time-out.
          if (error !== null) this.#options.log.debug({frontend: config.name, reason: errorMessage(error)}, 'answer not sent');
        });
      },
      onActivity: () => {
        if (this.#sessions.get(key) !== session) return;
        this.#sessions.delete(key);
        this.#sessions.set(key, session);
        if (this.#stopped && !session.isBusy) session.close();
      },
      onClosed: (error) => {
        this.#forget(key, source);
        if (error === null) return;
        this.#count(error);
        refusals.report({frontend: config.name, server: session.serverName, reason: errorMessage(error)});
      },
    });
    countConnection(this.#counters, session.startedMs);
    if (session.idleTimeoutMs < this.#shortestTimeoutMs) {
      this.#shortestTimeoutMs = session.idleTimeoutMs;
      this.#cancelSweep?.();
      this.#cancelSweep = null;
    }
    this.#sessions.set(key, session);
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1);
    this.#counters.sessions = this.#sessions.size;
    countSession(this.#counters, session.startedMs);
    void session.start();
    this.#cancelSweep ??= this.#scheduleSweep();
    return session;
  }

  #count(error: Error): void {
    const code = errorCode(error);
    if (code === 'ERR_QUEUE_FULL') this.#counters.refused++;
    else if (code === 'ERR_CONNECT') this.#counters.connectFailures++;
    else this.#counters.wakeFailures++;
  }

  /** False when the bound is reached and only sessions are left that wait for a wake. */
  #makeRoom(source: string): boolean {
    if ((this.#perSource.get(source) ?? 0) >= maxPerSource && !this.#evict((session) => session.source === source)) return false;
    return this.#sessions.size < this.#options.config.maxconn || this.#evict(() => true);
  }

  #evict(matches: (session: UdpSession) => boolean): boolean {
    for (const session of this.#sessions.values()) {
      if (session.isWaiting || !matches(session)) continue;
      session.close();
      return true;
    }
    return false;
  }

  #forget(key: string, source: string): void {
    this.#sessions.delete(key);
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left === 0) this.#perSource.delete(source);
    else this.#perSource.set(source, left);
    this.#counters.sessions = this.#sessions.size;
    this.#settleIfDone();
  }

  #settleIfDone(): void {
    if (this.#sessions.size > 0) return;
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    if (this.#stopped) this.#settleDrained();
  }

  #scheduleSweep(): () => void {
    const {clock} = this.#options;
    // Late by a tenth at most, and never more than ten sweeps per second.
    return clock.after(Math.min(Math.max(this.#shortestTimeoutMs / 10, 100), 60_000), () => {
      const nowMs = clock.monotonicMs();
      for (const session of this.#sessions.values()) {
        const silentMs = nowMs - session.lastActivityMs;
        if (silentMs < this.#shortestTimeoutMs) break;
        if (!session.isWaiting && silentMs >= session.idleTimeoutMs) session.close();
      }
      this.#cancelSweep = this.#sessions.size === 0 ? null : this.#scheduleSweep();
    });
  }
}
