/** A `mode http` frontend: its listeners, and the connections of its clients, at most `maxconn` of them; more clients wait in the backlog. */
import type {Socket} from 'node:net';
import type {Bind} from '../../config/proxy-value.ts';
import type {BoundAddress} from '../addresses.ts';
import {newCounters} from '../counters.ts';
import type {Frontend} from '../frontend.ts';
import type {ConnectionFacts} from '../samples/context.ts';
import {addressFields} from './address-fields.ts';
import {type HttpConnection, openHttpConnection} from './http-connection.ts';
import type {BackendUse, HttpParts} from './http-parts.ts';
import type {HttpBackendProxy} from './proxies.ts';

/** A connection that HTTP begins on: its PROXY header is read, and its TLS is taken off. Nobody has read from the socket. */
export interface Accepted {
  readonly socket: Socket;
  readonly facts: ConnectionFacts;
  /** Clock.monotonicMs of accept, and how long PROXY header and TLS took. */
  readonly acceptedMs: number;
  readonly handshakeMs: number;
}

export interface HttpListener extends Disposable {
  readonly address: BoundAddress;
  /** New connections stay in the backlog. */
  pause(): void;
  resume(): void;
}

export interface HttpFrontendOptions extends Omit<HttpParts, 'counters' | 'backend'> {
  readonly backends: ReadonlyMap<string, HttpBackendProxy>;
  /** @throws CodedError ERR_BIND */
  listen(bind: Bind, accept: (accepted: Accepted) => void): Promise<HttpListener>;
}

function backendUses({frontend, backends}: HttpFrontendOptions): ReadonlyMap<string, BackendUse> {
  const uses = new Map<string, BackendUse>();
  for (const [name, backend] of backends) {
    uses.set(name, {
      backend,
      forwardFor: addressFields('forwardFor', frontend.config.forwardFor, backend.config.forwardFor),
      originalTo: addressFields('originalTo', frontend.config.originalTo, backend.config.originalTo),
    });
  }
  return uses;
}

/** @throws CodedError ERR_BIND; what was bound before is closed again */
export async function openHttpFrontend(options: HttpFrontendOptions): Promise<Frontend> {
  const {config} = options.frontend;
  const counters = newCounters();
  const uses = backendUses(options);
  const parts: HttpParts = {...options, counters, backend: (name) => uses.get(name) ?? null};
  const connections = new Map<HttpConnection, Accepted>();
  const listeners: HttpListener[] = [];
  const whenEmpty: (() => void)[] = [];
  let accepting = true;

  const admit = (accepted: Accepted, bind: Bind): void => {
    const {socket, facts, acceptedMs, handshakeMs} = accepted;
    counters.accepted++;
    const connection = openHttpConnection({socket, bind, parts, session: {facts, acceptedMs, handshakeMs, variables: new Map()}});
    connections.set(connection, accepted);
    counters.sessions = connections.size;
    if (connections.size >= config.maxconn) for (const listener of listeners) listener.pause();
    socket.once('close', () => {
      counters.bytesIn += socket.bytesRead;
      counters.bytesOut += socket.bytesWritten;
      connections.delete(connection);
      counters.sessions = connections.size;
      if (accepting && connections.size < config.maxconn) for (const listener of listeners) listener.resume();
      if (connections.size === 0) for (const resolve of whenEmpty.splice(0)) resolve();
    });
  };
  const stopAccepting = (): void => {
    accepting = false;
    for (const listener of listeners) listener[Symbol.dispose]();
    for (const connection of connections.keys()) connection.finish();
  };
  const cut = (): void => {
    for (const connection of connections.keys()) connection.cut();
  };
  try {
    for (const bind of config.binds) listeners.push(await options.listen(bind, (accepted) => admit(accepted, bind)));
  } catch (error) {
    stopAccepting();
    cut();
    throw error;
  }
  return {
    name: config.name,
    addresses: listeners.map(({address}) => address),
    counters,
    admission: null,
    stopAccepting,
    *sessions() {
      const common = {frontend: config.name, protocol: 'tcp', backend: null, server: null, app: null} as const;
      for (const [connection, {facts, acceptedMs}] of connections) {
        const {id, source} = facts;
        const {exchanges, lastActivityMs} = connection;
        const where = {source: source.host, sourcePort: source.port};
        yield {...common, ...where, id, startedMs: acceptedMs, lastActivityMs, busy: exchanges > 0, cut: () => connection.cut()};
      }
    },
    async ended() {
      if (connections.size > 0) await new Promise<void>((resolve) => void whenEmpty.push(resolve));
    },
    cut,
  };
}
