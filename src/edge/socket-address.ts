/** Addresses as the kernel has them: `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`. */
import {networkInterfaces} from 'node:os';
import {CodedError} from '../core/errors.ts';

export const family = {unix: 1, ipv4: 2, ipv6: 10} as const;

/** Longer paths do not fit into a `struct sockaddr_un`. */
const maxPathBytes = 107;

export function ipv4SocketAddress(host: string, port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(family.ipv4, 0);
  address.writeUInt16BE(port, 2);
  for (const [at, part] of host.split('.').entries()) address.writeUInt8(Number(part), 4 + at);
  return address;
}

/** @param host may have a zone: `fe80::1%eth0`. @throws CodedError ERR_NO_INTERFACE */
export function ipv6SocketAddress(host: string, port: number): Buffer {
  const [bare = '', zone] = host.split('%', 2);
  const address = Buffer.alloc(28);
  address.writeUInt16LE(family.ipv6, 0);
  address.writeUInt16BE(port, 2);
  for (const [at, group] of ipv6Groups(bare).entries()) address.writeUInt16BE(group, 8 + 2 * at);
  if (zone !== undefined) address.writeUInt32LE(scopeOf(zone), 24);
  return address;
}

/** Eight numbers of 16 bits; the text has been checked. */
function ipv6Groups(text: string): readonly number[] {
  // A dotted end is two groups.
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a: string, b: string, c: string, d: string) => {
    const high = Number(a) * 256 + Number(b);
    const low = Number(c) * 256 + Number(d);
    return `${high.toString(16)}:${low.toString(16)}`;
  });
  const numbers = (part: string | undefined): number[] => (part === undefined || part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [head, tail] = plain.split('::', 2);
  const first = numbers(head);
  if (tail === undefined) return first;
  const last = numbers(tail);
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}

function scopeOf(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  const scope = networkInterfaces()[zone]?.find((entry) => entry.family === 'IPv6')?.scopeid;
  if (scope === undefined) throw new CodedError('ERR_NO_INTERFACE', `Cannot find interface "${zone}"`, {source: 'client'});
  return scope;
}

/** @throws CodedError ERR_PATH_TOO_LONG */
export function unixSocketAddress(path: string, {abstract}: {abstract: boolean}): Buffer {
  const name = Buffer.from(path);
  if (name.length > maxPathBytes) {
    throw new CodedError('ERR_PATH_TOO_LONG', `Cannot use "${path}" for a unix socket: it is longer than ${maxPathBytes} bytes`, {source: 'client'});
  }
  // HAProxy fills the name of an abstract socket with zeros to the full length; others find it only under the same name.
  const address = Buffer.alloc(abstract ? 2 + 1 + maxPathBytes : 2 + name.length + 1);
  address.writeUInt16LE(family.unix, 0);
  name.copy(address, abstract ? 3 : 2);
  return address;
}
