/** A `mode http` frontend: its listeners, and the connections of its clients, at most `maxconn` of them; more clients wait in the backlog. */

import type {Bind} from '../../config/proxy-value.ts';
import {type Member, MemberList} from '../../core/member-list.ts';
import type {BoundAddress} from '../addresses.ts';
import type {Admission, Gate} from '../admission.ts';
import type {CountedListener, Frontend} from '../frontend.ts';
import type {ConnectionFacts} from '../samples/context.ts';
import type {SessionContext} from '../session/session-context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {addressFields} from './address-fields.ts';
import {type HttpConnection, openHttpConnection} from './http-connection.ts';
import type {BackendUse, HttpParts} from './http-parts.ts';
import type {HttpBackendProxy} from './proxies.ts';

/** A connection that HTTP begins on: its PROXY header is read, and its TLS is taken off. Nobody has read from the socket. */
export interface Accepted {
  readonly socket: ByteStream;
  /** Owned by the receiver. */
  readonly context: SessionContext;
  readonly facts: ConnectionFacts;
  /** Clock.monotonicMs of accept, and how long PROXY header and TLS took. */
  readonly acceptedMs: number;
  readonly handshakeMs: number;
}

export interface HttpListener extends Gate {
  readonly address: BoundAddress;
  readonly counted: CountedListener | null;
}

export interface HttpFrontendOptions extends Omit<HttpParts, 'backend'> {
  readonly backends: ReadonlyMap<string, HttpBackendProxy>;
  readonly admission: Admission;
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

interface OpenConnection extends Member {
  readonly connection: HttpConnection;
  readonly accepted: Accepted;
}

/** @throws CodedError ERR_BIND; what was bound before is closed again */
export async function openHttpFrontend(options: HttpFrontendOptions): Promise<Frontend> {
  const {config} = options.frontend;
  const {counters, admission} = options;
  const uses = backendUses(options);
  const parts: HttpParts = {...options, backend: (name) => uses.get(name) ?? null};
  const connections = new MemberList<OpenConnection>();
  const addresses: BoundAddress[] = [];
  const listeners: CountedListener[] = [];
  const whenEmpty: (() => void)[] = [];

  const admit = (accepted: Accepted, bind: Bind): void => {
    const {socket, facts, acceptedMs, handshakeMs} = accepted;
    const connection = openHttpConnection({socket, bind, parts, session: {facts, acceptedMs, handshakeMs, context: accepted.context}});
    const open: OpenConnection = {connection, accepted, place: -1};
    connections.add(open);
    admission.entered();
    socket.once('close', () => {
      counters.bytesIn += socket.bytesRead;
      counters.bytesOut += socket.bytesWritten;
      connections.delete(open);
      accepted.context[Symbol.dispose]();
      admission.left();
      if (connections.size === 0) for (const resolve of whenEmpty.splice(0)) resolve();
    });
  };
  const stopAccepting = (): void => {
    admission.stop();
    for (const {connection} of connections) connection.finish();
  };
  const cut = (): void => {
    for (const {connection} of connections) connection.cut();
  };
  try {
    for (const bind of config.binds) {
      const listener = await options.listen(bind, (accepted) => admit(accepted, bind));
      admission.add(listener);
      addresses.push(listener.address);
      if (listener.counted !== null) listeners.push(listener.counted);
    }
  } catch (error) {
    stopAccepting();
    cut();
    throw error;
  }
  return {
    name: config.name,
    addresses,
    counters,
    listeners,
    admission,
    stopAccepting,
    *sessions() {
      const common = {frontend: config.name, protocol: 'tcp', backend: null, server: null, app: null} as const;
      const byAge = [...connections].sort((a, b) => a.accepted.facts.id - b.accepted.facts.id);
      for (const {connection, accepted} of byAge) {
        const {acceptedMs, facts} = accepted;
        const {id, source} = facts;
        const {isBusy, lastActivityMs} = connection;
        const where = {source: source.host, sourcePort: source.port};
        yield {...common, ...where, id, startedMs: acceptedMs, lastActivityMs, busy: isBusy, cut: () => connection.shutDown()};
      }
    },
    async ended() {
      if (connections.size > 0) await new Promise<void>((resolve) => void whenEmpty.push(resolve));
    },
    cut,
  };
}
