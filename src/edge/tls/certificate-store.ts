/**
 * All certificates in use, by path. One can be replaced while the gateway runs, in two steps: staged, then committed. Whoever uses the store sees either
 * the old one or the new one, and sees by `revision` that something has changed; connections that are up keep what they began with.
 */
import {CodedError} from '../../core/errors.ts';
import {type Certificate, certificateError, makeCertificate, parseKey, parseLeaf} from './certificate.ts';
import {findCertificates, readCertificate} from './certificate-files.ts';
import {splitPem} from './pem.ts';

/** Reads what the sources name, each path once. @throws CodedError ERR_CERTIFICATE about the first that is wrong */
export async function openCertificateStore(sources: Iterable<string>): Promise<CertificateStore> {
  const store = new CertificateStore();
  for (const source of new Set(sources)) await store.load(source);
  return store;
}

/** They need not fit together yet: the other part may follow. */
interface Staged {
  readonly chainPem: string;
  readonly keyPem: string;
}

export class CertificateStore {
  readonly #certificates = new Map<string, Certificate>();
  readonly #pathsBySource = new Map<string, readonly string[]>();
  readonly #staged = new Map<string, Staged>();
  #revision = 0;

  /** Grows with each change. */
  get revision(): number {
    return this.#revision;
  }

  /** @param source a path of `crt` or of a `crt-list` @throws CodedError ERR_CERTIFICATE */
  async load(source: string): Promise<void> {
    const paths = await findCertificates(source);
    const read = await Promise.all(paths.map(async (path) => this.#certificates.get(path) ?? readCertificate(path)));
    for (const certificate of read) this.#certificates.set(certificate.path, certificate);
    this.#pathsBySource.set(source, paths);
    this.#revision++;
  }

  /** In the order of their names when the source is a directory. */
  certificatesOf(source: string): readonly Certificate[] {
    return (this.#pathsBySource.get(source) ?? []).flatMap((path) => this.#certificates.get(path) ?? []);
  }

  get(path: string): Certificate | null {
    return this.#certificates.get(path) ?? null;
  }

  paths(): readonly string[] {
    return [...this.#certificates.keys()];
  }

  stagedPaths(): readonly string[] {
    return [...this.#staged.keys()];
  }

  /** What a commit would put in place; null: nothing is staged, or it is not complete. */
  staged(path: string): Certificate | null {
    const staged = this.#staged.get(path);
    if (staged === undefined) return null;
    try {
      return makeCertificate(path, staged.chainPem, staged.keyPem);
    } catch {
      return null; // `commit` says what is missing.
    }
  }

  /**
   * `set ssl cert`: puts PEM text beside the certificate of that path, or with the path of its `.key` file beside the key. Nothing is used yet.
   * @throws CodedError ERR_CERTIFICATE_UNKNOWN, ERR_CERTIFICATE (no certificate in the text, or no key in that of a `.key`)
   */
  stage(path: string, pem: string): 'created' | 'updated' {
    const isKey = path.endsWith('.key') && !this.#certificates.has(path);
    const name = isKey ? path.slice(0, -'.key'.length) : path;
    const used = this.#certificates.get(name);
    if (used === undefined) throw unknownCertificate(name, 'replace');
    const before = this.#staged.get(name);
    const {chainPem, keyPem} = before ?? used;
    this.#staged.set(name, isKey ? {chainPem, keyPem: requireKey(path, pem)} : requireCertificate(path, pem, keyPem));
    return before === undefined ? 'created' : 'updated';
  }

  /**
   * `commit ssl cert`: what was staged takes the place of what is used. When it does not fit together, everything stays as it was.
   * @throws CodedError ERR_CERTIFICATE_UNKNOWN (nothing is staged), ERR_CERTIFICATE
   */
  commit(path: string): void {
    const staged = this.#staged.get(path);
    if (staged === undefined) throw unknownCertificate(path, 'commit');
    this.#certificates.set(path, makeCertificate(path, staged.chainPem, staged.keyPem));
    this.#staged.delete(path);
    this.#revision++;
  }

  /** `abort ssl cert`. @throws CodedError ERR_CERTIFICATE_UNKNOWN when nothing is staged */
  abort(path: string): void {
    if (!this.#staged.delete(path)) throw unknownCertificate(path, 'abort');
  }
}

function requireKey(path: string, pem: string): string {
  const {privateKey} = splitPem(pem);
  if (privateKey === null) throw certificateError(`No Private Key found in '${path}'`);
  parseKey(path, privateKey);
  return privateKey;
}

function requireCertificate(path: string, pem: string, keyBefore: string): Staged {
  const {certificates, privateKey} = splitPem(pem);
  parseLeaf(path, certificates[0]);
  if (privateKey !== null) parseKey(path, privateKey);
  return {chainPem: certificates.join(''), keyPem: privateKey ?? keyBefore};
}

function unknownCertificate(path: string, verb: string): CodedError<'ERR_CERTIFICATE_UNKNOWN'> {
  const found = verb === 'replace' ? 'no certificate of that name is in use' : 'nothing was staged for it';
  return new CodedError('ERR_CERTIFICATE_UNKNOWN', `Cannot ${verb} certificate "${path}": ${found}`, {source: 'client'});
}
