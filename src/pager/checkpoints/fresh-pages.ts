/**
 * The part of a commit that looks at every page of a dump: what is zero is dropped, what the parent has, at whatever address, is referred to, the
 * rest is fresh and handed on to be written. Enters each page into its process's table as it goes.
 *
 * Dropping a zero page is right only in a lazy mapping (private, anonymous), where absence reads as zero. In a private mapping of a file absence
 * means the file's content.
 */
import {type FileHandle, open} from 'node:fs/promises';
import {crc32} from 'node:zlib';
import {badDump} from './criu-image.ts';
import type {DumpedProcess} from './dump.ts';
import type {KnownPages} from './known-pages.ts';
import {pageChecksum} from './page-checksums.ts';
import {blockPages, type PageTable, pageSizeBytes} from './page-table.ts';
import type {SegmentIndex} from './segment.ts';
import type {SegmentSource} from './segment-source.ts';
import {batchesHeld, type PageBatch} from './segment-writer.ts';

/** At most, and a block less at least: about a megabyte is large enough for the disk and small enough for the event loop. */
const chunkPages = 256;
/** Two pages of the parent that lie closer than this in a segment are read together. */
const readThroughPages = 8;
const zeroPage = Buffer.alloc(pageSizeBytes);
const zeroChecksum = crc32(zeroPage);
const none: ReadonlySet<Candidate> = new Set();

export interface Counts {
  newPages: number;
  unchangedPages: number;
  zeroPages: number;
}

export interface ParentPages {
  readonly tables: ReadonlyMap<number, PageTable>;
  readonly source: SegmentSource;
  /** Of every segment that can be compared with. */
  readonly indexes: ReadonlyMap<number, SegmentIndex>;
  /** The pages of these segments. */
  readonly known: KnownPages;
}

export interface FreshPagesOptions {
  readonly processes: readonly DumpedProcess[];
  /** Per process, holding the pages that were missing; completed here. */
  readonly tables: ReadonlyMap<number, PageTable>;
  readonly parent: ParentPages | null;
  /** Number of the segment that fresh pages go to, from index 0 on. */
  readonly segment: number;
  readonly counts: Counts;
  readonly signal: AbortSignal | undefined;
}

/** Pages that lie one after the other in a dump; it has all of each aligned block of which it has any. */
interface ChunkPlan {
  /** Of its first page, among those of the dump. */
  readonly start: number;
  readonly pages: readonly number[];
  readonly lazy: readonly boolean[];
}

interface Chunk extends ChunkPlan {
  readonly data: Buffer;
}

/** A page whose checksum the parent has, at the same address or elsewhere. */
interface Candidate {
  readonly at: number;
  readonly checksum: number;
  readonly segment: number;
  readonly index: number;
}

export async function* freshPages(options: FreshPagesOptions): AsyncGenerator<PageBatch, undefined> {
  let index = 0;
  const buffers = new ChunkBuffers();
  const held: Buffer[] = [];
  for (const process of options.processes) {
    const table = options.tables.get(process.pid);
    if (table === undefined) continue;
    for await (const chunk of chunks(process, buffers)) {
      options.signal?.throwIfAborted();
      const batch = await sift(options, process.pid, table, chunk);
      if (batch.pages.length === 0) {
        buffers.free(chunk.data);
        continue;
      }
      for (const [number, page] of batch.pages.entries()) {
        table.add({page, count: 1, segment: options.segment, index: index + number, lazy: batch.lazy[number] ?? false});
      }
      index += batch.pages.length;
      options.counts.newPages += batch.pages.length;
      yield batch;
      held.push(chunk.data);
      const released = held.length < batchesHeld ? undefined : held.shift();
      if (released !== undefined) buffers.free(released);
    }
  }
  return undefined;
}

/** Memory for chunks, used again and again. */
class ChunkBuffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(chunkPages * pageSizeBytes);
  }

  free(data: Buffer): void {
    this.#free.push(Buffer.from(data.buffer));
  }
}

async function sift(options: FreshPagesOptions, pid: number, table: PageTable, chunk: Chunk): Promise<PageBatch & {lazy: readonly boolean[]}> {
  const {parent, counts} = options;
  const parentTable = parent?.tables.get(pid);
  const fresh = new Map<number, number>();
  const candidates: Candidate[] = [];
  for (const [at, page] of chunk.pages.entries()) {
    const checksum = pageChecksum(chunk.data, at);
    if (checksum === zeroChecksum && chunk.lazy[at] === true && isZero(chunk.data, at)) {
      table.delete(page, 1);
      counts.zeroPages++;
      continue;
    }
    const place = parentTable?.get(page);
    const isThere = place !== undefined && parent?.indexes.get(place.segment)?.checksums[place.index] === checksum;
    const known = isThere ? place : parent?.known.find(checksum);
    if (known === undefined) fresh.set(at, checksum);
    else candidates.push({at, checksum, segment: known.segment, index: known.index});
  }
  const compared = groups(candidates).map(async (group) => ({group, same: parent === null ? none : await compare(parent.source, group, chunk.data)}));
  for (const {group, same} of await Promise.all(compared)) {
    for (const candidate of group) {
      const {at, segment, index} = candidate;
      if (same.has(candidate)) {
        table.add({page: chunk.pages[at] ?? 0, count: 1, segment, index, lazy: chunk.lazy[at] ?? false});
        counts.unchangedPages++;
      } else fresh.set(at, candidate.checksum);
    }
  }
  return pack(pid, chunk, fresh);
}

