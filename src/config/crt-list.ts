/**
 * The files of `crt-list`: a certificate on each line, with settings of its own and the names for which it is used.
 *
 *     site.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.2] *.example.com !www.example.com
 *
 * As in HAProxy there are no quotes; a line that begins with `#`, and what follows a blank and a `#`, is a comment.
 */
import {isAbsolute, join} from 'node:path';
import type {Diagnostic} from './diagnostic.ts';
import {type CertificateSource, type TlsVersion, tlsVersions} from './tls.ts';

export interface CrtListDirectories {
  /** `crt-base` and `ca-base`, or the working directory: absolute. */
  readonly certificates: string;
  readonly authorities: string;
}

export interface CrtList {
  /** Of the lines that are right. */
  readonly certificates: readonly CertificateSource[];
  readonly diagnostics: readonly Diagnostic[];
}

interface Entry {
  readonly path: string;
  readonly serverNames: readonly string[];
  alpn: readonly string[] | null;
  min: TlsVersion | null;
  max: TlsVersion | null;
  verify: CertificateSource['verify'];
  caFile: string | null;
}

type Setting = (entry: Entry, value: string, directories: CrtListDirectories) => string | null;

/** Each returns what is wrong with its value, or null. */
const settings: Readonly<Record<string, Setting>> = {
  alpn(entry, value) {
    entry.alpn = value.split(',').filter((name) => name !== '');
    return null;
  },
  'ssl-min-ver'(entry, value) {
    entry.min = versionOf(value);
    return entry.min === null ? unknownVersion(value) : null;
  },
  'ssl-max-ver'(entry, value) {
    entry.max = versionOf(value);
    return entry.max === null ? unknownVersion(value) : null;
  },
  verify(entry, value) {
    if (value !== 'none' && value !== 'optional' && value !== 'required') {
      return `'verify' : unknown verify method '${value}', only 'none', 'optional', and 'required' are supported`;
    }
    entry.verify = value;
    return null;
  },
  'ca-file'(entry, value, directories) {
    entry.caFile = value.startsWith('@') ? value : absolute(value, directories.authorities);
    return null;
  },
};

/** Known to HAProxy, and without effect here: whether they take a value. */
const ignored: ReadonlyMap<string, boolean> = new Map([
  ['allow-0rtt', false],
  ['no-ca-names', false],
  ['npn', true],
  ['curves', true],
  ['ecdhe', true],
]);
const notImplemented: ReadonlySet<string> = new Set([
  'ca-verify-file',
  'ciphers',
  'ciphersuites',
  'client-sigalgs',
  'crl-file',
  'no-alpn',
  'ocsp-update',
  'sigalgs',
]);

/** @param file the path of the list, for messages */
export function parseCrtList(text: string, file: string, directories: CrtListDirectories): CrtList {
  const certificates: CertificateSource[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const report = (level: Diagnostic['level'], message: string): void => {
      diagnostics.push({level, position: {file, line: index + 1, column: 1}, message});
    };
    const split = splitLine(line);
    if (split === null) continue;
    if (typeof split === 'string') {
      report('alert', split);
      continue;
    }
    const entry: Entry = {
      path: absolute(split.path, directories.certificates),
      serverNames: split.names,
      alpn: null,
      min: null,
      max: null,
      verify: null,
      caFile: null,
    };
    const problems = applySettings(entry, split.settings, directories, (message) => report('warning', message));
    for (const problem of problems) report('alert', problem);
    if (problems.length === 0) certificates.push(toSource(entry));
  }
  return {certificates, diagnostics};
}

function toSource({path, serverNames, alpn, min, max, verify, caFile}: Entry): CertificateSource {
  return {path, serverNames, alpn, versions: min === null && max === null ? null : {min, max}, verify, caFile};
}

/** Null: nothing stands there. A text: what is wrong. */
function splitLine(line: string): {readonly path: string; readonly settings: readonly string[]; readonly names: readonly string[]} | string | null {
  const words: readonly string[] = line.replace(/(?:^|[ \t])#.*$/, '').match(/\[|\]|[^ \t[\]]+/g) ?? [];
  const [path] = words;
  if (path === undefined) return null;
  if (path === '[' || path === ']') return 'file must start with a cert';
  const open = words.indexOf('[');
  const close = words.indexOf(']');
  if (open < 0 && close < 0) return {path, settings: [], names: words.slice(1)};
  if (open < 0) return "missing '['";
  if (close < open) return close < 0 ? "missing ']'" : "']' before '['";
  if (open > 1) return "malformated line, filters can't be between filename and options!";
  const names = words.slice(close + 1);
  if (words.slice(open + 1, close).includes('[') || names.includes('[')) return "too many '['";
  if (names.includes(']')) return "too many ']'";
  return {path, settings: words.slice(open + 1, close), names};
}

function applySettings(entry: Entry, words: readonly string[], directories: CrtListDirectories, warn: (message: string) => void): readonly string[] {
  const problems: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const keyword = words[at] ?? '';
    const setting = Object.hasOwn(settings, keyword) ? settings[keyword] : undefined;
    const takesValue = setting !== undefined || ignored.get(keyword) === true;
    const value = takesValue ? words[++at] : '';
    if (value === undefined) {
      problems.push(`ssl args out of '[]' for ${keyword}`);
    } else if (setting !== undefined) {
      const problem = setting(entry, value, directories);
      if (problem !== null) problems.push(problem);
    } else if (ignored.has(keyword)) {
      warn(`'${keyword}' has no effect`);
    } else if (notImplemented.has(keyword)) {
      return [...problems, `'${keyword}' is not implemented in lists of certificates`]; // Its values are no keywords.
    } else {
      problems.push(`unknown ssl keyword ${keyword}`);
    }
  }
  return problems;
}

function versionOf(text: string): TlsVersion | null {
  return tlsVersions.find((version) => version === text) ?? null;
}

function unknownVersion(text: string): string {
  return `'${text}' : unknown ssl/tls version`;
}

function absolute(path: string, directory: string): string {
  return isAbsolute(path) ? path : join(directory, path);
}
