/**
 * The format of a segment: an immutable object of pages of one app.
 *
 *   header   one page: magic, version, segment, app; for people and tools
 *   blocks   up to 32 pages each, all from one aligned 32-page block of one process, stored as `codec` says
 *   index    per block: first page, count, codec, position and stored length; then a CRC-32 per page
 *   footer   64 bytes: magic, version, segment, CRC-32 of the app's name, sizes, CRC-32 of index and footer
 *
 * A page is addressed by its index, counted from the first block on. Only codec 0 (raw) exists so far; the index has what others need.
 */
import {crc32} from 'node:zlib';
import {DamagedCheckpointError} from './damage.ts';
import {pageSizeBytes} from './page-table.ts';

export const segmentHeaderBytes = 4096;
export const segmentFooterBytes = 64;
export const rawCodec = 0;

const headerMagic = 'PICOSEG1';
const footerMagic = 'PICOEND1';
const formatVersion = 1;
const blockEntryBytes = 24;

export interface SegmentIdentity {
  readonly app: string;
  readonly segment: number;
}

export interface SegmentBlock {
  readonly firstIndex: number;
  readonly count: number;
  readonly codec: number;
  readonly position: number;
  readonly storedBytes: number;
}

export interface SegmentFooter {
  readonly pageCount: number;
  readonly blockCount: number;
  readonly indexPosition: number;
  readonly indexBytes: number;
  readonly indexChecksum: number;
}

/** What one must know of a segment to read its pages. */
export interface SegmentIndex {
  readonly pageCount: number;
  /** Position of the index, where the blocks end. */
  readonly endOfBlocks: number;
  readonly blocks: readonly SegmentBlock[];
  /** CRC-32 of each page. */
  readonly checksums: Uint32Array;
}

export function renderHeader({app, segment}: SegmentIdentity): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  header.write(headerMagic, 0, 'latin1');
  header.writeUInt32LE(formatVersion, 8);
  header.writeUInt32LE(segment, 12);
  header.writeUInt32LE(header.write(app, 20, 'utf8'), 16);
  return header;
}

/** The index and the footer, which end the object. */
export function renderEnd(identity: SegmentIdentity, blocks: readonly SegmentBlock[], checksums: readonly number[], indexPosition: number): Buffer {
  const indexBytes = blocks.length * blockEntryBytes + checksums.length * 4;
  const data = Buffer.alloc(indexBytes + segmentFooterBytes);
  let at = 0;
  for (const block of blocks) {
    data.writeUInt32LE(block.firstIndex, at);
    data.writeUInt8(block.count, at + 4);
    data.writeUInt8(block.codec, at + 5);
    data.writeBigUInt64LE(BigInt(block.position), at + 8);
    data.writeUInt32LE(block.storedBytes, at + 16);
    at += blockEntryBytes;
  }
  for (const checksum of checksums) at = data.writeUInt32LE(checksum, at);
  const footer = data.subarray(indexBytes);
  footer.write(footerMagic, 0, 'latin1');
  footer.writeUInt32LE(formatVersion, 8);
  footer.writeUInt32LE(identity.segment, 12);
  footer.writeUInt32LE(crc32(identity.app), 16);
  footer.writeUInt32LE(checksums.length, 20);
  footer.writeUInt32LE(blocks.length, 24);
  footer.writeUInt32LE(indexBytes, 28);
  footer.writeBigUInt64LE(BigInt(indexPosition), 32);
  footer.writeUInt32LE(crc32(data.subarray(0, indexBytes)), 40);
  footer.writeUInt32LE(crc32(footer.subarray(0, segmentFooterBytes - 4)), segmentFooterBytes - 4);
  return data;
}

/** Where something was read from, for the message of an error. */
export interface SegmentPlace extends SegmentIdentity {
  /** Key of the object. */
  readonly object: string;
  readonly generation?: number | undefined;
}

