/** `send-proxy` and its kin: the header that goes to a server before everything else, or in front of each datagram. */
import {X509Certificate} from 'node:crypto';
import type {TlsFacts} from '../samples/context.ts';
import {bareProxyHeader, type Endpoint, type ProxiedTls} from './proxy-header.ts';
import {formatVersion1} from './version-1.ts';
import {formatVersion2} from './version-2.ts';

/** Whom a connection or datagram is from. */
export interface ProxiedClient {
  readonly protocol: 'tcp' | 'udp';
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly tls: TlsFacts | null;
  /** As `unique-id-format` has it. */
  readonly uniqueId: string | null;
}

/**
 * What servers with these settings get. A version 2 header has what the `options` of `proxy-v2-options` ask for as far as it is known; the
 * protocol that ALPN chose is in each, as HAProxy has it. Prepared once for a server.
 */
export function proxyHeaderWriter(version: 'v1' | 'v2', options: readonly string[]): (client: ProxiedClient) => Buffer {
  if (version === 'v1') return (client) => formatVersion1(addressesOf(client));
  const asked = new Set(options);
  const checksum = asked.has('crc32c');
  return (client) => {
    const {tls, uniqueId} = client;
    const header = {
      ...bareProxyHeader,
      addresses: addressesOf(client),
      alpn: tls?.alpn ?? null,
      authority: asked.has('authority') ? (tls?.sni ?? null) : null,
      uniqueId: asked.has('unique-id') && uniqueId !== null ? Buffer.from(uniqueId) : null,
      tls: tls === null ? null : proxiedTls(tls, asked),
    };
    return formatVersion2(header, {checksum});
  };
}

/** For a connection of our own, such as a health check: `LOCAL`, and in version 1 the addresses that it has. */
export function ownProxyHeader(version: 'v1' | 'v2', own: {readonly source: Endpoint; readonly destination: Endpoint}): Buffer {
  if (version === 'v1') return formatVersion1({kind: 'ip', transport: 'stream', ...own});
  return formatVersion2({...bareProxyHeader, local: true}, {checksum: false});
}

function addressesOf({protocol, source, destination}: ProxiedClient) {
  return {kind: 'ip', transport: protocol === 'tcp' ? 'stream' : 'datagram', source, destination} as const;
}

const tlsOptions: readonly string[] = ['ssl', 'cert-cn', 'ssl-cipher', 'cert-sig', 'cert-key'];

function proxiedTls(tls: TlsFacts, asked: ReadonlySet<string>): ProxiedTls | null {
  if (!tlsOptions.some((option) => asked.has(option))) return null;
  const {client} = tls;
  return {
    version: tls.version,
    clientCertificate: client === null ? 'none' : tls.resumed ? 'session' : 'connection',
    verifyResult: client === null ? noCertificate : client.verified,
    commonName: client !== null && asked.has('cert-cn') ? commonName(client.der) : null,
    cipher: asked.has('ssl-cipher') ? tls.cipher : null,
    signatureAlgorithm: null,
    keyAlgorithm: null,
  };
}

/** What a receiver must not take for a good certificate. */
const noCertificate = 1;

function commonName(der: Uint8Array): string | null {
  const names = new X509Certificate(der).toLegacyObject().subject.CN;
  return (Array.isArray(names) ? names.at(-1) : names) ?? null;
}
