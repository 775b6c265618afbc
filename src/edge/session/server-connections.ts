/** How each server is spoken to before its protocol begins: where the connection comes from, the PROXY header, TLS. */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError} from '../../core/errors.ts';
import type {Endpoint} from '../pool/assignment.ts';
import {type ProxiedClient, proxyHeaderWriter} from '../proxy-protocol/send-proxy-header.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {SampleContext} from '../samples/context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {connectStream} from '../streams/connect-stream.ts';
import {nodeSocket} from '../streams/node-socket.ts';
import {openTlsConnector, type TlsConnector} from '../tls/connect-tls.ts';

/** Compiled for one server. */
export interface ServerManners {
  readonly header: ((client: ProxiedClient) => Buffer) | null;
  readonly tls: TlsConnector | null;
  /** Of its health checks, which may do TLS where its traffic does not. */
  readonly checkTls: TlsConnector | null;
  /** The name that the server is asked for with TLS. */
  readonly sniOf: ((context: SampleContext) => string | null) | null;
  /** Nothing comes before what the client says. */
  readonly isPlain: boolean;
}

export type MannersOf = (server: ServerConfig) => ServerManners;

const plain: ServerManners = {header: null, tls: null, checkTls: null, sniOf: null, isPlain: true};

export interface ServerMannersBook {
  readonly of: MannersOf;
  /** For a server that comes later. @throws CodedError ERR_CA_FILE, ERR_CERTIFICATE, and those of the compiler */
  add(backend: Pick<BackendConfig, 'name'>, server: ServerConfig): Promise<void>;
}

/** @throws CodedError ERR_CA_FILE, ERR_CERTIFICATE, and those of the compiler */
export async function openServerManners(backends: readonly BackendConfig[], compiler: SampleCompiler): Promise<ServerMannersBook> {
  const known = new WeakMap<ServerConfig, ServerManners>();
  const add: ServerMannersBook['add'] = async (backend, server) => {
    const checkClient = server.check?.tlsClient ?? null;
    if (server.sendProxy === null && server.tls === null && checkClient === null) return;
    const label = `${backend.name}/${server.name}`;
    const tls = server.tls === null ? null : await openTlsConnector(label, server.tls);
    const sample = server.sni === null ? null : compiler.compileExpression(server.sni);
    known.set(server, {
      header: server.sendProxy === null ? null : proxyHeaderWriter(server.sendProxy, server.proxyV2Options),
      tls,
      checkTls: checkClient === null ? tls : await openTlsConnector(label, checkClient),
      sniOf: sample === null ? null : (context) => textOf(sample(context)),
      isPlain: server.sendProxy === null && server.tls === null,
    });
  };
  for (const backend of backends) for (const server of backend.servers) await add(backend, server);
  return {of: (server) => known.get(server) ?? plain, add};
}

function textOf(value: ReturnType<ReturnType<SampleCompiler['compileExpression']>>): string | null {
  return value === null || value.type === 'bin' ? null : String(value.value);
}

export interface ServerRequest {
  readonly backend: BackendConfig;
  readonly server: ServerConfig;
  readonly endpoint: Endpoint;
  readonly manners: ServerManners;
  /** Of the session; made only when something asks for it. */
  readonly context: () => SampleContext;
  readonly clock: Clock;
  /** Called with each socket that is made, before it is connected: the session's to destroy. */
  readonly onSocket: (socket: ByteStream) => void;
}

/**
 * Connects, with half-open allowed, and says what has to be said before the client's bytes. `timeout connect` bounds all of it.
 * @throws CodedError ERR_CONNECT_TIMEOUT, ERR_SERVER_TLS, ERR_ABANDONED; errors of the system
 */
export function connectServer(request: ServerRequest): Promise<ByteStream> {
  const connecting = connectSocket(request);
  return request.manners.isPlain ? connecting : speakFirst(request, connecting);
}

async function speakFirst(request: ServerRequest, connecting: Promise<ByteStream>): Promise<ByteStream> {
  const {manners, backend, clock, context} = request;
  const deadlineMs = clock.monotonicMs() + backend.connectTimeoutMs;
  const socket = await connecting;
  if (manners.header !== null) {
    const {connection, uniqueId = null} = context();
    socket.write(manners.header({protocol: 'tcp', source: connection.source, destination: connection.destination, tls: connection.tls, uniqueId}));
  }
  if (manners.tls === null) return socket;
  const timeoutMs = Math.max(1, deadlineMs - clock.monotonicMs());
  const secured = await manners.tls.secure(nodeSocket(socket), {sni: manners.sniOf?.(context()) ?? null, timeoutMs});
  secured.allowHalfOpen = true;
  request.onSocket(secured);
  return secured;
}

function connectSocket(request: ServerRequest): Promise<ByteStream> {
  const {backend, server, endpoint, context, clock, onSocket} = request;
  const {connectTimeoutMs} = backend;
  return new Promise((resolve, reject) => {
    const from = server.source ?? backend.source;
    const source =
      endpoint.from !== undefined ? {host: endpoint.from, port: null} : from === 'client' ? {host: context().connection.source.host, port: null} : from;
    const socket = connectStream({endpoint, source, keepAlive: true});
    onSocket(socket);
    const cancel = clock.after(connectTimeoutMs, () => {
      socket.destroy(new CodedError('ERR_CONNECT_TIMEOUT', `no answer within ${connectTimeoutMs} ms`, {source: 'server', retryable: true}));
    });
    let isConnected = false;
    socket.on('connect', () => {
      isConnected = true;
      cancel();
      resolve(socket);
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (isConnected) return;
      cancel();
      reject(new CodedError('ERR_ABANDONED', 'The connection was given up', {source: 'client'}));
    });
  });
}
