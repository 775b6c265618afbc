/** IP addresses between text and the bytes of a packet. */
import {isIPv4, isIPv6} from 'node:net';

/** 4 or 16 bytes; null when the text is no address. A zone (`%eth0`) is left out. */
export function ipToBytes(text: string): Uint8Array | null {
  const [address = ''] = text.split('%');
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number);
  return isIPv6(address) ? ipv6ToBytes(address) : null;
}

/** `::ffff:a.b.c.d`, as which an IPv4 address stands among IPv6 addresses (RFC 4291, section 2.5.5.2). */
export function toMappedBytes(ipv4: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.fill(255, 10, 12);
  bytes.set(ipv4, 12);
  return bytes;
}

/** In the canonical form of RFC 5952; a mapped IPv4 address as IPv4. */
export function bytesToIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const groups = Array.from({length: 8}, (_, index) => (bytes[2 * index] ?? 0) * 256 + (bytes[2 * index + 1] ?? 0));
  const {start, length} = longestZeros(groups);
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return length < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

function ipv6ToBytes(address: string): Uint8Array {
  const [, head = address, ipv4] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address) ?? [];
  const tail = ipv4 === undefined ? [] : [...ipv4.split('.')].map(Number);
  const [before = '', after] = (ipv4 === undefined ? head : head.replace(/([^:]):$/, '$1')).split('::');
  const bytes = new Uint8Array(16);
  bytes.set(groupBytes(before), 0);
  const end = [...(after === undefined ? [] : groupBytes(after)), ...tail];
  bytes.set(end, 16 - end.length);
  return bytes;
}

function groupBytes(text: string): number[] {
  return text.split(':').flatMap((group) => {
    if (group === '') return [];
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes[10] === 255 && bytes[11] === 255 && bytes.subarray(0, 10).every((byte) => byte === 0);
}

/** The first of the longest runs. */
function longestZeros(groups: readonly number[]): {readonly start: number; readonly length: number} {
  let longest = {start: 0, length: 0};
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > longest.length) longest = {start: index - length + 1, length};
  }
  return longest;
}
