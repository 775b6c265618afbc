/** What of a session decides about its server in the balance algorithms that hash (HAProxy manual, `balance`). */
import {isIPv6, SocketAddress} from 'node:net';
import type {BackendConfig, Balance} from '../../config/proxy-value.ts';
import type {HeaderFields, SampleValue} from '../samples/context.ts';
import {avalanche, type HashInput, hashFunction} from './hash-function.ts';

export interface BalancedHttp {
  readonly uri: string;
  readonly headers: HeaderFields;
  readonly method?: string;
  /** As much of it as was waited for. */
  readonly body?: Uint8Array | null;
}

export interface BalanceRequest {
  /** The client's address. */
  readonly source: string;
  /** Null: no HTTP. */
  readonly http: BalancedHttp | null;
  /** For `balance hash`: what its expression yields. */
  readonly sample: SampleValue;
}

type HashOf = (request: BalanceRequest) => number | null;

/** Null: the algorithm does not hash. The hash of a request is null when it lacks what is to be hashed. */
export function balanceHash({balance, hash}: Pick<BackendConfig, 'balance' | 'hash'>): HashOf | null {
  const key = hashKey(balance);
  if (balance.kind === 'source') return ({source}) => sourceHash(source, hash.avalanche);
  if (key === null) return null;
  const digest = hashFunction(hash);
  return (request) => {
    const input = key(request);
    return input === null ? null : digest(input);
  };
}

function hashKey(balance: Balance): ((request: BalanceRequest) => HashInput | null) | null {
  switch (balance.kind) {
    case 'uri':
      return ({http}) => (http === null ? null : uriKey(http.uri, balance));
    case 'url_param':
      return ({http}) => (http === null ? null : (parameterKey(http.uri, balance.parameter) ?? bodyParameterKey(http, balance.parameter)));
    case 'hdr': {
      const name = balance.header.toLowerCase();
      return ({http}) => (http === null ? null : headerKey(http.headers, {name, useDomainOnly: balance.useDomainOnly}));
    }
    case 'hash':
      return ({sample}) => sampleKey(sample);
    case 'source':
    case 'roundrobin':
    case 'static-rr':
    case 'leastconn':
    case 'first':
    case 'random':
      return null;
    default:
      return balance satisfies never;
  }
}

/** The 32-bit words of the address, added without carry. No address (a unix socket) is a constant. */
function sourceHash(source: string, spread: boolean): number {
  const words = isIPv6(source) ? ipv6Words(source) : ipv4Words(source);
  const hash = words.reduce((sum, word) => sum ^ word, 0);
  return spread ? avalanche(hash) : hash >>> 0;
}

function ipv4Words(address: string): readonly number[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return [(a << 24) | (b << 16) | (c << 8) | d];
}

function ipv6Words(address: string): readonly number[] {
  const canonical = new SocketAddress({address, family: 'ipv6'}).address;
  const [head = '', tail] = canonical.split('::');
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return [0, 2, 4, 6].map((index) => ((all[index] ?? 0) << 16) | (all[index + 1] ?? 0));
}

/** The last one may be an IPv4 address. */
function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [word = 0] = ipv4Words(group);
    return [word >>> 16, word & 0xffff];
  });
}

/** Up to the question mark, unless `whole`; at most `length` bytes and `depth` directories. */
function uriKey(uri: string, {length, depth, whole, pathOnly}: Extract<Balance, {kind: 'uri'}>): string {
  const text = pathOnly ? uri.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '') : uri;
  const limit = length === null ? text.length : Math.min(length, text.length);
  let slashes = 0;
  for (let index = 0; index < limit; index++) {
    const character = text[index];
    if (character === '/' && depth !== null && ++slashes === depth + 1) return text.slice(0, index);
    if (character === '?' && !whole) return text.slice(0, index);
  }
  return text.slice(0, limit);
}

function parameterKey(uri: string, parameter: string): string | null {
  const question = uri.indexOf('?');
  if (question < 0) return null;
  const found = uri
    .slice(question + 1)
    .split('&')
    .find((pair) => pair.startsWith(`${parameter}=`));
  return found === undefined ? null : found.slice(parameter.length + 1);
}

/** Of a form that is posted. What does not begin as a parameter's value does is none: the body is something else. */
function bodyParameterKey({method, body = null}: BalancedHttp, parameter: string): string | null {
  if (method !== 'POST' || body === null) return null;
  const key = parameterKey(`?${Buffer.from(body).toString('latin1')}`, parameter);
  if (key === null || key === '' || /^[!#$%&'*+.^_`|~\dA-Za-z-]/.test(key)) return key;
  return /^\s/.test(key) ? '' : null;
}

/** The first value of the first such header. */
function headerKey(headers: HeaderFields, wanted: {readonly name: string; readonly useDomainOnly: boolean}): string | null {
  const field = headers.find(([name]) => name.toLowerCase() === wanted.name);
  const value = field?.[1].split(',', 1)[0]?.trim() ?? '';
  if (value === '') return null;
  return wanted.useDomainOnly ? domainKey(value) : value;
}

/** Of `www.example.com` only `example`; a name without dots is taken whole. */
function domainKey(name: string): string {
  const end = name.lastIndexOf('.');
  if (end < 1) return name;
  const start = name.lastIndexOf('.', end - 1) + 1;
  return start === end ? name.slice(0, end) : name.slice(start, end);
}

function sampleKey(sample: SampleValue): HashInput | null {
  if (sample === null) return null;
  switch (sample.type) {
    case 'bin':
      return sample.value;
    case 'str':
    case 'method':
      return sample.value;
    case 'int':
    case 'bool': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64BE(BigInt(Math.trunc(Number(sample.value))));
      return bytes;
    }
    case 'ip':
      return addressBytes(sample.value);
    default:
      return sample satisfies never;
  }
}

function addressBytes(address: string): Uint8Array {
  const words = isIPv6(address) ? ipv6Words(address) : ipv4Words(address);
  const bytes = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) bytes.writeInt32BE(word | 0, index * 4);
  return bytes;
}
