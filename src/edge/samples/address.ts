/** Addresses as numbers, so that networks can be compared: RFC 4291, section 2.2, and RFC 5952 for how they are written. */
import {isIPv6} from 'node:net';

export type Address = {readonly family: 4; readonly bits: number} | {readonly family: 6; readonly bits: bigint};

export interface Network {
  readonly address: Address;
  readonly prefixLength: number;
}

/** Null: the text is no address. */
export function parseAddress(text: string): Address | null {
  if (!text.includes(':')) {
    const bits = parseIpv4(text);
    return bits === null ? null : {family: 4, bits};
  }
  const zone = text.indexOf('%');
  const address = zone < 0 ? text : text.slice(0, zone);
  return isIPv6(address) ? {family: 6, bits: ipv6Bits(address)} : null;
}

function parseIpv4(text: string): number | null {
  let bits = 0;
  let octet = -1;
  let octets = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 46;
    if (code === 46) {
      if (octet < 0 || octets === 4) return null;
      bits = bits * 256 + octet;
      octets++;
      octet = -1;
    } else if (code >= 48 && code <= 57) {
      // A leading zero is refused, as inet_pton(3) does: some take it for octal.
      if (octet === 0) return null;
      octet = (octet < 0 ? 0 : octet * 10) + code - 48;
      if (octet > 255) return null;
    } else return null;
  }
  return octets === 4 ? bits : null;
}

function ipv6Bits(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const front = ipv6Groups(head);
  const back = tail === undefined ? [] : ipv6Groups(tail);
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  let bits = 0n;
  for (const group of [...front, ...Array<number>(zeros).fill(0), ...back]) bits = (bits << 16n) | BigInt(group);
  return bits;
}

function ipv6Groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const bits = parseIpv4(group) ?? 0;
    return [bits >>> 16, bits & 0xffff];
  });
}

export function formatAddress(address: Address): string {
  if (address.family === 4) return ipv4Text(address.bits);
  const high = address.bits >> 32n;
  // As inet_ntop(3): IPv4 in its old places is written with dots, but `::1` and other small numbers are not.
  if (high === 0xffffn) return `::ffff:${ipv4Text(Number(address.bits & 0xffffffffn))}`;
  if (high === 0n && address.bits > 0xffffn) return `::${ipv4Text(Number(address.bits))}`;
  const hex = address.bits.toString(16).padStart(32, '0');
  const groups = Array.from({length: 8}, (_, index) => Number.parseInt(hex.slice(index * 4, index * 4 + 4), 16).toString(16));
  const zeros = longestZeros(groups);
  if (zeros.length < 2) return groups.join(':');
  return `${groups.slice(0, zeros.start).join(':')}::${groups.slice(zeros.start + zeros.length).join(':')}`;
}

function ipv4Text(bits: number): string {
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

function longestZeros(groups: readonly string[]): {start: number; length: number} {
  let best = {start: 0, length: 0};
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === '0') end++;
    if (end - start > best.length) best = {start, length: end - start};
    start = end;
  }
  return best;
}

/**
 * `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `2001:db8::/32`, or a single address; `10.12` is 10.0.0.12, as HAProxy takes it. Null: it is none, or
 * its mask has holes.
 */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  const address = parseAddress(host) ?? shortIpv4(host);
  if (address === null) return null;
  const bits = address.family === 4 ? 32 : 128;
  const prefixLength = slash < 0 ? bits : maskLength(text.slice(slash + 1), address.family);
  return prefixLength === null ? null : {address: maskAddress(address, prefixLength), prefixLength};
}

function shortIpv4(text: string): Address | null {
  if (!/^\d{1,3}(\.\d{1,3}){0,2}$/.test(text)) return null;
  const parts = text.split('.');
  const last = parts.pop() ?? '';
  const bits = parseIpv4([...parts, ...Array<string>(3 - parts.length).fill('0'), last].join('.'));
  return bits === null ? null : {family: 4, bits};
}

/** @param text a number of bits, or a mask in the form of an address. Null: it is neither */
export function maskLength(text: string, family: 4 | 6): number | null {
  const bits = family === 4 ? 32 : 128;
  if (/^\d{1,3}$/.test(text)) return Number(text) <= bits ? Number(text) : null;
  const mask = parseAddress(text);
  if (mask?.family !== family) return null;
  const ones = mask.bits.toString(2).padStart(bits, '0');
  const length = ones.lastIndexOf('1') + 1;
  return ones.slice(0, length).includes('0') ? null : length;
}

export function maskAddress(address: Address, prefixLength: number): Address {
  if (address.family === 4) return {family: 4, bits: prefixLength === 0 ? 0 : (address.bits & (-1 << (32 - prefixLength))) >>> 0};
  const low = BigInt(128 - prefixLength);
  return {family: 6, bits: (address.bits >> low) << low};
}
