/**
 * One object with all that a wake of a generation reads first, for a host that has nothing of it: copies of parts of other objects, the pages
 * that CRIU reads, and the pages that are expected to be touched, both as segments. It is fetched in ranges, all at once, without knowing
 * anything before; CRIU can begin when all but the last segment is there.
 *
 *   head      32 bytes: magic, version, length and CRC-32 of the contents
 *   contents  JSON: which part of which object lies where, with a checksum; the pages in the segments, as page tables
 *   parts     one after the other; the segment of CRIU's pages is the last of them
 *   segment   of expected pages: from a multiple of 128 KiB on, in the format of all segments, to the end
 *
 * Only a hint: everything in it is in other objects too, and is checked as if it came from those.
 */
import {crc32} from 'node:zlib';
import {chunkBytes} from '../../store/partial-file.ts';
import type {PageTable} from '../checkpoints/page-table.ts';
import {decodePageTable, encodePageTable} from '../checkpoints/page-table-codec.ts';
import {newSalt, objectCipher} from '../checkpoints/sealing.ts';
import type {OpenTables} from './cold-images.ts';

const magic = 'PICOCOLD';
const formatVersion = 3;
const headBytes = 32;
/** Far above what occurs; what claims to be longer is not ours. */
const contentsBytesMax = 16 * 1024 * 1024;

/** A copy of a part of another object, or the segment of CRIU's pages. */
export interface ColdPart {
  readonly key: string;
  /** Of the whole object. */
  readonly sizeBytes: number;
  readonly position: number;
  readonly length: number;
  readonly checksum: number;
}

export interface ColdTable {
  readonly vpid: number;
  /** A page table, encoded and sealed, in base64; its places are in a segment here. */
  readonly table: string;
}

/** A segment here, and what is in it. */
export interface ColdPages {
  readonly segment: number;
  /** How the tables are sealed, each at its index; undefined when the app has no key. In hexadecimal digits. */
  readonly salt?: string;
  readonly tables: readonly ColdTable[];
}

export interface ColdContents {
  readonly app: string;
  readonly generation: number;
  readonly token: number;
  /** Pages that CRIU reads; undefined when there are none, or more than are kept in memory. */
  readonly images: ColdPages | undefined;
  /** Undefined when no page is expected. */
  readonly expected: ColdPages | undefined;
  readonly parts: readonly ColdPart[];
}

/** Where things lie in the object. */
export interface ColdLayout {
  readonly contents: ColdContents;
  /** Of the first part. */
  readonly partsAt: number;
  readonly partsEnd: number;
  readonly segmentAt: number;
}

/** Segments of cold objects have numbers that no other segment reaches. */
export function coldSegmentNumber(generation: number): number {
  return 0x40000000 + generation;
}

export function coldImagesNumber(generation: number): number {
  return 0x60000000 + generation;
}

/** The name of the segment of expected pages, as if it were an object of its own. */
export function coldSegmentKey(coldKey: string): string {
  return `${coldKey}.segment`;
}

/** The same of the segment of CRIU's pages. */
export function coldImagesKey(coldKey: string): string {
  return `${coldKey}.images`;
}

/** @param object the segment. @param dataKey undefined: in the clear */
export function sealTables(segment: number, object: string, tables: ReadonlyMap<number, PageTable>, dataKey: Uint8Array | undefined): ColdPages {
  const salt = newSalt();
  const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt, object: tablesName(object)});
  const encoded = [...tables].map(([vpid, table], index) => {
    const plain = encodePageTable(table);
    return {vpid, table: (cipher?.encrypt(index, plain) ?? plain).toString('base64')};
  });
  return {segment, ...(cipher === undefined ? {} : {salt: salt.toString('hex')}), tables: encoded};
}

/** Undoes `sealTables()`. */
export function openTables({salt, tables}: ColdPages, object: string): OpenTables {
  return (dataKey) => {
    if (salt !== undefined && dataKey === undefined) return new Map();
    const cipher =
      salt === undefined || dataKey === undefined ? undefined : objectCipher({dataKey, salt: Buffer.from(salt, 'hex'), object: tablesName(object)});
    const found = new Map<number, PageTable>();
    for (const [index, {vpid, table}] of tables.entries()) {
      const stored = Buffer.from(table, 'base64');
      const plain = cipher === undefined ? stored : cipher.decrypt(index, stored);
      if (plain !== undefined) found.set(vpid, decodePageTable(plain));
    }
    return found;
  };
}

function tablesName(object: string): string {
  return `${object}.tables`;
}

/** All of the object before its segment, with the padding. @param data of each part, in their order */
export function renderCold(contents: ColdContents, data: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(contents));
  const head = Buffer.alloc(headBytes);
  head.write(magic, 0, 'latin1');
  head.writeUInt32LE(formatVersion, 8);
  head.writeUInt32LE(json.length, 12);
  head.writeUInt32LE(crc32(json), 16);
  const before = Buffer.concat([head, json, ...data]);
  return Buffer.concat([before, Buffer.alloc(alignedUp(before.length) - before.length)]);
}

/** How many bytes from the start on must be known to parse it; undefined when it is not a cold object. */
export function coldContentsEnd(start: Buffer): number | undefined {
  if (start.length < headBytes || start.toString('latin1', 0, 8) !== magic || start.readUInt32LE(8) !== formatVersion) return undefined;
  const length = start.readUInt32LE(12);
  return length > contentsBytesMax ? undefined : headBytes + length;
}

/** @param start at least as much as `coldContentsEnd()` says. @returns undefined when it is not what was written */
export function parseCold(start: Buffer): ColdLayout | undefined {
  const end = coldContentsEnd(start);
  if (end === undefined || start.length < end) return undefined;
  const json = start.subarray(headBytes, end);
  if (crc32(json) !== start.readUInt32LE(16)) return undefined;
  // The checksum says that we wrote it.
  const contents = JSON.parse(json.toString('utf8')) as ColdContents;
  const partsBytes = contents.parts.reduce((sum, {length}) => sum + length, 0);
  return {contents, partsAt: end, partsEnd: end + partsBytes, segmentAt: alignedUp(end + partsBytes)};
}

function alignedUp(position: number): number {
  return Math.ceil(position / chunkBytes) * chunkBytes;
}
