/**
 * The functions of `hash-type` (HAProxy manual), of bytes to 32 bits. Another gateway with the same servers must send the same key to the same
 * server, so every bit counts. Texts are of one byte per character, as Node gives heads of requests.
 */
import type {BackendConfig} from '../../config/proxy-value.ts';

export type HashInput = string | Uint8Array;
type HashFunction = (key: HashInput) => number;

function byteAt(key: HashInput, index: number): number {
  return typeof key === 'string' ? key.charCodeAt(index) & 0xff : (key[index] ?? 0);
}

/** h = h * 65599 + c, of the sdbm library. */
function sdbm(key: HashInput): number {
  let hash = 0;
  for (let index = 0; index < key.length; index++) hash = (Math.imul(hash, 65599) + byteAt(key, index)) | 0;
  return hash >>> 0;
}

/** h = h * 33 + c, by Dan Bernstein. */
function djb2(key: HashInput): number {
  let hash = 5381;
  for (let index = 0; index < key.length; index++) hash = (Math.imul(hash, 33) + byteAt(key, index)) | 0;
  return hash >>> 0;
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** By Willy Tarreau: two words that exchange places, rotated by as much as their bits say. */
function wt6(key: HashInput): number {
  let first = 0xa53c965a | 0;
  let second = 0x5ca6953a;
  let firstStep = 6;
  let secondStep = 18;
  for (let index = 0; index < key.length; index++) {
    const byte = byteAt(key, index);
    const mixedFirst = ~(first ^ byte);
    const mixedSecond = ~(second + byte);
    first = rotateLeft(mixedSecond, firstStep);
    second = rotateLeft(mixedFirst, secondStep);
    const steps = ((first >>> 16) ^ second) & 0xffff;
    firstStep = steps & 0x1f;
    secondStep = steps >>> 11;
  }
  return (first ^ second) >>> 0;
}

const crcTable = Uint32Array.from({length: 256}, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** That of Ethernet and zip. */
function crc32(key: HashInput): number {
  let hash = 0xffffffff;
  for (let index = 0; index < key.length; index++) hash = (hash >>> 8) ^ (crcTable[(hash ^ byteAt(key, index)) & 0xff] ?? 0);
  return ~hash >>> 0;
}

const functions = {sdbm, djb2, wt6, crc32} as const satisfies Record<BackendConfig['hash']['function'], HashFunction>;

/** Spreads every bit of a number over all others: an integer hash of Bob Jenkins', times a prime near three quarters of the range. */
export function avalanche(value: number): number {
  let hash = value | 0;
  hash = (hash + 0x7ed55d16 + (hash << 12)) | 0;
  hash = hash ^ 0xc761c23c ^ (hash >>> 19);
  hash = (hash + 0x165667b1 + (hash << 5)) | 0;
  hash = (hash + 0xd3a2646c) ^ (hash << 9);
  hash = (hash + 0xfd7046c5 + (hash << 3)) | 0;
  hash = hash ^ 0xb55a4f09 ^ (hash >>> 16);
  return Math.imul(hash, 3221225473) >>> 0;
}

/** What a backend hashes keys with. */
export function hashFunction(hash: BackendConfig['hash']): HashFunction {
  const plain = functions[hash.function];
  return hash.avalanche ? (key) => avalanche(plain(key)) : plain;
}
