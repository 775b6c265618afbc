/**
 * What a header of the PROXY protocol says (the PROXY protocol, versions 1 and 2, of HAProxy's documentation: proxy-protocol.txt): whose
 * connection it is that another proxy carries to us, or that we carry to a server.
 */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type ProxiedAddresses =
  | {readonly kind: 'ip'; readonly transport: 'stream' | 'datagram'; readonly source: Endpoint; readonly destination: Endpoint}
  /** Paths of unix sockets; `''` is one without a name. */
  | {readonly kind: 'unix'; readonly transport: 'stream' | 'datagram'; readonly source: string; readonly destination: string};

/** Of a client's TLS connection that ended at the proxy before. */
export interface ProxiedTls {
  /** `TLSv1.3` */
  readonly version: string | null;
  /** The client gave a certificate, on this connection or when its session began. */
  readonly clientCertificate: 'none' | 'connection' | 'session';
  /** 0: it gave one, and it is good. */
  readonly verifyResult: number;
  readonly commonName: string | null;
  readonly cipher: string | null;
  /** Of the proxy's own certificate: `SHA256`, `RSA2048`. */
  readonly signatureAlgorithm: string | null;
  readonly keyAlgorithm: string | null;
}

export interface ProxyHeader {
  /** True: the proxy speaks for itself, for example to check our health. */
  readonly local: boolean;
  /** Null: unknown, or of no kind that we know. Those of the connection hold. */
  readonly addresses: ProxiedAddresses | null;
  readonly alpn: string | null;
  /** The server name that the client asked for. */
  readonly authority: string | null;
  readonly uniqueId: Uint8Array | null;
  readonly tls: ProxiedTls | null;
  readonly networkNamespace: string | null;
}

export const bareProxyHeader: ProxyHeader = {
  local: false,
  addresses: null,
  alpn: null,
  authority: null,
  uniqueId: null,
  tls: null,
  networkNamespace: null,
};

export type ProxyHeaderReading =
  | {readonly kind: 'complete'; readonly header: ProxyHeader; readonly sizeBytes: number}
  /** It cannot be complete before there are so many bytes in all. */
  | {readonly kind: 'incomplete'; readonly neededBytes: number}
  | {readonly kind: 'invalid' /** `a port of "http"` */; readonly found: string};

export function invalidHeader(found: string): ProxyHeaderReading {
  return {kind: 'invalid', found};
}
