/** Which bytes of a segment hold given pages, and whether what was read is what was written. */
import {crc32} from 'node:zlib';
import {DamagedCheckpointError} from './damage.ts';
import {pageChecksum, runChecksum} from './page-checksums.ts';
import {pageSizeBytes} from './page-table.ts';
import type {SegmentBlock, SegmentIndex, SegmentPlace} from './segment.ts';
import {rawCodec} from './stored-piece.ts';

/** Pages that lie one after the other, as they are, in the object; or pages of one block that must be decoded as a whole. */
export type SegmentPiece =
  | {readonly kind: 'plain'; readonly index: number; readonly count: number; readonly position: number}
  | {
      readonly kind: 'encoded';
      readonly index: number;
      readonly count: number;
      /** Of the block. */
      readonly position: number;
      readonly block: SegmentBlock;
      /** Where in the decoded block the pages begin. */
      readonly skipBytes: number;
    };

/** Bytes of the object that a piece is made from. */
export function storedBytes(piece: SegmentPiece): number {
  return piece.kind === 'plain' ? piece.count * pageSizeBytes : piece.block.storedBytes;
}

/**
 * The pieces of the object that hold `count` pages from `index` on, in order; they follow each other without gaps, and adjacent plain blocks
 * make one.
 * @throws DamagedCheckpointError when the segment has no such pages
 */
export function segmentPieces(place: SegmentPlace, segment: SegmentIndex, index: number, count: number): readonly SegmentPiece[] {
  checkPages(place, segment, index, count);
  const found: Writable<SegmentPiece>[] = [];
  const end = index + count;
  for (let number = blockAt(segment.blocks, index), next = index; next < end; number++) {
    const block = segment.blocks[number];
    if (block === undefined) break;
    const skipBytes = (next - block.firstIndex) * pageSizeBytes;
    const taken = Math.min(end, block.firstIndex + block.count) - next;
    if (segment.cipher !== undefined || block.codec !== rawCodec) {
      found.push({kind: 'encoded', index: next, count: taken, position: block.position, block, skipBytes});
    } else {
      const last = found.at(-1);
      if (last?.kind === 'plain') last.count += taken;
      else found.push({kind: 'plain', index: next, count: taken, position: block.position + skipBytes});
    }
    next += taken;
  }
  return found;
}

type Writable<T> = T extends unknown ? {-readonly [K in keyof T]: T[K]} : never;

/** @throws DamagedCheckpointError when the segment has no such pages */
export function checkPages(place: SegmentPlace, segment: SegmentIndex, index: number, count: number): void {
  if (index + count <= segment.pageCount) return;
  const found = `the segment has ${segment.pageCount} pages, page ${index + count - 1} is needed`;
  throw new DamagedCheckpointError({...place, offset: segment.endOfBlocks, found});
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

/** @throws DamagedCheckpointError when one of the pages of a piece, which lie at `offset` of `data`, is not what was written */
export function verifyPages(place: SegmentPlace, segment: SegmentIndex, piece: SegmentPiece, data: Uint8Array, offset: number): void {
  const pages = data.subarray(offset, offset + piece.count * pageSizeBytes);
  if (crc32(pages) === runChecksum(segment.checksums, piece.index, piece.count)) return;
  for (let number = 0; number < piece.count; number++) {
    const checksum = pageChecksum(pages, number);
    const expected = segment.checksums[piece.index + number];
    if (checksum === expected) continue;
    const found = `page ${piece.index + number} has checksum ${checksum.toString(16)} instead of ${expected?.toString(16)}`;
    const position = piece.position + (piece.kind === 'plain' ? number * pageSizeBytes : 0);
    throw new DamagedCheckpointError({...place, offset: position, found});
  }
}
