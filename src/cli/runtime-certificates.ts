/** Certificates as the runtime API sees them. */
import {X509Certificate} from 'node:crypto';
import type {CertificateFacts, CertificatesControl} from '../admin/gateway-control.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import type {Certificate} from '../edge/tls/certificate.ts';
import type {CertificateStore} from '../edge/tls/certificate-store.ts';
import {splitPem} from '../edge/tls/pem.ts';

/**
 * @param store the one in use at the moment of a question
 * @param committed told of what was put in place, for other threads
 */
export function certificatesControl(store: () => CertificateStore, committed: (path: string, pem: string) => void): CertificatesControl {
  return {
    list: () => store().paths(),
    staged: () => store().stagedPaths(),
    find(path, which) {
      const certificate = which === 'used' ? store().get(path) : store().staged(path);
      return certificate === null ? null : certificateFacts(certificate);
    },
    stage(path, pem) {
      try {
        store().stage(path, pem);
      } catch (error) {
        if (errorCode(error) !== 'ERR_CERTIFICATE_UNKNOWN') throw error;
        throw new CodedError('ERR_UNKNOWN_CERTIFICATE', "Can't replace a certificate which is not referenced by the configuration!", {source: 'client'});
      }
    },
    commit(path) {
      const staged = store().staged(path);
      store().commit(path);
      if (staged !== null) committed(path, `${staged.chainPem}\n${staged.keyPem}`);
    },
    abort: (path) => store().abort(path),
  };
}

function certificateFacts({path, leaf, chainPem}: Certificate): CertificateFacts {
  const next = splitPem(chainPem).certificates[1];
  const issuer = next === undefined ? null : new X509Certificate(next);
  return {
    path,
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    chain: issuer === null ? null : {subject: oneLine(issuer.subject), issuer: oneLine(issuer.issuer)},
    serial: leaf.serialNumber,
    notBefore: leaf.validFrom,
    notAfter: leaf.validTo,
    names: (leaf.subjectAltName ?? '').split(', ').flatMap((part) => /^DNS:(.+)$/.exec(part)?.[1] ?? []),
    sha1Fingerprint: leaf.fingerprint.replaceAll(':', ''),
    algorithm: algorithmOf(leaf),
  };
}

/** Node has a line for each part of a name, with backslashes (RFC 2253); OpenSSL's old form, which HAProxy prints, has a slash before each part. */
function oneLine(name: string | undefined): string {
  return (name ?? '')
    .split('\n')
    .map((part) => `/${part.replaceAll(/\\([^0-9A-Fa-f])/g, '$1')}`)
    .join('');
}

const curveBits: Readonly<Record<string, number>> = {prime256v1: 256, secp384r1: 384, secp521r1: 521};

function algorithmOf({publicKey}: X509Certificate): string {
  const {asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details} = publicKey;
  if (type === 'ec') return `EC${curveBits[details?.namedCurve ?? ''] ?? ''}`;
  return `${type.toUpperCase()}${details?.modulusLength ?? ''}`;
}
