/**
 * Sets of patterns, and what a sample is compared with: HAProxy's manual, section 7.1. One index per matching method answers for all patterns
 * of a list or map at once, so that exact texts, prefixes and networks cost the same for ten patterns as for ten thousand, also to add and to remove
 * one, which rules may do for each request.
 */

import {compileRegex} from '../../config/expression/regex.ts';
import type {MatchMethod} from '../../config/sample.ts';
import {CodedError} from '../../core/errors.ts';
import {maskAddress, parseAddress, parseNetwork} from './address.ts';
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
  /** One that was added. */
  remove(entry: PatternEntry): void;
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

/** Entries by what is compared; of equal ones the first counts. */
export class EntriesByKey<Key> {
  readonly #entries = new Map<Key, PatternEntry[]>();

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  add(key: Key, entry: PatternEntry): void {
    const equal = this.#entries.get(key);
    if (equal === undefined) this.#entries.set(key, [entry]);
    else equal.push(entry);
  }

  remove(key: Key, entry: PatternEntry): void {
    const left = this.#entries.get(key)?.filter((other) => other !== entry) ?? [];
    if (left.length === 0) this.#entries.delete(key);
    else this.#entries.set(key, left);
  }

  first(key: Key): PatternEntry | null {
    return this.#entries.get(key)?.[0] ?? null;
  }

  all(key: Key): readonly PatternEntry[] {
    return this.#entries.get(key) ?? [];
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** The same by length, of which the longest that fits counts. */
class EntriesByLength<Key> {
  readonly #byLength = new Map<number, EntriesByKey<Key>>();
  #lengths: readonly number[] = [];

  add(length: number, key: Key, entry: PatternEntry): void {
    const entries = this.#byLength.get(length) ?? new EntriesByKey<Key>();
    entries.add(key, entry);
    if (this.#byLength.has(length)) return;
    this.#byLength.set(length, entries);
    this.#sort();
  }

  remove(length: number, key: Key, entry: PatternEntry): void {
    const entries = this.#byLength.get(length);
    entries?.remove(key, entry);
    if (entries?.isEmpty !== true) return;
    this.#byLength.delete(length);
    this.#sort();
  }

  #sort(): void {
    this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a);
  }

  /** @param keyOf what is compared of a subject; null when it is shorter */
  longest(keyOf: (length: number) => Key | null): PatternEntry | null {
    for (const length of this.#lengths) {
      const key = keyOf(length);
      const entry = key === null ? null : (this.#byLength.get(length)?.first(key) ?? null);
      if (entry !== null) return entry;
    }
    return null;
  }
}

function exactIndex(options: PatternOptions): PatternIndex {
  const entries = new EntriesByKey<string>();
  const subject = textOf(options);
  const keyOf = ({pattern}: PatternEntry): string => fold(byteString(pattern), options);
  return {
    add: (entry) => entries.add(keyOf(entry), entry),
    remove: (entry) => entries.remove(keyOf(entry), entry),
    find: (value) => entries.first(subject(value)),
  };
}

function binaryIndex(): PatternIndex {
  const entries = new EntriesByKey<string>();
  const keyOf = ({pattern}: PatternEntry): string => {
    if (!/^([0-9A-Fa-f]{2})+$/.test(pattern)) throw badPattern(pattern, 'it is not an even number of hexadecimal digits');
    return Buffer.from(pattern, 'hex').toString('latin1');
  };
  return {
    add: (entry) => entries.add(keyOf(entry), entry),
    remove: (entry) => entries.remove(keyOf(entry), entry),
    find(value) {
      const bytes = toBytes(value);
      return bytes === null ? null : entries.first(latin1(bytes));
    },
  };
}

function prefixIndex(options: PatternOptions): PatternIndex {
  const entries = new EntriesByLength<string>();
  const subject = textOf(options);
  const prefixOf = ({pattern}: PatternEntry): string => fold(byteString(pattern), options);
  return {
    add(entry) {
      const prefix = prefixOf(entry);
      entries.add(prefix.length, prefix, entry);
    },
    remove(entry) {
      const prefix = prefixOf(entry);
      entries.remove(prefix.length, prefix, entry);
    },
    find(value) {
      const text = subject(value);
      return entries.longest((length) => (length > text.length ? null : text.slice(0, length)));
    },
  };
}

type Networks = EntriesByLength<number | bigint>;

function networkIndex(): PatternIndex {
  const ipv4: Networks = new EntriesByLength();
  const ipv6: Networks = new EntriesByLength();
  const placeOf = ({pattern}: PatternEntry): {networks: Networks; length: number; bits: number | bigint} => {
    const network = parseNetwork(pattern);
    if (network === null) throw badPattern(pattern, 'it is neither an address nor a network');
    const {address, prefixLength} = network;
    return {networks: address.family === 4 ? ipv4 : ipv6, length: prefixLength, bits: address.bits};
  };
  return {
    add(entry) {
      const {networks, length, bits} = placeOf(entry);
      networks.add(length, bits, entry);
    },
    remove(entry) {
      const {networks, length, bits} = placeOf(entry);
      networks.remove(length, bits, entry);
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

function longest(networks: Networks, bits: number | bigint): PatternEntry | null {
  return networks.longest((length) => maskAddress(typeof bits === 'number' ? {family: 4, bits} : {family: 6, bits}, length).bits);
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
    remove(entry) {
      const at = tests.findIndex((test) => test.entry === entry);
      if (at >= 0) tests.splice(at, 1);
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
