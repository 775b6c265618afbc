import type {X509Certificate} from 'node:crypto';
import type {TLSSocket} from 'node:tls';
import type {TlsFacts} from '../samples/context.ts';
import {verifyResult} from './verify-results.ts';

/**
 * What expressions ask about a client's TLS connection whose handshake is over.
 * @param sni as the client sent it
 */
export function tlsFacts(socket: TLSSocket, sni: string | null): TlsFacts {
  const certificate = socket.getPeerX509Certificate();
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().name,
    sni,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null,
    resumed: socket.isSessionReused(),
    client: certificate === undefined ? null : clientFacts(certificate, socket),
  };
}

function clientFacts(certificate: X509Certificate, socket: TLSSocket): NonNullable<TlsFacts['client']> {
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    fingerprintSha1: certificate.fingerprint.replaceAll(':', ''),
    der: certificate.raw,
    verified: verifyResult(authorizationCode(socket)),
  };
}

/** `/C=FR/O=Example/CN=alice`, as OpenSSL writes names in one line, and HAProxy with it. */
function oneLine(name: string): string {
  return name
    .split('\n')
    .filter((part) => part !== '')
    .map((part) => `/${part}`)
    .join('');
}

/** Null: the certificate is good. Node declares it an Error; on servers it is the error's code. */
export function authorizationCode(socket: TLSSocket): string | null {
  if (socket.authorized) return null;
  const found: unknown = socket.authorizationError;
  return typeof found === 'string' ? found : 'CERT_REJECTED';
}