/** @throws DamagedCheckpointError */
export function parseFooter(place: SegmentPlace, objectBytes: number, footer: Buffer): SegmentFooter {
  const offset = Math.max(0, objectBytes - segmentFooterBytes);
  const damaged = (found: string): DamagedCheckpointError => new DamagedCheckpointError({...place, offset, found});
  if (objectBytes < segmentHeaderBytes + segmentFooterBytes || footer.length !== segmentFooterBytes)
    throw damaged(`the object ends after ${objectBytes} bytes`);
  if (footer.toString('latin1', 0, 8) !== footerMagic) throw damaged('the footer of a segment is missing');
  const checksum = crc32(footer.subarray(0, segmentFooterBytes - 4));
  if (checksum !== footer.readUInt32LE(segmentFooterBytes - 4)) throw damaged('the footer has a wrong checksum');
  if (footer.readUInt32LE(8) !== formatVersion) throw damaged(`the format has version ${footer.readUInt32LE(8)}`);
  if (footer.readUInt32LE(12) !== place.segment || footer.readUInt32LE(16) !== crc32(place.app)) {
    throw damaged(`it is segment ${footer.readUInt32LE(12)}, or that of another app`);
  }
  const parsed = {
    pageCount: footer.readUInt32LE(20),
    blockCount: footer.readUInt32LE(24),
    indexBytes: footer.readUInt32LE(28),
    indexPosition: Number(footer.readBigUInt64LE(32)),
    indexChecksum: footer.readUInt32LE(40),
  };
  if (parsed.indexPosition + parsed.indexBytes !== offset) throw damaged(`the index ends at byte ${parsed.indexPosition + parsed.indexBytes}`);
  return parsed;
}

/** @throws DamagedCheckpointError */
export function parseIndex(place: SegmentPlace, footer: SegmentFooter, data: Buffer): SegmentIndex {
  const {pageCount, blockCount, indexPosition} = footer;
  if (crc32(data) !== footer.indexChecksum || data.length !== blockCount * blockEntryBytes + pageCount * 4) {
    throw new DamagedCheckpointError({...place, offset: indexPosition, found: 'the index has a wrong checksum'});
  }
  const blocks = Array.from({length: blockCount}, (_, number): SegmentBlock => {
    const at = number * blockEntryBytes;
    return {
      firstIndex: data.readUInt32LE(at),
      count: data.readUInt8(at + 4),
      codec: data.readUInt8(at + 5),
      position: Number(data.readBigUInt64LE(at + 8)),
      storedBytes: data.readUInt32LE(at + 16),
    };
  });
  const checksums = new Uint32Array(pageCount);
  for (let index = 0; index < pageCount; index++) checksums[index] = data.readUInt32LE(blockCount * blockEntryBytes + index * 4);
  return {pageCount, endOfBlocks: indexPosition, blocks, checksums};
}

/** Pages that lie one after the other, raw, in the object. */
export interface Stretch {
  readonly index: number;
  readonly count: number;
  readonly position: number;
}

/**
 * The stretches of the object that hold `count` pages from `index` on; adjacent blocks make one.
 * @throws DamagedCheckpointError when the segment has no such pages, or holds them in a way this version cannot read
 */
export function stretches(place: SegmentPlace, segment: SegmentIndex, index: number, count: number): readonly Stretch[] {
  if (index + count > segment.pageCount) {
    throw new DamagedCheckpointError({
      ...place,
      offset: segment.endOfBlocks,
      found: `the segment has ${segment.pageCount} pages, page ${index + count - 1} is needed`,
    });
  }
  const found: {index: number; count: number; position: number}[] = [];
  const end = index + count;
  for (let number = blockAt(segment.blocks, index), next = index; next < end; number++) {
    const block = segment.blocks[number];
    if (block?.codec !== rawCodec || next < block.firstIndex) {
      throw new DamagedCheckpointError({
        ...place,
        offset: block?.position ?? segment.endOfBlocks,
        found: `page ${next} is in a block of codec ${block?.codec ?? 'none'}`,
      });
    }
    const position = block.position + (next - block.firstIndex) * pageSizeBytes;
    const taken = Math.min(end, block.firstIndex + block.count) - next;
    const last = found.at(-1);
    if (last !== undefined && last.position + last.count * pageSizeBytes === position) last.count += taken;
    else found.push({index: next, count: taken, position});
    next += taken;
  }
  return found;
}

/** Number of the last block that starts at or before a page. */
function blockAt(blocks: readonly SegmentBlock[], index: number): number {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((blocks[middle]?.firstIndex ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** @throws DamagedCheckpointError when one of the pages of a stretch, which lie at `offset` of `data`, is not what was written */
export function verifyPages(place: SegmentPlace, segment: SegmentIndex, stretch: Stretch, data: Uint8Array, offset: number): void {
  for (let number = 0; number < stretch.count; number++) {
    const start = offset + number * pageSizeBytes;
    const checksum = crc32(data.subarray(start, start + pageSizeBytes));
    const expected = segment.checksums[stretch.index + number];
    if (checksum === expected) continue;
    const found = `page ${stretch.index + number} has checksum ${checksum.toString(16)} instead of ${expected?.toString(16)}`;
    throw new DamagedCheckpointError({...place, offset: stretch.position + number * pageSizeBytes, found});
  }
}
