/** Hashes of 32 bits that HAProxy offers as converters and for balancing. None is for secrets. */
import {crc32 as zlibCrc32} from 'node:zlib';

export function crc32(bytes: Uint8Array): number {
  return zlibCrc32(bytes);
}

const castagnoli = Uint32Array.from({length: 256}, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** CRC32C: RFC 3720, section 12.1. */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (castagnoli[(value ^ byte) & 255] ?? 0);
  return (value ^ 0xffffffff) >>> 0;
}

/** Bernstein's hash, h * 33 + c from 5381. */
export function djb2(bytes: Uint8Array): number {
  let value = 5381;
  for (const byte of bytes) value = (Math.imul(value, 33) + byte) >>> 0;
  return value;
}

/** The hash of the sdbm database library, h * 65599 + c. */
export function sdbm(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = (Math.imul(value, 65_599) + byte) >>> 0;
  return value;
}

/** Bob Jenkins' mixing of an integer, which HAProxy applies to a hash for `avalanche`. */
export function avalanche(hash: number): number {
  let value = hash;
  value = (value + 0x7ed55d16 + (value << 12)) >>> 0;
  value = (value ^ 0xc761c23c ^ (value >>> 19)) >>> 0;
  value = (value + 0x165667b1 + (value << 5)) >>> 0;
  value = ((value + 0xd3a2646c) ^ (value << 9)) >>> 0;
  value = (value + 0xfd7046c5 + (value << 3)) >>> 0;
  // A prime near three quarters of the range spreads what is left.
  return Math.imul((value ^ 0xb55a4f09 ^ (value >>> 16)) >>> 0, 3_221_225_473) >>> 0;
}
