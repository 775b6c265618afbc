/**
 * Sets of patterns, and what a sample is compared with: HAProxy's manual, section 7.1. One index per matching method answers for all patterns
 * of a list or map at once, so that exact texts, prefixes and networks cost the same for ten patterns as for ten thousand.
 */

import {compileRegex} from '../../config/expression/regex.ts';
import type {MatchMethod} from '../../config/sample.ts';
import {CodedError} from '../../core/errors.ts';
import {maskAddress, type Network, parseAddress, parseNetwork} from './address.ts';
import {parseRange} from './range.ts';
import {byteString, type Found, latin1, toAddress, toBytes, toInteger, toText} from './value.ts';

export interface PatternEntry {
  readonly pattern: string;
  /** What a map says; `''` in a list. */
  value: string;
}

export interface PatternIndex {
  /** @throws CodedError ERR_PATTERN, ERR_REGEX */
  add(entry: PatternEntry): void;
  /** The entry that HAProxy would take where several match: of networks and prefixes the longest, of others the first. */
  find(value: Found): PatternEntry | null;
}

export interface PatternOptions {
  readonly ignoreCase: boolean;
  /** Numbers are versions such as `3.1`, of which `req.ssl_ver` makes 16 bits each. */
  readonly dottedNumbers?: boolean;
}

/** @param method any that has patterns: `found` and `bool` have none */
export function createPatternIndex(method: Exclude<MatchMethod, 'found' | 'bool'>, options: PatternOptions): PatternIndex {
  switch (method) {
    case 'str':
      return exactIndex(options);
    case 'bin':
      return binaryIndex();
    case 'beg':
      return prefixIndex(options);
    case 'ip':
      return networkIndex();
    case 'int':
      return firstMatch(toInteger, (pattern) => parseRange(pattern, options.dottedNumbers === true));
    case 'len':
      return firstMatch(sampleLength, (pattern) => parseRange(pattern, false));
    case 'reg':
      return regexIndex(options);
    case 'end':
    case 'sub':
      return firstMatch(textOf(options), (pattern) => {
        const wanted = fold(byteString(pattern), options);
        return method === 'end' ? (text: string) => text.endsWith(wanted) : (text: string) => text.includes(wanted);
      });
    case 'dir':
      return firstMatch(textOf(options), (pattern) => wordTest(fold(byteString(pattern), options), '/?'));
    case 'dom':
      return firstMatch(textOf(options), (pattern) => wordTest(fold(byteString(pattern), options), '/?.:'));
    default:
      return method satisfies never;
  }
}

/** Only ASCII letters have a case: anything else in a string of bytes is half a character. */
export function lowerCase(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text;
}

function fold(text: string, options: PatternOptions): string {
  return options.ignoreCase ? lowerCase(text) : text;
}

function textOf(options: PatternOptions): (value: Found) => string {
  return options.ignoreCase ? (value) => lowerCase(toText(value)) : toText;
}

function sampleLength(value: Found): number {
  return value.type === 'bin' ? value.value.length : toText(value).length;
}

function exactIndex(options: PatternOptions): PatternIndex {
  const entries = new Map<string, PatternEntry>();
  const subject = textOf(options);
  return {
    add(entry) {
      const key = fold(byteString(entry.pattern), options);
      if (!entries.has(key)) entries.set(key, entry);
    },
    find: (value) => entries.get(subject(value)) ?? null,
  };
}

function binaryIndex(): PatternIndex {
  const entries = new Map<string, PatternEntry>();
  return {
    add(entry) {
      if (!/^([0-9A-Fa-f]{2})+$/.test(entry.pattern)) throw badPattern(entry.pattern, 'it is not an even number of hexadecimal digits');
      const key = Buffer.from(entry.pattern, 'hex').toString('latin1');
      if (!entries.has(key)) entries.set(key, entry);
    },
    find(value) {
      const bytes = toBytes(value);
      return bytes === null ? null : (entries.get(latin1(bytes)) ?? null);
    },
  };
}

