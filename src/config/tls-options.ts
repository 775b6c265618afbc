/** What `bind`, `server` and the lines `ssl-default-...-options` say about TLS. */
import {resolve} from 'node:path';
import {type Arguments, ConfigError} from './arguments.ts';
import {parseCrtList} from './crt-list.ts';
import {resolveInScope} from './expression/sample-expression.ts';
import {readHostFile} from './host-files.ts';
import type {Word} from './lex.ts';
import {flag, type OptionSpec} from './options.ts';
import type {Scope} from './scope.ts';
import {choice} from './shapes.ts';
import {parseTicketKeys} from './ticket-keys.ts';
import {type CertificateSource, type TlsVersion, tlsVersions} from './tls.ts';

/** What is said so far; undefined: nothing, and the defaults of `global` hold. */
export interface TlsDraft {
  versions: {min?: TlsVersion; max?: TlsVersion; readonly refused: Set<TlsVersion>};
  tickets?: boolean;
  ticketKeysFile?: string;
  ciphers?: string;
  ciphersuites?: string;
  alpn?: readonly string[];
  verify?: 'none' | 'optional' | 'required';
  caFile?: string;
  crlFile?: string;
  strictSni?: boolean;
}

export function emptyTls(): TlsDraft {
  return {versions: {refused: new Set()}};
}

type Holder = {readonly tls: TlsDraft};

const versionNames: Readonly<Record<string, TlsVersion>> = {
  'TLSv1.0': 'TLSv1.0',
  'TLSv1.1': 'TLSv1.1',
  'TLSv1.2': 'TLSv1.2',
  'TLSv1.3': 'TLSv1.3',
  SSLv3: 'TLSv1.0',
};
const bySuffix: Readonly<Record<string, TlsVersion>> = {tlsv10: 'TLSv1.0', tlsv11: 'TLSv1.1', tlsv12: 'TLSv1.2', tlsv13: 'TLSv1.3'};

function takeVersion(args: Arguments): TlsVersion {
  const word = args.take('<version>');
  const version = versionNames[word.text];
  if (version === undefined) throw args.invalid(word, `${tlsVersions.join(', ')} are possible`);
  return version;
}

/** `ssl-min-ver`, `no-tlsv11`, `force-tlsv12`, tickets. */
export const versionOptions: Readonly<Record<string, OptionSpec<Holder>>> = {
  'ssl-min-ver': {
    usage: '<version>',
    apply: ({tls}, args) => {
      tls.versions.min = takeVersion(args);
    },
  },
  'ssl-max-ver': {
    usage: '<version>',
    apply: ({tls}, args) => {
      tls.versions.max = takeVersion(args);
    },
  },
  'no-sslv3': flag(() => undefined),
  ...Object.fromEntries(
    Object.entries(bySuffix).flatMap(([suffix, version]) => [
      [`no-${suffix}`, flag<Holder>(({tls}) => void tls.versions.refused.add(version))],
      [
        `force-${suffix}`,
        flag<Holder>(({tls}) => {
          tls.versions.min = version;
          tls.versions.max = version;
        }),
      ],
    ]),
  ),
  'no-tls-tickets': flag(({tls}) => {
    tls.tickets = false;
  }),
  'tls-tickets': flag(({tls}) => {
    tls.tickets = true;
  }),
};

export const commonTlsOptions: Readonly<Record<string, OptionSpec<Holder>>> = {
  ...versionOptions,
  ciphers: {
    usage: '<ciphers>',
    apply: ({tls}, args) => {
      tls.ciphers = args.take('<ciphers>').text;
    },
  },
  ciphersuites: {
    usage: '<suites>',
    apply: ({tls}, args) => {
      tls.ciphersuites = args.take('<suites>').text;
    },
  },
  alpn: {
    usage: '<protocols>',
    apply: ({tls}, args) => {
      tls.alpn = takeProtocols(args);
    },
  },
  'no-alpn': flag(({tls}) => {
    tls.alpn = [];
  }),
  'ca-file': {
    usage: '<file>',
    apply: ({tls}, args) => {
      tls.caFile = takeCaFile(args);
    },
  },
  'crl-file': {
    usage: '<file>',
    apply: ({tls}, args) => {
      tls.crlFile = takeCaFile(args);
    },
  },
};

