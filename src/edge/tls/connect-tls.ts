/** TLS to servers: on a connection that is up, be it to an address or a unix socket, with or without a PROXY header before. */
import {isIP, type Socket} from 'node:net';
import {type ConnectionOptions, checkServerIdentity, connect, createSecureContext, type PeerCertificate, type SecureContext, type TLSSocket} from 'node:tls';
import type {TlsServer} from '../../config/tls.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {type Authorities, readAuthorities, readCertificate} from './certificate-files.ts';
import {cipherOptions, versionOptions} from './context-options.ts';

export interface TlsConnector {
  /**
   * Does the handshake on a connected socket that nobody reads. An error destroys it.
   * @param sni the name that the server is asked for: that of the expression of `sni`; null: none
   * @param alpn instead of those configured: a health check may speak another protocol
   * @throws CodedError ERR_SERVER_TLS; what went wrong is its cause
   */
  secure(raw: Socket, options: {readonly sni: string | null; readonly alpn?: readonly string[]; readonly timeoutMs: number}): Promise<TLSSocket>;
}

/** A server has one name mostly; where the client's is sent on, many. */
const keptSessions = 100;

/**
 * @param label `backend/server`, for messages
 * @throws CodedError ERR_CA_FILE, ERR_CERTIFICATE
 */
export async function openTlsConnector(label: string, tls: TlsServer): Promise<TlsConnector> {
  const secureContext = await createContext(tls);
  const sessions = new Map<string, Buffer>();
  const keep = (name: string, session: Buffer): void => {
    const [oldest] = sessions.keys();
    if (oldest !== undefined && sessions.size >= keptSessions && !sessions.has(name)) sessions.delete(oldest);
    sessions.set(name, session);
  };
  return {
    async secure(raw, {sni, alpn = tls.alpn, timeoutMs}) {
      const name = sni === null || sni === '' || isIP(sni) !== 0 ? null : sni;
      const session = sessions.get(name ?? '');
      const options: ConnectionOptions = {
        socket: raw,
        secureContext,
        rejectUnauthorized: tls.verify === 'required',
        checkServerIdentity: (_host, certificate) => checkName(tls.verifyHost ?? name, certificate),
        ...(name === null ? {} : {servername: name}),
        ...(alpn.length === 0 ? {} : {ALPNProtocols: [...alpn]}),
        ...(session === undefined ? {} : {session}),
      };
      const socket = await handshake(label, raw, options, timeoutMs);
      // A ticket of TLS 1.3 comes after the handshake, and only here the server is known to be the right one.
      socket.on('session', (next: Buffer) => keep(name ?? '', next));
      const agreed = socket.getSession();
      if (agreed !== undefined && socket.getProtocol() !== 'TLSv1.3') keep(name ?? '', agreed);
      return socket;
    },
  };
}

async function createContext(tls: TlsServer): Promise<SecureContext> {
  const certificate = tls.certificate === null ? null : await readCertificate(tls.certificate);
  const authorities = tls.verify === 'none' ? null : await readAuthorities(tls.caFile ?? '@system-ca');
  const revoked = tls.crlFile === null || authorities === null ? null : await readAuthorities(tls.crlFile);
  const crl = [...(authorities?.revocationLists ?? []), ...(revoked?.revocationLists ?? [])];
  return createSecureContext({
    ...versionOptions(tls),
    ...cipherOptions(tls),
    // An empty list keeps Node from loading the authorities that it brings.
    ca: certificatesOf(authorities),
    ...(crl.length === 0 ? {} : {crl}),
    ...(certificate === null ? {} : {cert: certificate.chainPem, key: certificate.keyPem}),
  });
}

function certificatesOf(authorities: Authorities | null): string[] {
  return [...(authorities?.certificates ?? [])];
}

/** As HAProxy does: without a name that was asked for, any certificate of the authority is good. */
function checkName(expected: string | null, certificate: PeerCertificate): Error | undefined {
  return expected === null ? undefined : checkServerIdentity(expected, certificate);
}

async function handshake(label: string, raw: Socket, options: ConnectionOptions, timeoutMs: number): Promise<TLSSocket> {
  const {promise, resolve, reject} = Promise.withResolvers<TLSSocket>();
  const socket = connect(options);
  const fail = (found: string, cause?: unknown): void => {
    reject(new CodedError('ERR_SERVER_TLS', `Cannot do TLS handshake with server "${label}": ${found}`, {source: 'server', retryable: true, cause}));
    socket.destroy();
    raw.destroy();
  };
  const onError = (error: Error): void => fail(errorMessage(error), error);
  const onClose = (): void => fail('it closed the connection');
  const timer = setTimeout(() => fail(`it was too slow for ${timeoutMs} ms`), timeoutMs);
  socket
    .on('error', onError)
    .on('close', onClose)
    .once('secureConnect', () => resolve(socket));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.off('close', onClose);
    // Once the caller has it, errors are the caller's; of one that failed they are told already.
    if (!socket.destroyed) socket.off('error', onError);
  }
}