function prefixIndex(options: PatternOptions): PatternIndex {
  const byLength = new Map<number, Map<string, PatternEntry>>();
  let lengths: number[] = [];
  const subject = textOf(options);
  return {
    add(entry) {
      const prefix = fold(byteString(entry.pattern), options);
      const entries = byLength.get(prefix.length) ?? new Map<string, PatternEntry>();
      if (!entries.has(prefix)) entries.set(prefix, entry);
      if (byLength.has(prefix.length)) return;
      byLength.set(prefix.length, entries);
      lengths = [...byLength.keys()].sort((a, b) => b - a);
    },
    find(value) {
      const text = subject(value);
      for (const length of lengths) {
        if (length > text.length) continue;
        const entry = byLength.get(length)?.get(text.slice(0, length));
        if (entry !== undefined) return entry;
      }
      return null;
    },
  };
}

interface Networks {
  readonly byLength: Map<number, Map<number | bigint, PatternEntry>>;
  lengths: number[];
}

function networkIndex(): PatternIndex {
  const ipv4: Networks = {byLength: new Map(), lengths: []};
  const ipv6: Networks = {byLength: new Map(), lengths: []};
  return {
    add(entry) {
      const network = parseNetwork(entry.pattern);
      if (network === null) throw badPattern(entry.pattern, 'it is neither an address nor a network');
      addNetwork(network.address.family === 4 ? ipv4 : ipv6, network, entry);
    },
    find(value) {
      const text = toAddress(value);
      const address = text === null ? null : parseAddress(text);
      if (address === null) return null;
      if (address.family === 4) return longest(ipv4, address.bits) ?? longest(ipv6, (0xffffn << 32n) | BigInt(address.bits));
      const inside = embeddedIpv4(address.bits);
      return longest(ipv6, address.bits) ?? (inside === null ? null : longest(ipv4, inside));
    },
  };
}

function addNetwork(networks: Networks, network: Network, entry: PatternEntry): void {
  const entries = networks.byLength.get(network.prefixLength) ?? new Map<number | bigint, PatternEntry>();
  if (!entries.has(network.address.bits)) entries.set(network.address.bits, entry);
  if (networks.byLength.has(network.prefixLength)) return;
  networks.byLength.set(network.prefixLength, entries);
  networks.lengths = [...networks.byLength.keys()].sort((a, b) => b - a);
}

function longest(networks: Networks, bits: number | bigint): PatternEntry | null {
  for (const length of networks.lengths) {
    const masked = maskAddress(typeof bits === 'number' ? {family: 4, bits} : {family: 6, bits}, length);
    const entry = networks.byLength.get(length)?.get(masked.bits);
    if (entry !== undefined) return entry;
  }
  return null;
}

/** The IPv4 address in `2002:IPV4::`, `::IPV4` and `::ffff:IPV4`. */
function embeddedIpv4(bits: bigint): number | null {
  if (bits >> 112n === 0x2002n) return Number((bits >> 80n) & 0xffffffffn);
  const high = bits >> 32n;
  return high === 0n || high === 0xffffn ? Number(bits & 0xffffffffn) : null;
}

function regexIndex(options: PatternOptions): PatternIndex {
  return firstMatch(toText, (pattern) => {
    const regex = compileRegex(pattern, options.ignoreCase ? 'i' : '');
    return (text: string) => regex.test(text);
  });
}

/** Patterns that have to be tried one after another. */
function firstMatch<Subject>(subject: (value: Found) => Subject | null, compile: (pattern: string) => (subject: Subject) => boolean): PatternIndex {
  const tests: {readonly matches: (subject: Subject) => boolean; readonly entry: PatternEntry}[] = [];
  return {
    add(entry) {
      tests.push({matches: compile(entry.pattern), entry});
    },
    find(value) {
      const text = subject(value);
      if (text === null) return null;
      for (const test of tests) if (test.matches(text)) return test.entry;
      return null;
    },
  };
}

/** True when the word stands between delimiters; delimiters at its own ends do not count. */
function wordTest(pattern: string, delimiters: string): (text: string) => boolean {
  let start = 0;
  let end = pattern.length;
  while (start < end && delimiters.includes(pattern.charAt(start))) start++;
  while (end > start && delimiters.includes(pattern.charAt(end - 1))) end--;
  const word = pattern.slice(start, end);
  const isBoundary = (text: string, at: number): boolean => at < 0 || at >= text.length || delimiters.includes(text.charAt(at));
  return (text) => {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (isBoundary(text, at - 1) && isBoundary(text, at + word.length)) return true;
      if (at >= text.length) return false;
    }
    return false;
  };
}

export function badPattern(pattern: string, found: string): CodedError<'ERR_PATTERN'> {
  return new CodedError('ERR_PATTERN', `Cannot use pattern "${pattern}": ${found}`, {source: 'host'});
}
