/** Ends the TLS of clients: from an accepted connection to one whose bytes are in the clear, or to a refusal. */
import type {Socket} from 'node:net';
import type {TLSSocket} from 'node:tls';
import type {TlsBind} from '../../config/tls.ts';
import {CodedError, errorCode} from '../../core/errors.ts';
import {parseClientHello} from '../inspect/client-hello.ts';
import {type Examination, readFirstBytes} from '../inspect/first-bytes.ts';
import type {TlsFacts} from '../samples/context.ts';
import {openBindContexts} from './bind-contexts.ts';
import type {CertificateStore} from './certificate-store.ts';
import type {HandshakeOutcome, Handshaker} from './handshake.ts';
import type {TicketKeyFiles} from './ticket-keys.ts';
import {newTlsCounters, type TlsCounters} from './tls-counters.ts';
import {authorizationCode, tlsFacts} from './tls-facts.ts';

export interface AcceptedTls {
  readonly socket: TLSSocket;
  readonly facts: TlsFacts;
}

export type TlsErrorCode =
  | 'ERR_TLS_REFUSED'
  | 'ERR_TLS_TIMEOUT'
  | 'ERR_TLS_ABANDONED'
  | 'ERR_TLS_NO_HELLO'
  | 'ERR_TLS_UNKNOWN_NAME'
  | 'ERR_TLS_CLIENT_CERTIFICATE'
  | 'ERR_TLS_HANDSHAKE';

export interface TlsAcceptor {
  readonly counters: Readonly<TlsCounters>;
  /**
   * Does the handshake on a connection that nobody reads; bytes that were given back to it count as its first. An error destroys the connection.
   * @param timeoutMs of the whole handshake
   * @throws CodedError with a {@link TlsErrorCode}
   */
  accept(raw: Socket, options: {readonly timeoutMs: number}): Promise<AcceptedTls>;
}

export interface TlsAcceptorOptions {
  readonly store: CertificateStore;
  /** 48 bytes. Those of the process before, so that its clients need no whole handshake after a reload. */
  readonly ticketKeys: Buffer;
  /** Those of binds that name a file of them, which count instead. */
  readonly ticketKeyFiles?: TicketKeyFiles;
  /** More handshakes at a time are refused. Each may hold a hello and a key exchange. */
  readonly maxHandshakes: number;
}

/** @throws CodedError ERR_CA_FILE */
export async function openTlsAcceptor(bind: TlsBind, options: TlsAcceptorOptions): Promise<TlsAcceptor> {
  const contexts = await openBindContexts(bind, options);
  const counters = newTlsCounters();

  const accept = async (raw: Socket, timeoutMs: number): Promise<AcceptedTls> => {
    if (counters.pending >= options.maxHandshakes) throw tlsError('ERR_TLS_REFUSED', `${counters.pending} others are under way`);
    counters.pending++;
    const deadlineMs = performance.now() + timeoutMs;
    try {
      const hello = await readFirstBytes(raw, examineHello, {timeoutMs});
      const context = contexts.choose(hello);
      if (context === null) {
        raw.write(unrecognizedName);
        throw tlsError('ERR_TLS_UNKNOWN_NAME', hello.sni === null ? 'the client asks for no name' : `no certificate is for ${JSON.stringify(hello.sni)}`);
      }
      const socket = await handshake(raw, context.handshaker, Math.max(1, deadlineMs - performance.now()));
      const facts = tlsFacts(socket, hello.sni);
      if (facts.client !== null && facts.client.verified !== 0) {
        socket.destroy();
        throw tlsError('ERR_TLS_CLIENT_CERTIFICATE', authorizationCode(socket) ?? '');
      }
      return {socket, facts};
    } finally {
      counters.pending--;
    }
  };

  return {
    counters,
    async accept(raw, {timeoutMs}) {
      const ignore = (): void => {
        // A reset is told by what waits for the socket.
      };
      raw.on('error', ignore);
      try {
        const accepted = await accept(raw, timeoutMs);
        counters.succeeded++;
        if (accepted.facts.resumed) counters.resumed++;
        return accepted;
      } catch (error) {
        raw.destroySoon();
        const coded = toTlsError(error);
        counters[counterOf[coded.code]]++;
        throw coded;
      }
    },
  };
}

