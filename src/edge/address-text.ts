/** Addresses of `struct sockaddr` as text. */
import {family} from './socket-address.ts';

export function ipv4Text(bytes: Buffer, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** As RFC 5952 has it; an IPv4 address on a dual-stack socket as the IPv4 address that it is. */
export function ipv6Text(bytes: Buffer, at: number): string {
  const groups = Array.from({length: 8}, (_, index) => bytes.readUInt16BE(at + 2 * index));
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return ipv4Text(bytes, at + 12);
  const {start, length} = longestZeros(groups);
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return length < 2 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

function longestZeros(groups: readonly number[]): {readonly start: number; readonly length: number} {
  let longest = {start: 0, length: 0};
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > longest.length) longest = {start, length};
  }
  return longest;
}

/** Without its zone. */
export function addressText(socketAddress: Buffer): {readonly host: string; readonly port: number} {
  const ipv6 = socketAddress.readUInt16LE(0) === family.ipv6;
  return {host: ipv6 ? ipv6Text(socketAddress, 8) : ipv4Text(socketAddress, 4), port: socketAddress.readUInt16BE(2)};
}
