/** Which certificates a client gets for the name it asks for: HAProxy's rules. */
import type {CertificateSource} from '../../config/tls.ts';
import type {Certificate} from './certificate.ts';

/** What one client gets: one certificate for each kind of key, and the settings of the line that names them. */
export interface Choice {
  readonly source: CertificateSource;
  readonly certificates: readonly Certificate[];
}

interface Named {
  readonly source: CertificateSource;
  readonly certificate: Certificate;
  /** Names that a wildcard of the same line is not for. */
  readonly exceptions: ReadonlySet<string>;
}

export interface ServerNames {
  /** The first certificate, for clients that ask for no name that we have; null: there is none. */
  readonly fallback: Choice | null;
  /** An exact name goes before a wildcard, which stands for one label. */
  find(name: string): Choice | null;
}

/** @param sources in the order of the configuration, each with its certificates */
export function indexServerNames(sources: readonly {readonly source: CertificateSource; readonly certificates: readonly Certificate[]}[]): ServerNames {
  const exact = new Map<string, Named[]>();
  const wildcards = new Map<string, Named[]>();
  for (const {source, certificates} of sources) {
    const filters = source.serverNames.map((name) => name.toLowerCase());
    const exceptions = new Set(filters.filter((name) => name.startsWith('!')).map((name) => name.slice(1)));
    for (const certificate of certificates) {
      // With nothing but exceptions it is for no name at all: `!*` makes a mere fallback of it.
      const names = filters.length === 0 ? certificate.names : filters.filter((name) => !name.startsWith('!'));
      for (const name of names) {
        if (name.startsWith('*')) add(wildcards, name.slice(1), {source, certificate, exceptions});
        else add(exact, name, {source, certificate, exceptions});
      }
    }
  }
  const [first] = sources.filter(({certificates}) => certificates.length > 0);
  return {
    fallback: first === undefined ? null : {source: first.source, certificates: firstCertificates(first.certificates)},
    find(name) {
      const asked = name.toLowerCase();
      const dot = asked.indexOf('.');
      return choose(exact.get(asked)) ?? (dot < 0 ? null : choose(wildcards.get(asked.slice(dot))?.filter(({exceptions}) => !exceptions.has(asked))));
    },
  };
}

function add(map: Map<string, Named[]>, key: string, value: Named): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** The first one, and of other kinds of keys those that come with the same settings. */
function choose(named: readonly Named[] | undefined): Choice | null {
  const [first] = named ?? [];
  if (named === undefined || first === undefined) return null;
  const alike = named.filter(({source}) => settingsOf(source) === settingsOf(first.source));
  return {source: first.source, certificates: onePerKeyType(alike.map(({certificate}) => certificate))};
}

/** Those of a directory are many sites; those of a bundle are one. */
function firstCertificates(certificates: readonly Certificate[]): readonly Certificate[] {
  const base = certificates[0]?.path.replace(/\.(?:rsa|dsa|ecdsa)$/, '');
  return onePerKeyType(certificates.filter(({path}, index) => index === 0 || path.replace(/\.(?:rsa|dsa|ecdsa)$/, '') === base));
}

function onePerKeyType(certificates: readonly Certificate[]): readonly Certificate[] {
  const types = new Set<string>();
  return certificates.filter(({keyType}) => !types.has(keyType) && types.add(keyType));
}

export function settingsOf({alpn, versions, verify, caFile}: CertificateSource): string {
  return JSON.stringify([alpn, versions, verify, caFile]);
}
