/** TLS of listeners and to servers, as configured. Paths are absolute; the files are read when the gateway starts, and checked when it is configured. */

export const tlsVersions = ['TLSv1.0', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof tlsVersions)[number];

export interface TlsVersions {
  readonly min: TlsVersion | null;
  readonly max: TlsVersion | null;
}

/** A PEM file, or a directory of them, and for which names it is used; none: those in the certificate. */
export interface CertificateSource {
  readonly path: string;
  /** `*.example.com`, `!www.example.com` */
  readonly serverNames: readonly string[];
  readonly alpn: readonly string[] | null;
  readonly versions: TlsVersions | null;
  readonly verify: 'none' | 'optional' | 'required' | null;
  readonly caFile: string | null;
}

export interface TlsBind extends TlsVersions {
  /** Of `crt` and `crt-list`, in order; the first one is the default. */
  readonly certificates: readonly CertificateSource[];
  /** A client that asks for no name that we have is refused. */
  readonly strictSni: boolean;
  readonly alpn: readonly string[];
  /** Colon-separated OpenSSL names; null: Node's. */
  readonly ciphers: string | null;
  readonly ciphersuites: string | null;
  readonly tickets: boolean;
  /** Keys that several gateways share; null: those that this one has made. */
  readonly ticketKeysFile: string | null;
  readonly verify: 'none' | 'optional' | 'required';
  readonly caFile: string | null;
  readonly crlFile: string | null;
}

export interface TlsServer extends TlsVersions {
  readonly verify: 'none' | 'required';
  readonly caFile: string | null;
  readonly crlFile: string | null;
  /** The name that the certificate must have; null: the one sent as SNI. */
  readonly verifyHost: string | null;
  /** Our own certificate. */
  readonly certificate: string | null;
  readonly alpn: readonly string[];
  readonly ciphers: string | null;
  readonly ciphersuites: string | null;
}
