/**
 * Connections to servers, used again as `http-reuse` allows (HAProxy's manual): a connection that a server may just be closing is a
 * risk for requests that cannot be repeated, which is why the first request of a client gets a new one by default.
 */
import type {BackendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import type {CodedError} from '../../core/errors.ts';
import type {ServerEndpoint} from './assignment.ts';
import {type DialParts, type DialRequest, dial} from './dial.ts';
import {H1ServerConnection} from './h1-server-connection.ts';
import {H2ServerConnection} from './h2-server-connection.ts';
import type {ResponseEvents, ServerStream} from './message.ts';
import type {ClientSession} from './transaction.ts';

/** As HAProxy's `pool-purge-delay`. */
const purgeDelayMs = 5000;
const maxIdlePerServer = 512;

export interface AcquireRequest extends DialRequest {
  readonly session: ClientSession;
  /** The first request of its client connection. */
  readonly isFirst: boolean;
  /** A connection that was not used before, as after one that was found dead. */
  readonly mustBeNew: boolean;
  readonly timeoutMs: number;
  readonly events: ResponseEvents;
}

export interface AcquireResult {
  acquired(stream: ServerStream, local: {readonly host: string; readonly port: number} | null): void;
  failed(error: CodedError<'ERR_CONNECT'>): void;
}

export interface ServerPool {
  /** `result` is called once, at once when a connection is here. Returns how to give up, or null when it was called. */
  acquire(request: AcquireRequest, result: AcquireResult): {cancel(): void} | null;
  /** Closes what is idle. */
  close(): void;
}

interface Shared {
  readonly idle: H1ServerConnection[];
  h2: H2ServerConnection[];
}

function endpointKey(endpoint: ServerEndpoint): string {
  return endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host} ${endpoint.port}`;
}

export class ServerConnections implements ServerPool {
  readonly #parts: DialParts;
  readonly #clock: Clock;
  readonly #shared = new Map<string, Shared>();
  #sweepPending = false;
  #isClosed = false;

  constructor(parts: DialParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
  }

  acquire(request: AcquireRequest, result: AcquireResult): {cancel(): void} | null {
    const key = this.#key(request);
    const reused = request.mustBeNew ? null : this.#reusable(key, request);
    if (reused !== null) {
      result.acquired(reused, localAddress(reused));
      return null;
    }
    return dial(request, this.#parts, {
      connected: (socket) => {
        const isH2 = request.server.proto === 'h2' || ('alpnProtocol' in socket && socket.alpnProtocol === 'h2');
        const local = {host: socket.localAddress ?? '', port: socket.localPort ?? 0};
        if (!isH2) {
          result.acquired(this.#newH1(key, socket, request.backend).take(request.events, request.timeoutMs), local);
          return;
        }
        const connection = new H2ServerConnection({socket, clock: this.#clock, onClosed: () => this.#forgetH2(key, connection)});
        this.#sharedOf(key).h2.push(connection);
        result.acquired(connection.take(request.events, request.timeoutMs), local);
      },
      failed: result.failed,
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const {idle, h2} of this.#shared.values()) {
      for (const connection of idle) connection.socket.destroy();
      for (const connection of h2) connection.close();
    }
    this.#shared.clear();
  }

  /** Connections that tell the server about their client are that client's alone. */
  #key({server, backend, endpoint, context, session}: AcquireRequest): string {
    const base = `${backend.name} ${server.name} ${endpointKey(endpoint)}`;
    const isPrivate = server.sendProxy !== null || (server.source ?? backend.source) === 'client' || backend.httpReuse === 'never';
    const sni = server.sni === null || server.tls === null ? '' : String(this.#parts.tlsOptions(server, context)?.servername ?? '');
    return isPrivate ? `${base} ${sni} ${session.facts.id}` : sni === '' ? base : `${base} ${sni}`;
  }

  #sharedOf(key: string): Shared {
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = {idle: [], h2: []};
      this.#shared.set(key, shared);
    }
    return shared;
  }

  #newH1(key: string, socket: H1ServerConnection['socket'], backend: BackendConfig): H1ServerConnection {
    return new H1ServerConnection({
      socket,
      clock: this.#clock,
      onIdle: (connection) => this.#keep(key, connection, backend),
      onClosed: (connection) => {
        const idle = this.#shared.get(key)?.idle;
        const at = idle?.indexOf(connection) ?? -1;
        if (at !== -1) idle?.splice(at, 1);
      },
    });
  }

  #keep(key: string, connection: H1ServerConnection, backend: BackendConfig): void {
    const {idle} = this.#sharedOf(key);
    if (this.#isClosed || idle.length >= maxIdlePerServer || backend.connectionMode !== 'keep-alive') {
      connection.socket.destroy();
      return;
    }
    connection.idleSinceMs = this.#clock.monotonicMs();
    idle.push(connection);
    if (!this.#sweepPending) {
      this.#sweepPending = true;
      this.#clock.after(purgeDelayMs, () => this.#sweep());
    }
  }

  /** The one used last: the others may then become old enough to be closed. */
  #reusable(key: string, {backend, isFirst, session, events, timeoutMs}: AcquireRequest): ServerStream | null {
    const shared = this.#shared.get(key);
    if (shared === undefined) return null;
    const mayReuse = (connection: {served: number}): boolean => {
      if (!isFirst || backend.httpReuse === 'always' || backend.httpReuse === 'never') return true;
      return backend.httpReuse === 'aggressive' && connection.served > 1;
    };
    for (const connection of shared.h2) {
      if (connection.hasRoom && (mayReuse(connection) || session.acceptedMs <= connection.openedMs)) return connection.take(events, timeoutMs);
    }
    for (let at = shared.idle.length - 1; at >= 0; at--) {
      const connection = shared.idle[at];
      if (connection === undefined || !mayReuse(connection)) continue;
      shared.idle.splice(at, 1);
      if (connection.isUsable) return connection.take(events, timeoutMs);
      connection.socket.destroy();
    }
    return null;
  }

  #forgetH2(key: string, connection: H2ServerConnection): void {
    const shared = this.#shared.get(key);
    if (shared !== undefined) shared.h2 = shared.h2.filter((other) => other !== connection);
  }

  /** Closes what was not used for a while. */
  #sweep(): void {
    this.#sweepPending = false;
    const oldestMs = this.#clock.monotonicMs() - purgeDelayMs;
    for (const [key, {idle, h2}] of this.#shared) {
      for (const connection of idle.filter(({idleSinceMs}) => idleSinceMs <= oldestMs)) connection.socket.destroy();
      for (const connection of h2) if (connection.idleSinceMs <= oldestMs) connection.close();
      if (idle.length > 0 || h2.length > 0) this.#sweepPending = true;
      else this.#shared.delete(key);
    }
    if (this.#sweepPending) this.#clock.after(purgeDelayMs, () => this.#sweep());
  }
}

function localAddress(stream: ServerStream): {host: string; port: number} | null {
  return stream instanceof H1ServerConnection ? {host: stream.socket.localAddress ?? '', port: stream.socket.localPort ?? 0} : null;
}
