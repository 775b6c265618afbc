/** Connects to a server: TCP or a unix socket, a PROXY header where it is configured, TLS. */
import {connect as connectTcp, type OnReadOpts, type Socket, type TcpNetConnectOpts} from 'node:net';
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {SampleContext} from '../samples/context.ts';
import type {ServerEndpoint} from './assignment.ts';

/** What the parts for TLS and the PROXY protocol have to say about a new connection. */
export interface DialParts {
  readonly clock: Clock;
  /** The name that a server is asked for with TLS. */
  sni(server: ServerConfig, context: SampleContext): string | null;
  /** TLS on a connected socket; null: the server is spoken to in the clear. Rejects when the handshake fails, and destroys the socket then. */
  secure(raw: Socket, server: ServerConfig, options: {readonly sni: string | null; readonly timeoutMs: number}): Promise<Socket> | null;
  /** The header that comes first; null: none. */
  proxyHeader(server: ServerConfig, context: SampleContext): Buffer | null;
}

export interface DialRequest {
  readonly server: ServerConfig;
  readonly backend: BackendConfig;
  readonly endpoint: ServerEndpoint;
  readonly context: SampleContext;
  /** Reads into one buffer, used again and again: what `bytes` are given is theirs only until they return. Null: the socket reads as sockets do. */
  readonly onBytes: ((bytes: Buffer) => void) | null;
}

export interface Dialling {
  /** Gives it up; nobody is told. */
  cancel(): void;
}

interface DialResult {
  connected(socket: Socket): void;
  failed(error: CodedError<'ERR_CONNECT'>): void;
}

/** One for all: reads are taken one after the other, and nobody keeps what is in it. */
const readBuffer = Buffer.allocUnsafe(65_536);

function socketTo({endpoint, server, backend, context, onBytes}: DialRequest): Socket {
  const reading: {onread?: OnReadOpts} =
    onBytes === null
      ? {}
      : {
          onread: {
            buffer: readBuffer,
            callback: (length, buffer) => {
              onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, length));
              return true;
            },
          },
        };
  if (endpoint.path !== null) return connectTcp({path: endpoint.path, allowHalfOpen: true, ...reading});
  const source = server.source ?? backend.source;
  const local = source === 'client' ? context.connection.source : source;
  const options: TcpNetConnectOpts = {
    host: endpoint.host,
    port: endpoint.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: backend.tcpKeepAlive,
    ...reading,
  };
  if (local !== null) {
    options.localAddress = local.host;
    if (local.port !== null && source !== 'client') options.localPort = local.port;
  }
  return connectTcp(options);
}

/** `result` is called once, never before this returns. */
export function dial(request: DialRequest, parts: DialParts, result: DialResult): Dialling {
  const {server, backend, context} = request;
  const plain = socketTo(request);
  let socket = plain;
  let isSettled = false;
  const settle = (): boolean => {
    if (isSettled) return false;
    isSettled = true;
    cancelTimer();
    return true;
  };
  const fail = (error: unknown): void => {
    if (!settle()) return;
    socket.destroy();
    plain.destroy();
    const where = `server "${backend.name}/${server.name}"`;
    result.failed(new CodedError('ERR_CONNECT', `Cannot connect to ${where}: ${errorMessage(error)}`, {source: 'server', retryable: true, cause: error}));
  };
  const cancelTimer = parts.clock.after(backend.connectTimeoutMs, () =>
    fail(new CodedError('ERR_CONNECT_TIMEOUT', `no answer within ${backend.connectTimeoutMs} ms`, {source: 'server', retryable: true})),
  );
  const ready = (): void => {
    if (!settle()) return;
    socket.off('error', fail);
    socket.off('close', closed);
    result.connected(socket);
  };
  const closed = (): void => fail(new Error('the connection was closed'));
  plain.on('error', fail);
  plain.once('close', closed);
  plain.once('connect', () => {
    const header = parts.proxyHeader(server, context);
    if (header !== null) plain.write(header);
    const securing = parts.secure(plain, server, {sni: parts.sni(server, context), timeoutMs: backend.connectTimeoutMs});
    if (securing === null) {
      ready();
      return;
    }
    // It tells of what happens to the connection meanwhile.
    plain.off('close', closed);
    securing.then((secured) => {
      socket = secured;
      ready();
    }, fail);
  });
  return {
    cancel: () => {
      if (!settle()) return;
      socket.destroy();
      plain.destroy();
    },
  };
}
