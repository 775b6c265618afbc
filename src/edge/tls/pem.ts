/** What PEM files (RFC 7468) hold, in whatever order; text between the blocks is left out. */
export interface PemBlocks {
  readonly certificates: readonly string[];
  readonly privateKey: string | null;
  readonly revocationLists: readonly string[];
}

const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g;

/** When there are several keys, the first one counts, as in HAProxy. */
export function splitPem(text: string): PemBlocks {
  const certificates: string[] = [];
  const revocationLists: string[] = [];
  let privateKey: string | null = null;
  for (const [pem, label = ''] of text.matchAll(block)) {
    if (label === 'CERTIFICATE' || label === 'X509 CERTIFICATE' || label === 'TRUSTED CERTIFICATE') certificates.push(`${pem}\n`);
    else if (label === 'X509 CRL') revocationLists.push(`${pem}\n`);
    else if (label.endsWith('PRIVATE KEY')) privateKey ??= `${pem}\n`;
  }
  return {certificates, privateKey, revocationLists};
}
