/** Makes the bytes of a new segment from pages as they come, in one pass and without holding more than a few megabytes of them. */
import {blockPages, pageSizeBytes} from './page-table.ts';
import {type ObjectCipher, sealTagBytes} from './sealing.ts';
import {renderEnd, renderHeader, type SegmentBlock, type SegmentIdentity, segmentHeaderBytes} from './segment.ts';
import {compressPiece, type Effort, isNoise, rawCodec} from './stored-piece.ts';

/** Pages of one process, one after the other in `data`. All that the segment has of an aligned block comes in one batch. */
export interface PageBatch {
  readonly pid: number;
  /** The address / 4096 of each; ascending. */
  readonly pages: readonly number[];
  readonly data: Uint8Array;
  /** CRC-32 of each. */
  readonly checksums: readonly number[];
}

/** How long a batch is needed: until `batchesHeld` more have been asked for. */
export const batchesHeld = 2;

/** The first pages of a segment, of which many a small sleep has no more, are compressed with more effort than would be right for many. */
const thoroughPages = 256;
const fullBytes = blockPages * pageSizeBytes;

export interface SegmentForm {
  /** Seals the segment; undefined when its app has no key. */
  readonly cipher: ObjectCipher | undefined;
  /** False: what saves time is worth more than what saves space. Default true. */
  readonly compress?: boolean;
}

export async function* segmentBody(
  identity: SegmentIdentity,
  batches: AsyncIterable<PageBatch>,
  {cipher, compress = true}: SegmentForm,
): AsyncGenerator<Uint8Array, undefined> {
  yield renderHeader(identity);
  const blocks: Pick<SegmentBlock, 'count' | 'codec' | 'storedBytes'>[] = [];
  const checksums: number[] = [];
  let position = segmentHeaderBytes;
  for await (const {batch, encoded} of ahead(encodedBatches(batches, compress))) {
    const parts: Uint8Array[] = [];
    for (const {count, codec, data} of encoded) {
      const storedBytes = data.length + (cipher === undefined ? 0 : sealTagBytes);
      if (cipher === undefined) parts.push(data);
      else parts.push(...cipher.encryptParts(position, data));
      blocks.push({count, codec, storedBytes});
      position += storedBytes;
    }
    for (const checksum of batch.checksums) checksums.push(checksum);
    const isPlain = cipher === undefined && encoded.every(({isRaw}) => isRaw);
    yield isPlain ? batch.data : Buffer.concat(parts);
  }
  yield renderEnd(identity, {blocks, checksums, indexPosition: position, cipher});
  return undefined;
}

interface EncodedBlock {
  readonly count: number;
  readonly codec: number;
  readonly data: Uint8Array;
  readonly isRaw: boolean;
}

interface PlainBlock {
  readonly plain: Uint8Array;
  readonly effort: Effort;
}

/** The blocks of a batch are compressed at the same time. */
async function* encodedBatches(
  batches: AsyncIterable<PageBatch>,
  compress: boolean,
): AsyncGenerator<{batch: PageBatch; encoded: readonly EncodedBlock[]}, undefined> {
  let pages = 0;
  for await (const batch of batches) {
    if (!compress) {
      yield {batch, encoded: blocksOf(batch).map((plain) => ({count: plain.length / pageSizeBytes, codec: rawCodec, data: plain, isRaw: true}))};
      continue;
    }
    const blocks = pages < thoroughPages ? merged(batch.data, blocksOf(batch)) : blocksOf(batch).map((plain): PlainBlock => ({plain, effort: 'quick'}));
    pages += batch.pages.length;
    yield {batch, encoded: await Promise.all(blocks.map(encodeBlock))};
  }
  return undefined;
}

/** Neighbours that are small together become one, so that what they have in common is stored once. Noise stays alone, to be read page by page. */
function merged(data: Uint8Array, blocks: readonly Uint8Array[]): readonly PlainBlock[] {
  const found: PlainBlock[] = [];
  for (const plain of blocks) {
    const last = found.at(-1);
    const effort = plain.length === fullBytes || isNoise(plain) ? 'quick' : 'thorough';
    if (effort === 'thorough' && last?.effort === 'thorough' && last.plain.length + plain.length <= fullBytes) {
      const start = last.plain.byteOffset - data.byteOffset;
      found[found.length - 1] = {plain: data.subarray(start, start + last.plain.length + plain.length), effort};
    } else {
      found.push({plain, effort});
    }
  }
  return found;
}

async function encodeBlock({plain, effort}: PlainBlock): Promise<EncodedBlock> {
  const {codec, data} = await compressPiece(plain, effort);
  return {count: plain.length / pageSizeBytes, codec, data, isRaw: data === plain};
}

function blocksOf({pages, data}: PageBatch): readonly Uint8Array[] {
  const blocks: Uint8Array[] = [];
  let start = 0;
  for (const [at, page] of pages.entries()) {
    const next = pages[at + 1];
    if (next !== undefined && Math.floor(next / blockPages) === Math.floor(page / blockPages)) continue;
    blocks.push(data.subarray(start * pageSizeBytes, (at + 1) * pageSizeBytes));
    start = at + 1;
  }
  return blocks;
}

/** Makes the next one while one is being used. */
async function* ahead<T>(source: AsyncGenerator<T, undefined>): AsyncGenerator<T, undefined> {
  let next = source.next();
  try {
    for (;;) {
      const result = await next;
      if (result.done === true) return undefined;
      next = source.next();
      // Its failure is met when it is asked for, which may be later.
      next.catch(() => undefined);
      yield result.value;
    }
  } finally {
    await source.return(undefined);
  }
}
