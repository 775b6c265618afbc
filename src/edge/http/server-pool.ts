/**
 * Connections to servers, used again as `http-reuse` allows (HAProxy's manual): a connection that a server may just be closing is a
 * risk for requests that cannot be repeated, which is why the first request of a client gets a new one by default.
 */

import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import type {CodedError} from '../../core/errors.ts';
import type {SampleContext} from '../samples/context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {nodeSocket} from '../streams/node-socket.ts';
import type {ServerEndpoint} from './assignment.ts';
import {type DialParts, dial} from './dial.ts';
import {H1ServerConnection} from './h1-server-connection.ts';
import {H2ServerConnection} from './h2-server-connection.ts';
import type {ResponseEvents, ServerStream} from './message.ts';
import type {ClientSession, Endpoint} from './transaction.ts';

/** As HAProxy's `pool-purge-delay`. */
const purgeDelayMs = 5000;
const maxIdlePerServer = 512;

export interface AcquireRequest {
  readonly backend: BackendConfig;
  readonly context: SampleContext;
  readonly session: ClientSession;
  /** The first request of its client connection. */
  readonly isFirst: boolean;
  /** A connection that was not used before, as after one that was found dead. */
  readonly mustBeNew: boolean;
  readonly timeoutMs: number;
  readonly events: ResponseEvents;
}

export interface AcquireResult {
  acquired(stream: ServerStream, local: Endpoint | null): void;
  connectFailed(error: CodedError<'ERR_CONNECT'>): void;
}

interface Target {
  readonly server: ServerConfig;
  readonly endpoint: ServerEndpoint;
}

export interface ServerPool {
  /** `result` is called once, at once when a connection is here. Returns how to give up, or null when it was called. */
  acquire(request: AcquireRequest, target: Target, result: AcquireResult): {cancel(): void} | null;
  /** Closes what is idle. */
  close(): void;
}

/** Connections that are alike. */
interface Slot {
  readonly key: string;
  readonly idle: H1ServerConnection[];
  h2: H2ServerConnection[];
}

function endpointKey({host, port, path, from = ''}: ServerEndpoint): string {
  return path ?? `${host} ${port} ${from}`;
}

export class ServerConnections implements ServerPool {
  readonly #parts: DialParts;
  readonly #clock: Clock;
  readonly #slots = new Map<string, Slot>();
  /** The slot of a server that has only one, as long as its endpoint is the same. */
  readonly #single = new WeakMap<ServerConfig, {readonly endpoint: string; readonly port: number; readonly slot: Slot}>();
  #sweepPending = false;
  #isClosed = false;

  constructor(parts: DialParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
  }

  acquire(request: AcquireRequest, {server, endpoint}: Target, result: AcquireResult): {cancel(): void} | null {
    const slot = this.#slot(request, server, endpoint);
    const reused = request.mustBeNew ? null : this.#reusable(slot, request);
    if (reused !== null) {
      result.acquired(reused, reused instanceof H1ServerConnection ? reused.local : null);
      return null;
    }
    const {backend, context} = request;
    return dial({server, endpoint, backend, context}, this.#parts, {
      connected: (socket) => {
        const isH2 = server.proto === 'h2' || ('alpnProtocol' in socket && socket.alpnProtocol === 'h2');
        if (isH2) {
          const connection = new H2ServerConnection({
            socket: nodeSocket(socket),
            clock: this.#clock,
            onClosed: () => (slot.h2 = slot.h2.filter((other) => other !== connection)),
          });
          slot.h2.push(connection);
          result.acquired(connection.take(request.events, request.timeoutMs), {host: socket.localAddress ?? '', port: socket.localPort ?? 0});
          this.#sweepLater();
        } else {
          const connection = this.#newH1(slot, socket, backend);
          result.acquired(connection.take(request.events, request.timeoutMs), connection.local);
        }
      },
      failed: (error) => result.connectFailed(error),
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const {idle, h2} of this.#slots.values()) {
      for (const connection of [...idle]) connection.socket.destroy();
      for (const connection of h2) connection.close();
    }
    this.#slots.clear();
  }

