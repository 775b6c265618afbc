/**
 * Why a connection never became a session, in the numbers and words of HAProxy's log lines (its manual, section 8.2.5; `fc_err`), which programs
 * that read such lines look for.
 */
import {errorCode} from '../../core/errors.ts';
import type {FirstBytesErrorCode} from '../inspect/first-bytes.ts';
import type {SessionRecord} from '../logs/session-record.ts';
import {connectionCount} from '../numbers.ts';
import type {ProxyHeaderErrorCode} from '../proxy-protocol/receive-proxy-header.ts';
import type {ConnectionFailure} from '../samples/context.ts';
import type {TlsErrorCode} from '../tls/accept-tls.ts';

type Cause = readonly [code: number, text: string];

const causes = {
  ERR_FIRST_BYTES_TIMEOUT: [13, 'Timeout while waiting for PROXY protocol header'],
  ERR_FIRST_BYTES_ENDED: [14, 'Truncated PROXY protocol header received'],
  ERR_NO_PROXY_HEADER: [15, 'Received something which does not look like a PROXY protocol header'],
  ERR_PROXY_HEADER: [16, 'Received an invalid PROXY protocol header'],
  ERR_TLS_ABANDONED: [24, 'Connection closed during SSL handshake'],
  ERR_TLS_TIMEOUT: [26, 'Timeout during SSL handshake'],
  ERR_TLS_REFUSED: [27, 'Too many SSL connections'],
  ERR_TLS_CLIENT_CERTIFICATE: [31, 'SSL client certificate not trusted'],
  ERR_TLS_NO_HELLO: [34, 'SSL handshake failure'],
  ERR_TLS_UNKNOWN_NAME: [34, 'SSL handshake failure'],
  ERR_TLS_HANDSHAKE: [34, 'SSL handshake failure'],
} as const satisfies Record<FirstBytesErrorCode | ProxyHeaderErrorCode | TlsErrorCode, Cause>;

const nothingCame: Cause = [11, 'Connection closed while waiting for PROXY protocol header'];

/** With nothing to tell of, for `option dontlognull`: the client has left or has said nothing, whatever it had begun in TLS. */
const empty: readonly number[] = [nothingCame[0], causes.ERR_FIRST_BYTES_TIMEOUT[0], causes.ERR_TLS_ABANDONED[0], causes.ERR_TLS_TIMEOUT[0]];

function causeOf(error: unknown, bytesRead: number): Cause {
  const code = errorCode(error) ?? '';
  if (code === 'ERR_FIRST_BYTES_ENDED' && bytesRead === 0) return nothingCame;
  // That a certificate is missing ends the handshake, as another fault of it does.
  const isMissing = error instanceof Error && errorCode(error.cause) === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
  return !isMissing && code in causes ? causes[code as keyof typeof causes] : causes.ERR_TLS_HANDSHAKE;
}

/**
 * @param error what the PROXY header or the handshake have ended with
 * @param way `bytesRead` of the connection, and whether its bind is one with TLS
 */
export function handshakeFailure(error: unknown, way: {readonly bytesRead: number; readonly overTls: boolean}): ConnectionFailure {
  const [code, text] = causeOf(error, way.bytesRead);
  return {code, text, overTls: way.overTls, isEmpty: empty.includes(code), isTimeout: text.startsWith('Timeout')};
}

/** @param facts `sessions` of the frontend, without this connection; `elapsedMs` since it was accepted */
export function failureRecord({
  acceptedAtMs,
  elapsedMs,
  sessions,
  failure,
  lineNumber,
}: {
  readonly acceptedAtMs: number;
  readonly elapsedMs: number;
  readonly sessions: number;
  readonly failure: ConnectionFailure;
  readonly lineNumber: number;
}): SessionRecord {
  const totalMs = Math.round(elapsedMs);
  return {
    times: {
      acceptedAtMs,
      requestAtMs: acceptedAtMs,
      handshakeMs: failure.isTimeout ? null : totalMs,
      idleMs: 0,
      requestMs: null,
      waitMs: null,
      connectMs: null,
      responseMs: null,
      activeMs: totalMs,
      totalMs,
    },
    counts: {process: sessions + 1, frontend: sessions + 1, backend: 0, server: 0, retries: 0, redispatched: false, serverQueue: 0, backendQueue: 0},
    requestNumber: connectionCount(),
    lineNumber,
    backend: null,
    server: null,
    serverAddress: null,
    backendSource: null,
    request: null,
    status: 0,
    bytesFromServer: 0,
    bytesFromClient: 0,
    termination: 'PR--',
    requestCookie: null,
    responseCookie: null,
    wake: null,
  };
}
