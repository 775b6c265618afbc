/**
 * Answers that are alike, to one network (/24, /56), are limited: whoever sends questions with the address of a victim would have it flooded
 * by us. Every second limited answer is sent truncated, so that a real client comes back over TCP, whose address is proven.
 *
 * The counts are kept in two tables of fixed size, under two hashes that nobody outside can predict; the smaller count decides.
 * Two networks that meet in both tables cost each other some UDP answers, never all.
 */
import {randomBytes} from 'node:crypto';
import type {Clock} from '../../core/clock.ts';
import type {NameKey} from './name.ts';

export type Verdict = 'send' | 'truncate' | 'drop';

export interface ResponseRate {
  /** Counts an answer. @param kind what answers that are alike have in common, besides their rcode */
  judge(client: string, kind: NameKey, rcode: number): Verdict;
}

const rowSize = 1 << 15;
const windowMs = 1000;

/** @param limit answers a second; null: as many as come */
export function limitResponses(limit: number | null, clock: Clock): ResponseRate {
  if (limit === null) return {judge: () => 'send'};
  const seeds = randomBytes(8);
  const seedA = seeds.readUInt32LE(0);
  const seedB = seeds.readUInt32LE(4);
  const rowA = new Uint32Array(rowSize);
  const rowB = new Uint32Array(rowSize);
  let windowEndsMs = clock.monotonicMs() + windowMs;
  return {
    judge(client, kind, rcode) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= windowEndsMs) {
        rowA.fill(0);
        rowB.fill(0);
        windowEndsMs = nowMs + windowMs;
      }
      const network = networkOf(client);
      const atA = hash(kind, hash(network, seedA ^ rcode)) % rowSize;
      const atB = hash(kind, hash(network, seedB ^ rcode)) % rowSize;
      const count = Math.min(rowA[atA] ?? 0, rowB[atB] ?? 0) + 1;
      rowA[atA] = (rowA[atA] ?? 0) + 1;
      rowB[atB] = (rowB[atB] ?? 0) + 1;
      if (count <= limit) return 'send';
      return (count - limit) % 2 === 1 ? 'truncate' : 'drop';
    },
  };
}

/** FNV-1a with a mixing step at the end, over the characters of a text. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value ^= value >>> 15;
  value = Math.imul(value, 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}

/** The /24 or /56 of an address, as a text that only that network has. @param address in canonical form */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address.slice(0, address.lastIndexOf('.'));
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({length: missing}, () => '0'), ...after];
  const [first = '0', second = '0', third = '0', fourth = '0'] = groups;
  return `${first}:${second}:${third}:${(Number.parseInt(fourth, 16) >>> 8).toString(16)}`;
}
