/** A certificate with its chain and key, checked: what a file of `crt` holds. */
import {createPrivateKey, type KeyObject, X509Certificate} from 'node:crypto';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {splitPem} from './pem.ts';

export interface Certificate {
  /** The absolute path of its file; it is the certificate's name in the runtime API too. */
  readonly path: string;
  readonly leaf: X509Certificate;
  /** The leaf, then what was beside it. */
  readonly chainPem: string;
  readonly keyPem: string;
  /** `rsa`, `ec`, `ed25519`, ...: a client may be able to use only one kind. */
  readonly keyType: string;
  /** In lower case: subject alternative names, and the common name. */
  readonly names: readonly string[];
}

export type CertificateError = CodedError<'ERR_CERTIFICATE'>;

/** Messages are HAProxy's, because operators search for them. */
export function certificateError(message: string, cause?: unknown): CertificateError {
  return new CodedError('ERR_CERTIFICATE', message, {source: 'host', cause});
}

/**
 * @param keyText the content of the file that has the key when `text` has none; null: there is no such file
 * @throws CodedError ERR_CERTIFICATE when there is no certificate or key, or they do not belong together
 */
export function makeCertificate(path: string, text: string, keyText: string | null): Certificate {
  const {certificates, privateKey} = splitPem(text);
  const leaf = parseLeaf(path, certificates[0]);
  const keyPem = privateKey ?? (keyText === null ? null : splitPem(keyText).privateKey);
  if (keyPem === null) throw certificateError(`No Private Key found in '${path}.key'`);
  const key = parseKey(path, keyPem);
  if (!leaf.checkPrivateKey(key)) throw certificateError(`inconsistencies between private key and certificate loaded '${path}'`);
  return {path, leaf, chainPem: certificates.join(''), keyPem, keyType: key.asymmetricKeyType ?? 'unknown', names: namesOf(leaf)};
}

/** @throws CodedError ERR_CERTIFICATE */
export function parseLeaf(path: string, pem: string | undefined): X509Certificate {
  if (pem === undefined) throw certificateError(`unable to load certificate from file '${path}'`);
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw certificateError(`unable to load certificate from file '${path}': ${errorMessage(error)}`, error);
  }
}

/** @throws CodedError ERR_CERTIFICATE */
export function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const found = pem.includes('ENCRYPTED') ? 'it is encrypted' : errorMessage(error);
    throw certificateError(`unable to load private key from file '${path}': ${found}`, error);
  }
}

function namesOf(leaf: X509Certificate): readonly string[] {
  const {subject} = leaf.toLegacyObject();
  const commonNames = [subject.CN].flat().filter((name) => typeof name === 'string');
  // A name with a comma or a quote is written in quotes, and no host has one.
  const alternatives = (leaf.subjectAltName ?? '').split(', ').flatMap((part) => /^DNS:([^"]+)$/.exec(part)?.[1] ?? []);
  return [...new Set([...alternatives, ...commonNames].map((name) => name.toLowerCase()))];
}