const counterOf = {
  ERR_TLS_REFUSED: 'refused',
  ERR_TLS_TIMEOUT: 'timedOut',
  ERR_TLS_ABANDONED: 'abandoned',
  ERR_TLS_NO_HELLO: 'notTls',
  ERR_TLS_UNKNOWN_NAME: 'unknownName',
  ERR_TLS_CLIENT_CERTIFICATE: 'clientCertificate',
  ERR_TLS_HANDSHAKE: 'failed',
} as const satisfies Record<TlsErrorCode, keyof TlsCounters>;

/** A record of version 3.3 with a fatal alert: unrecognized_name (RFC 6066, section 3). */
const unrecognizedName = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

interface Hello {
  readonly sni: string | null;
  readonly alpn: readonly string[];
}

/** Uses none of the bytes: the handshake begins with them. */
function examineHello(bytes: Buffer): Examination<Hello> {
  const reading = parseClientHello(bytes);
  switch (reading.kind) {
    case 'complete':
      return {done: true, value: reading, usedBytes: 0};
    case 'incomplete':
      return {done: false, neededBytes: bytes.length + 1};
    case 'none':
      throw tlsError('ERR_TLS_NO_HELLO', 'what the client sends is no ClientHello');
    default:
      return reading satisfies never;
  }
}

async function handshake(raw: Socket, handshaker: Handshaker, timeoutMs: number): Promise<TLSSocket> {
  const {promise, resolve, reject} = Promise.withResolvers<TLSSocket>();
  const timer = setTimeout(() => {
    reject(tlsError('ERR_TLS_TIMEOUT', 'the client was too slow'));
    raw.destroy();
  }, timeoutMs);
  // The end of the stream may have come with the hello, before Node's TLS reads the socket: it would not see it.
  const onEnd = (): void => {
    reject(tlsError('ERR_TLS_ABANDONED', 'the client has left'));
    raw.destroy();
  };
  raw.once('end', onEnd);
  // A client that says no more before the handshake is over has left; afterwards it may be listening still.
  const {allowHalfOpen} = raw;
  raw.allowHalfOpen = false;
  handshaker.start(raw, (outcome) => {
    clearTimeout(timer);
    raw.off('end', onEnd);
    outcome.socket.allowHalfOpen = allowHalfOpen;
    if (outcome.ok) resolve(outcome.socket);
    else reject(outcomeError(outcome));
  });
  return promise;
}

function outcomeError({error, socket}: Extract<HandshakeOutcome, {ok: false}>): CodedError<TlsErrorCode> {
  const verification: unknown = socket.authorizationError;
  if (typeof verification === 'string') return tlsError('ERR_TLS_CLIENT_CERTIFICATE', verification, error);
  const code = errorCode(error) ?? '';
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return tlsError('ERR_TLS_CLIENT_CERTIFICATE', 'the client sent none', error);
  if (code === 'ECONNRESET' || code === 'EPIPE') return tlsError('ERR_TLS_ABANDONED', 'the client has left', error);
  return tlsError('ERR_TLS_HANDSHAKE', error.message, error);
}

function toTlsError(error: unknown): CodedError<TlsErrorCode> {
  switch (errorCode(error)) {
    case 'ERR_FIRST_BYTES_TIMEOUT':
      return tlsError('ERR_TLS_TIMEOUT', 'the client sent no whole ClientHello', error);
    case 'ERR_FIRST_BYTES_ENDED':
      return tlsError('ERR_TLS_ABANDONED', 'the client has left', error);
    default:
      return isTlsError(error) ? error : tlsError('ERR_TLS_HANDSHAKE', 'it cannot be begun', error);
  }
}

function isTlsError(error: unknown): error is CodedError<TlsErrorCode> {
  return error instanceof CodedError && error.code in counterOf;
}

function tlsError(code: TlsErrorCode, found: string, cause?: unknown): CodedError<TlsErrorCode> {
  return new CodedError(code, `Cannot do TLS handshake with a client: ${found}`, {source: 'client', cause});
}
