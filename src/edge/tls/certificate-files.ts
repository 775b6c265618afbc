/** Finds and reads what `crt` and `ca-file` name: files, directories, and files that come in one for each kind of key. */
import {readdir, readFile, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {getCACertificates} from 'node:tls';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {type Certificate, certificateError, makeCertificate} from './certificate.ts';
import {splitPem} from './pem.ts';

/** What belongs to a certificate of the same name, or is none of our business. */
const companions = /\.(?:issuer|key|ocsp|sctl)$/;
const kindsOfKeys = ['rsa', 'dsa', 'ecdsa'] as const;
const reasons: Readonly<Record<string, string>> = {ENOENT: 'No such file or directory', EACCES: 'Permission denied', EISDIR: 'Is a directory'};

/**
 * The paths of the certificates behind one `crt`: the file; those of a directory in the order of their names, hidden ones left out; or, when
 * there is no such file, `path.rsa`, `path.dsa` and `path.ecdsa`.
 * @throws CodedError ERR_CERTIFICATE
 */
export async function findCertificates(path: string): Promise<readonly string[]> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return [path];
    const entries = await readdir(path, {withFileTypes: true});
    return entries
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.') && !companions.test(entry.name))
      .map((entry) => join(path, entry.name))
      .sort();
  } catch (error) {
    const bundle = errorCode(error) === 'ENOENT' ? await findBundle(path) : [];
    if (bundle.length > 0) return bundle;
    throw certificateError(`unable to stat SSL certificate from file '${path}' : ${reasonOf(error)}`, error);
  }
}

async function findBundle(path: string): Promise<readonly string[]> {
  const found = await Promise.all(kindsOfKeys.map(async (kind) => ((await exists(`${path}.${kind}`)) ? [`${path}.${kind}`] : [])));
  return found.flat();
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false, // Unreadable is as good as missing: the message is about the path without an ending.
  );
}

/** @throws CodedError ERR_CERTIFICATE */
export async function readCertificate(path: string): Promise<Certificate> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw certificateError(`unable to load certificate from file '${path}' : ${reasonOf(error)}`, error);
  }
  return makeCertificate(path, text, await readKeyBeside(path));
}

async function readKeyBeside(path: string): Promise<string | null> {
  try {
    return await readFile(`${path}.key`, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw certificateError(`unable to load private key from file '${path}.key' : ${reasonOf(error)}`, error);
  }
}

export interface Authorities {
  readonly certificates: readonly string[];
  readonly revocationLists: readonly string[];
}

/**
 * A file or directory of certificates and revocation lists; `@system-ca`: those that the system trusts.
 * @throws CodedError ERR_CA_FILE
 */
export async function readAuthorities(path: string): Promise<Authorities> {
  if (path === '@system-ca') return {certificates: getCACertificates('system'), revocationLists: []};
  let text: string;
  try {
    text = await readAll(path);
  } catch (error) {
    throw new CodedError('ERR_CA_FILE', `Couldn't open the ca-file '${path}' (${reasonOf(error)})`, {source: 'host', cause: error});
  }
  const {certificates, revocationLists} = splitPem(text);
  if (certificates.length + revocationLists.length === 0) {
    throw new CodedError('ERR_CA_FILE', `Couldn't open the ca-file '${path}' (no certificate or crl found)`, {source: 'host'});
  }
  return {certificates, revocationLists};
}

async function readAll(path: string): Promise<string> {
  if (!(await stat(path)).isDirectory()) return readFile(path, 'utf8');
  const names = (await readdir(path)).filter((name) => /\.(?:pem|crt|cer|crl)$/.test(name)).sort();
  return (await Promise.all(names.map((name) => readFile(join(path, name), 'utf8')))).join('\n');
}

function reasonOf(error: unknown): string {
  return reasons[errorCode(error) ?? ''] ?? errorMessage(error);
}