function isZero(data: Buffer, at: number): boolean {
  return data.compare(zeroPage, 0, pageSizeBytes, at * pageSizeBytes, (at + 1) * pageSizeBytes) === 0;
}

/** Candidates that are worth one read each: near each other in a segment. */
function groups(candidates: readonly Candidate[]): readonly (readonly Candidate[])[] {
  const found: Candidate[][] = [];
  for (const candidate of candidates) {
    const group = found.at(-1);
    const last = group?.at(-1);
    const gap = last?.segment === candidate.segment ? candidate.index - last.index : 0;
    if (group !== undefined && gap > 0 && gap <= readThroughPages) group.push(candidate);
    else found.push([candidate]);
  }
  return found;
}

/** Those of a group whose bytes are the parent's. */
async function compare(source: SegmentSource, group: readonly Candidate[], data: Buffer): Promise<ReadonlySet<Candidate>> {
  const [first, last] = [group[0], group.at(-1)];
  if (first === undefined || last === undefined) return new Set();
  let old: Buffer;
  try {
    old = await source.read(first.segment, first.index, last.index - first.index + 1, {verify: false});
  } catch {
    // The parent cannot be read here: then the pages are written again, which is safe, and who wakes the parent will hear of it.
    return new Set();
  }
  return new Set(
    group.filter(({at, index}) => {
      const start = (index - first.index) * pageSizeBytes;
      return data.compare(old, start, start + pageSizeBytes, at * pageSizeBytes, (at + 1) * pageSizeBytes) === 0;
    }),
  );
}

/** Moves the fresh pages of a chunk together, in order of address. */
function pack(pid: number, chunk: Chunk, fresh: ReadonlyMap<number, number>): PageBatch & {lazy: readonly boolean[]} {
  const pages: number[] = [];
  const lazy: boolean[] = [];
  const checksums: number[] = [];
  for (const [at, page] of chunk.pages.entries()) {
    const checksum = fresh.get(at);
    if (checksum === undefined) continue;
    if (pages.length !== at) chunk.data.copy(chunk.data, pages.length * pageSizeBytes, at * pageSizeBytes, (at + 1) * pageSizeBytes);
    pages.push(page);
    lazy.push(chunk.lazy[at] ?? false);
    checksums.push(checksum);
  }
  return {pid, pages, lazy, checksums, data: chunk.data.subarray(0, pages.length * pageSizeBytes)};
}

/** The pages of a process in chunks; the next one is being read while one is worked on. Whoever gets one frees its buffer. */
async function* chunks(process: DumpedProcess, buffers: ChunkBuffers): AsyncGenerator<Chunk, undefined> {
  const plans = [...chunkPlans(process)];
  if (plans.length === 0) return undefined;
  await using file = await open(process.pagesPath, 'r');
  const read = async (number: number): Promise<Chunk | undefined> => {
    const plan = plans[number];
    if (plan === undefined) return undefined;
    const data = buffers.take().subarray(0, plan.pages.length * pageSizeBytes);
    await readFully(file, process, data, plan.start * pageSizeBytes);
    return {...plan, data};
  };
  let next = read(0);
  try {
    for (let number = 1; ; number++) {
      const chunk = await next;
      if (chunk === undefined) return undefined;
      next = read(number);
      yield chunk;
    }
  } finally {
    await next.catch(() => undefined); // abandoned: whoever stopped asking has an error of its own
  }
}

function* chunkPlans(process: DumpedProcess): Generator<ChunkPlan, undefined> {
  let plan: {start: number; pages: number[]; lazy: boolean[]} = {start: 0, pages: [], lazy: []};
  let block = -1;
  for (const {page, count, lazy} of process.pages) {
    for (let number = page; number < page + count; number++) {
      const next = Math.floor(number / blockPages);
      if (next !== block && plan.pages.length > chunkPages - blockPages) {
        yield plan;
        plan = {start: plan.start + plan.pages.length, pages: [], lazy: []};
      }
      block = next;
      plan.pages.push(number);
      plan.lazy.push(lazy);
    }
  }
  if (plan.pages.length > 0) yield plan;
  return undefined;
}

async function readFully(file: FileHandle, process: DumpedProcess, data: Buffer, position: number): Promise<void> {
  for (let filled = 0; filled < data.length; ) {
    const {bytesRead} = await file.read(data, filled, data.length - filled, position + filled);
    if (bytesRead === 0) throw badDump(`pages-${process.pagesId}.img`, `it ends at byte ${position + filled}`);
    filled += bytesRead;
  }
}
