/** Makes the bytes of a new segment from pages as they come, in one pass and without holding them. */
import {crc32} from 'node:zlib';
import {blockPages, pageSizeBytes} from './page-table.ts';
import {rawCodec, renderEnd, renderHeader, type SegmentBlock, type SegmentIdentity, segmentHeaderBytes} from './segment.ts';

/** Pages of one process, one after the other in `data`. */
export interface PageBatch {
  readonly pid: number;
  /** The address / 4096 of each; ascending. */
  readonly pages: readonly number[];
  readonly data: Uint8Array;
  /** CRC-32 of each. */
  readonly checksums: readonly number[];
}

export async function* segmentBody(identity: SegmentIdentity, batches: AsyncIterable<PageBatch>): AsyncGenerator<Uint8Array, undefined> {
  yield renderHeader(identity);
  const blocks: Block[] = [];
  const checksums: number[] = [];
  for await (const batch of batches) {
    for (const page of batch.pages) addToBlocks(blocks, batch.pid, page);
    for (const checksum of batch.checksums) checksums.push(checksum);
    yield batch.data;
  }
  yield renderEnd(identity, blocks, checksums, segmentHeaderBytes + checksums.length * pageSizeBytes);
  return undefined;
}

interface Block extends SegmentBlock {
  count: number;
  storedBytes: number;
  readonly pid: number;
  readonly block: number;
}

function addToBlocks(blocks: Block[], pid: number, page: number): void {
  const block = Math.floor(page / blockPages);
  const last = blocks.at(-1);
  if (last?.pid === pid && last.block === block) {
    last.count++;
    last.storedBytes += pageSizeBytes;
    return;
  }
  const firstIndex = last === undefined ? 0 : last.firstIndex + last.count;
  blocks.push({pid, block, firstIndex, count: 1, codec: rawCodec, position: segmentHeaderBytes + firstIndex * pageSizeBytes, storedBytes: pageSizeBytes});
}

/** CRC-32 of the `number`th page in a buffer of pages. */
export function pageChecksum(data: Uint8Array, number: number): number {
  return crc32(data.subarray(number * pageSizeBytes, (number + 1) * pageSizeBytes));
}
