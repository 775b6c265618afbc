/** XXH64 of Yann Collet, with the seed 0: what HAProxy makes the values of its dynamic cookies with. */

const mask = 0xffff_ffff_ffff_ffffn;
const primes = {
  one: 0x9e37_79b1_85eb_ca87n,
  two: 0xc2b2_ae3d_27d4_eb4fn,
  three: 0x1656_67b1_9e37_79f9n,
  four: 0x85eb_ca77_c2b2_ae63n,
  five: 0x27d4_eb2f_1656_67c5n,
} as const;
const stripeBytes = 32;

function rotateLeft(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & mask;
}

function round(lane: bigint, word: bigint): bigint {
  return (rotateLeft((lane + word * primes.two) & mask, 31n) * primes.one) & mask;
}

function mergeLane(hash: bigint, lane: bigint): bigint {
  return ((hash ^ round(0n, lane)) * primes.one + primes.four) & mask;
}

/** Four lanes take the words of each stripe in turn. */
function hashStripes(bytes: Buffer): bigint {
  const lanes = [(primes.one + primes.two) & mask, primes.two, 0n, -primes.one & mask];
  for (let at = 0; at + stripeBytes <= bytes.length; at += stripeBytes) {
    for (const [lane, value] of lanes.entries()) lanes[lane] = round(value, bytes.readBigUInt64LE(at + lane * 8));
  }
  const [first = 0n, second = 0n, third = 0n, fourth = 0n] = lanes;
  const joined = (rotateLeft(first, 1n) + rotateLeft(second, 7n) + rotateLeft(third, 12n) + rotateLeft(fourth, 18n)) & mask;
  return lanes.reduce(mergeLane, joined);
}

function hashRest(bytes: Buffer, start: bigint): bigint {
  let hash = start;
  let at = bytes.length - (bytes.length % stripeBytes);
  for (; at + 8 <= bytes.length; at += 8) hash = (rotateLeft(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * primes.one + primes.four) & mask;
  if (at + 4 <= bytes.length) {
    hash = (rotateLeft(hash ^ ((BigInt(bytes.readUInt32LE(at)) * primes.one) & mask), 23n) * primes.two + primes.three) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = (rotateLeft(hash ^ ((BigInt(bytes.readUInt8(at)) * primes.five) & mask), 11n) * primes.one) & mask;
  return hash;
}

export function xxh64(bytes: Buffer): bigint {
  const begun = bytes.length < stripeBytes ? primes.five : hashStripes(bytes);
  let hash = hashRest(bytes, (begun + BigInt(bytes.length)) & mask);
  hash = ((hash ^ (hash >> 33n)) * primes.two) & mask;
  hash = ((hash ^ (hash >> 29n)) * primes.three) & mask;
  return hash ^ (hash >> 32n);
}