/** What it says is known only to whoever has the file; that it can be used is seen here. */
export const ticketKeys: OptionSpec<Holder> = {
  usage: '<file>',
  apply: ({tls}, args) => {
    const word = args.take('<file>');
    const path = resolveInScope(word, args.scope);
    const read = parseTicketKeys(readHostFile(path, word, args.scope));
    if (!read.ok) throw args.invalid(word, read.reason);
    tls.ticketKeysFile = path;
  },
};

export const bindVerify: OptionSpec<Holder> = {
  usage: 'none | optional | required',
  apply: ({tls}, args) => {
    tls.verify = choice(['none', 'optional', 'required']).read(args);
  },
};

export const serverVerify: OptionSpec<Holder> = {
  usage: 'none | required',
  apply: ({tls}, args) => {
    tls.verify = choice(['none', 'required']).read(args);
  },
};

export function takeProtocols(args: Arguments): readonly string[] {
  const word = args.take('<protocols>');
  return parseProtocols(word, args);
}

function parseProtocols(word: Word, args: Arguments): readonly string[] {
  const protocols = word.text.split(',').map((protocol) => protocol.trim());
  if (protocols.some((protocol) => protocol === '' || protocol.length > 255))
    throw args.invalid(word, 'names of protocols with commas between them are expected');
  return protocols;
}

/** `@system-ca` stays as it is. */
function takeCaFile(args: Arguments): string {
  const word = args.take('<file>');
  if (word.text.startsWith('@')) return word.text;
  const path = below(args.scope.paths.caBase, word, args.scope);
  if (args.scope.host.kindOf(path) === null)
    throw new ConfigError(`unable to load CA or CRL file '${path}' : No such file or directory`, word.position, word.text);
  return path;
}

/** Where a file of certificates is. */
export function certificatePath(word: Word, scope: Scope): string {
  return below(scope.paths.crtBase, word, scope);
}

function below(base: string | null, word: Word, scope: Scope): string {
  return base === null ? resolveInScope(word, scope) : resolve(base, word.text);
}

/** A PEM file, or a directory of them. @throws ConfigError when it is not there */
export function certificate(word: Word, scope: Scope): CertificateSource {
  const path = certificatePath(word, scope);
  if (scope.host.kindOf(path) === null) {
    throw new ConfigError(`unable to stat SSL certificate from file '${path}' : No such file or directory`, word.position, word.text);
  }
  return {path, serverNames: [], alpn: null, versions: null, verify: null, caFile: null};
}

/** The certificates of a `crt-list`; what is wrong in it is reported with its own lines. A directory is taken for all that is in it. */
export function certificateList(word: Word, args: Arguments): readonly CertificateSource[] {
  const {scope} = args;
  const path = resolveInScope(word, scope);
  if (scope.host.kindOf(path) === 'directory') return [certificate({text: path, position: word.position}, scope)];
  const here = resolveInScope({text: '.', position: word.position}, scope);
  const directories = {certificates: scope.paths.crtBase ?? here, authorities: scope.paths.caBase ?? here};
  const {certificates, diagnostics} = parseCrtList(readHostFile(path, word, scope), path, directories);
  for (const diagnostic of diagnostics) args.report(diagnostic);
  return certificates;
}

/** Lowest and highest version after what is refused is left out. */
export function versionRange({versions}: TlsDraft, fallback: TlsDraft): {readonly min: TlsVersion | null; readonly max: TlsVersion | null} {
  const min = versions.min ?? fallback.versions.min;
  const max = versions.max ?? fallback.versions.max;
  const refused = versions.min === undefined && versions.max === undefined ? new Set([...versions.refused, ...fallback.versions.refused]) : versions.refused;
  const lowest = min === undefined ? 0 : tlsVersions.indexOf(min);
  const highest = max === undefined ? tlsVersions.length - 1 : tlsVersions.indexOf(max);
  const possible = tlsVersions.filter((version, index) => index >= lowest && index <= highest && !refused.has(version));
  const first = possible[0];
  const last = possible.at(-1);
  const unsaid = refused.size === 0;
  return {
    min: (unsaid || first === tlsVersions[0] ? min : first) ?? null,
    max: (unsaid || last === tlsVersions.at(-1) ? max : last) ?? null,
  };
}