  #slot(request: AcquireRequest, server: ServerConfig, endpoint: ServerEndpoint): Slot {
    const {backend} = request;
    // Connections that tell the server about their client are that client's alone.
    const isPrivate =
      endpoint.from !== undefined || server.sendProxy !== null || (server.source ?? backend.source) === 'client' || backend.httpReuse === 'never';
    const hasSni = server.sni !== null && server.tls !== null;
    if (isPrivate || hasSni) {
      const sni = hasSni ? (this.#parts.sni(server, request.context) ?? '') : '';
      return this.#slotOf(`${backend.name} ${server.name} ${endpointKey(endpoint)} ${sni} ${isPrivate ? privateKey(request, server) : ''}`);
    }
    const place = endpoint.path ?? endpoint.host;
    const {port} = endpoint;
    const known = this.#single.get(server);
    if (known?.endpoint === place && known.port === port && this.#slots.get(known.slot.key) === known.slot) return known.slot;
    const slot = this.#slotOf(`${backend.name} ${server.name} ${endpointKey(endpoint)}`);
    this.#single.set(server, {endpoint: place, port, slot});
    return slot;
  }

  #slotOf(key: string): Slot {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = {key, idle: [], h2: []};
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #newH1(slot: Slot, socket: ByteStream, backend: BackendConfig): H1ServerConnection {
    return new H1ServerConnection({
      socket,
      clock: this.#clock,
      onIdle: (connection) => this.#keep(slot, connection, backend),
      onClosed: (connection) => {
        const at = slot.idle.indexOf(connection);
        if (at !== -1) slot.idle.splice(at, 1);
      },
    });
  }

  #keep(slot: Slot, connection: H1ServerConnection, backend: BackendConfig): void {
    const {idle, key} = slot;
    // Swept while all its connections were in use.
    if (!this.#slots.has(key)) this.#slots.set(key, slot);
    if (this.#isClosed || this.#slots.get(key) !== slot || idle.length >= maxIdlePerServer || backend.connectionMode !== 'keep-alive') {
      connection.socket.destroy();
      return;
    }
    connection.idleSinceMs = this.#clock.monotonicMs();
    idle.push(connection);
    this.#sweepLater();
  }

  #sweepLater(): void {
    if (this.#sweepPending || this.#isClosed) return;
    this.#sweepPending = true;
    this.#clock.after(purgeDelayMs, () => this.#sweep());
  }

  /** The one used last: the others may then become old enough to be closed. */
  #reusable(slot: Slot, request: AcquireRequest): ServerStream | null {
    const {backend, isFirst, session, events, timeoutMs} = request;
    const mayReuse = (connection: {served: number}): boolean => {
      if (!isFirst || backend.httpReuse === 'always' || backend.httpReuse === 'never') return true;
      return backend.httpReuse === 'aggressive' && connection.served > 1;
    };
    for (const connection of slot.h2) {
      if (connection.hasRoom && (mayReuse(connection) || session.acceptedMs <= connection.openedMs)) return connection.take(events, timeoutMs);
    }
    for (let at = slot.idle.length - 1; at >= 0; at--) {
      const connection = slot.idle[at];
      if (connection === undefined || !mayReuse(connection)) continue;
      slot.idle.splice(at, 1);
      if (connection.isUsable) return connection.take(events, timeoutMs);
      connection.socket.destroy();
    }
    return null;
  }

  /** Closes what was not used for a while. */
  #sweep(): void {
    this.#sweepPending = false;
    const oldestMs = this.#clock.monotonicMs() - purgeDelayMs;
    for (const [key, {idle, h2}] of this.#slots) {
      for (const connection of idle.filter(({idleSinceMs}) => idleSinceMs <= oldestMs)) connection.socket.destroy();
      for (const connection of h2) if (connection.idleSinceMs <= oldestMs) connection.close();
      if (idle.length === 0 && h2.length === 0) this.#slots.delete(key);
    }
    if (this.#slots.size > 0) this.#sweepLater();
  }
}

/** Of a client, as the server is told of it. */
function privateKey({session, context: {connection, uniqueId = null}}: AcquireRequest, {proxyV2Options}: ServerConfig): string {
  const {source, destination} = connection;
  const id = proxyV2Options.includes('unique-id') ? uniqueId : '';
  return `${session.facts.id} ${source.host} ${source.port} ${destination.host} ${destination.port} ${id}`;
}
