/** Connects to a server: TCP or a unix socket, a PROXY header where it is configured, TLS. */
import type {Socket} from 'node:net';
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {SampleContext} from '../samples/context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {connectStream} from '../streams/connect-stream.ts';
import {nodeSocket} from '../streams/node-socket.ts';
import type {ServerEndpoint} from './assignment.ts';

/** What the parts for TLS and the PROXY protocol have to say about a new connection. */
export interface DialParts {
  readonly clock: Clock;
  /** The name that a server is asked for with TLS. */
  sni(server: ServerConfig, context: SampleContext): string | null;
  /** What does TLS on a connected socket; null: the server is spoken to in the clear. It rejects when the handshake fails, and destroys the socket then. */
  secure(server: ServerConfig): ((raw: Socket, options: {readonly sni: string | null; readonly timeoutMs: number}) => Promise<Socket>) | null;
  /** The header that comes first; null: none. */
  proxyHeader(server: ServerConfig, context: SampleContext): Buffer | null;
}

export interface DialRequest {
  readonly server: ServerConfig;
  readonly backend: BackendConfig;
  readonly endpoint: ServerEndpoint;
  readonly context: SampleContext;
}

export interface Dialling {
  /** Gives it up; nobody is told. */
  cancel(): void;
}

interface DialResult {
  connected(socket: ByteStream): void;
  failed(error: CodedError<'ERR_CONNECT'>): void;
}

/** `result` is called once, never before this returns. */
export function dial(request: DialRequest, parts: DialParts, result: DialResult): Dialling {
  const {server, backend, context, endpoint} = request;
  const source = endpoint.from === undefined ? (server.source ?? backend.source) : {host: endpoint.from, port: null};
  const plain = connectStream({
    endpoint,
    source: source === 'client' ? {host: context.connection.source.host, port: null} : source,
    keepAlive: backend.tcpKeepAlive,
  });
  let socket: ByteStream = plain;
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
    const secure = parts.secure(server);
    if (secure === null) {
      ready();
      return;
    }
    const raw = nodeSocket(plain);
    socket = raw;
    raw.on('error', fail);
    secure(raw, {sni: parts.sni(server, context), timeoutMs: backend.connectTimeoutMs}).then((secured) => {
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
