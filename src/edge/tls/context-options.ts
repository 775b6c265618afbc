/** Settings of TLS as Node's contexts want them. */
import {constants} from 'node:crypto';
import type {SecureContextOptions, SecureVersion} from 'node:tls';
import {type TlsVersion, type TlsVersions, tlsVersions} from '../../config/tls.ts';

/** HAProxy's default since 2.2. */
const defaultMin: TlsVersion = 'TLSv1.2';
const newest: TlsVersion = 'TLSv1.3';
const [tls13Suites, olderCiphers] = splitCiphers(constants.defaultCipherList);

export function versionOptions({min, max}: TlsVersions): SecureContextOptions {
  const maxVersion = max ?? newest;
  const isBelowDefault = tlsVersions.indexOf(maxVersion) < tlsVersions.indexOf(defaultMin);
  return {minVersion: nodeVersion(min ?? (isBelowDefault ? maxVersion : defaultMin)), maxVersion: nodeVersion(maxVersion)};
}

function nodeVersion(version: TlsVersion): SecureVersion {
  return version === 'TLSv1.0' ? 'TLSv1' : version;
}

/** Node takes both lists in one; the part that is not configured must not become empty, or it would drop versions. */
export function cipherOptions({ciphers, ciphersuites}: {readonly ciphers: string | null; readonly ciphersuites: string | null}): SecureContextOptions {
  if (ciphers === null && ciphersuites === null) return {};
  return {ciphers: `${ciphersuites ?? tls13Suites}:${ciphers ?? olderCiphers}`};
}

function splitCiphers(list: string): readonly [string, string] {
  const names = list.split(':');
  const isTls13 = (name: string): boolean => name.startsWith('TLS_');
  return [names.filter(isTls13).join(':'), names.filter((name) => !isTls13(name)).join(':')];
}
