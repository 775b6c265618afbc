/**
 * Names in the form of the wire: labels behind their lengths, the root at the end. As a key a name is that, in lower case, in a string of one
 * character per byte: no byte of a label can be taken for a separator.
 */
import {CodedError} from '../../core/errors.ts';
import {maxLabelBytes, maxNameBytes} from './protocol.ts';

declare const brand: unique symbol;
/** A name that can be compared and looked up. */
export type NameKey = string & {readonly [brand]: 'NameKey'};

export const rootKey = '\0' as NameKey;

const scratch = Buffer.allocUnsafe(maxNameBytes);

/**
 * Reads a name that is not compressed, as that of a question is.
 * @returns null when it is compressed, too long, or not all there
 */
export function readPlainName(message: Uint8Array, start: number): {readonly key: NameKey; readonly end: number} | null {
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > maxLabelBytes) return null;
    const next = at + 1 + length;
    // What would be too long must not leave the scratch buffer.
    if (next - start > maxNameBytes || next > message.length) return null;
    scratch[at - start] = length;
    for (let index = at + 1; index < next; index++) {
      const byte = message[index] ?? 0;
      scratch[index - start] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    }
    at = next;
    if (length === 0) return {key: scratch.toString('latin1', 0, at - start) as NameKey, end: at};
  }
}

/** Where a name ends that may be compressed, without following it; -1 when it is malformed or not all there. */
export function skipName(message: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined) return -1;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : -1;
    if (length > maxLabelBytes) return -1;
    at += 1 + length;
    if (at - start >= maxNameBytes) return -1;
  }
}

/**
 * Reads a name that may be compressed. A pointer must point backwards, before all that was read, so that there is no loop.
 * @returns null when it is malformed
 */
export function readName(message: Uint8Array, start: number): {readonly key: NameKey; readonly end: number} | null {
  const labels: Uint8Array[] = [];
  let at = start;
  let lowest = start;
  let lengthBytes = 1;
  let end = -1;
  for (;;) {
    const length = message[at];
    if (length === undefined) return null;
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0);
      if (at + 2 > message.length || target >= lowest) return null;
      if (end < 0) end = at + 2;
      lowest = target;
      at = target;
      continue;
    }
    const next = at + 1 + length;
    lengthBytes += length === 0 ? 0 : 1 + length;
    if (length > maxLabelBytes || lengthBytes > maxNameBytes || next > message.length) return null;
    labels.push(message.subarray(at, next));
    at = next;
    if (length === 0) return {key: toKey(Buffer.concat(labels)), end: end < 0 ? at : end};
  }
}

/** The name without its first label; the root's is the root. */
export function parentOf(key: NameKey): NameKey {
  const length = key.charCodeAt(0);
  return length === 0 ? key : (key.slice(1 + length) as NameKey);
}

/** `*.` before the name; null when that is too long. */
export function wildcardBelow(key: NameKey): NameKey | null {
  return key.length + 2 > maxNameBytes ? null : (`\x01*${key}` as NameKey);
}

export function isAtOrBelow(key: NameKey, ancestor: NameKey): boolean {
  let at = key;
  while (at.length > ancestor.length) at = parentOf(at);
  return at === ancestor;
}

export function toKey(wire: Uint8Array): NameKey {
  const copy = Buffer.from(wire);
  for (let at = 0; at < copy.length; at += 1 + (wire[at] ?? 0)) {
    for (let index = at + 1; index <= at + (wire[at] ?? 0); index++) {
      const byte = copy[index] ?? 0;
      if (byte >= 0x41 && byte <= 0x5a) copy[index] = byte + 0x20;
    }
  }
  return copy.toString('latin1') as NameKey;
}

/**
 * A name as people write it, with or without the dot at the end, `\.` and `\DDD` as in zone files.
 * @throws CodedError ERR_BAD_DNS_NAME
 */
export function encodeName(text: string): Buffer {
  const refuse = (found: string): CodedError => new CodedError('ERR_BAD_DNS_NAME', `Cannot use DNS name "${text}": ${found}`, {source: 'client'});
  if (text === '.' || text === '') return Buffer.from([0]);
  const labels: number[][] = [[]];
  for (const part of text.matchAll(/\\(\d{3})|\\(.)|(\.)|([\s\S])/g)) {
    const [, code, escaped, dot, plain] = part;
    if (dot !== undefined) labels.push([]);
    else labels.at(-1)?.push(...(code === undefined ? Buffer.from(escaped ?? plain ?? '') : [Number(code)]));
  }
  if (labels.at(-1)?.length === 0) labels.pop();
  const bytes: number[] = [];
  for (const label of labels) {
    if (label.length === 0) throw refuse('an empty label');
    if (label.length > maxLabelBytes) throw refuse('a label of more than 63 bytes');
    if (label.some((byte) => byte > 255)) throw refuse('an escape above \\255');
    bytes.push(label.length, ...label);
  }
  bytes.push(0);
  if (bytes.length > maxNameBytes) throw refuse('more than 255 bytes');
  return Buffer.from(bytes);
}

export function nameKey(text: string): NameKey {
  return toKey(encodeName(text));
}

/** For people: without the dot at the end but for the root, bytes that are special or not printable as `\DDD`. */
export function showName(key: NameKey): string {
  if (key === rootKey) return '.';
  const labels: string[] = [];
  for (let at = 0; key.charCodeAt(at) > 0; at += 1 + key.charCodeAt(at)) {
    const label = key.slice(at + 1, at + 1 + key.charCodeAt(at));
    labels.push(label.replace(/[^\x21-\x7e]|[.\\"();@$]/g, (character) => `\\${String(character.charCodeAt(0)).padStart(3, '0')}`));
  }
  return labels.join('.');
}
