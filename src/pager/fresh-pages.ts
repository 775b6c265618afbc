/**
 * The part of a commit that looks at every page of a dump: what is zero is dropped, what the parent has at the same address is referred to,
 * the rest is fresh and handed on to be written. Enters each page into its process's table as it goes.
 *
 * Dropping a zero page is right only in a lazy mapping (private, anonymous), where absence reads as zero. In a private mapping of a file absence
 * means the file's content.
 */
import {type FileHandle, open} from 'node:fs/promises';
import {crc32} from 'node:zlib';
import {badDump} from './criu-image.ts';
import type {DumpedProcess} from './dump.ts';
import {type PageTable, pageSizeBytes} from './page-table.ts';
import type {SegmentIndex} from './segment.ts';
import type {SegmentSource} from './segment-source.ts';
import {type PageBatch, pageChecksum} from './segment-writer.ts';

/** One megabyte: large enough for the disk, small enough for the event loop. */
const chunkPages = 256;
/** Two pages of the parent that lie closer than this in a segment are read together. */
const readThroughPages = 8;
const zeroPage = Buffer.alloc(pageSizeBytes);
const zeroChecksum = crc32(zeroPage);

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

interface Chunk {
  readonly pages: readonly number[];
  readonly lazy: readonly boolean[];
  readonly data: Buffer;
}

/** A page whose checksum the parent has at the same address. */
interface Candidate {
  readonly at: number;
  readonly checksum: number;
  readonly segment: number;
  readonly index: number;
}

export async function* freshPages(options: FreshPagesOptions): AsyncGenerator<PageBatch, undefined> {
  let index = 0;
  for (const process of options.processes) {
    const table = options.tables.get(process.pid);
    if (table === undefined) continue;
    for await (const chunk of chunks(process)) {
      options.signal?.throwIfAborted();
      const batch = await sift(options, process.pid, table, chunk);
      if (batch.pages.length === 0) continue;
      for (const [number, page] of batch.pages.entries()) {
        table.add({page, count: 1, segment: options.segment, index: index + number, lazy: batch.lazy[number] ?? false});
      }
      index += batch.pages.length;
      options.counts.newPages += batch.pages.length;
      yield batch;
    }
  }
  return undefined;
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
    if (place !== undefined && parent?.indexes.get(place.segment)?.checksums[place.index] === checksum) {
      candidates.push({at, checksum, segment: place.segment, index: place.index});
    } else fresh.set(at, checksum);
  }
  for (const group of groups(candidates)) {
    const same = parent === null ? new Set<Candidate>() : await compare(parent.source, group, chunk.data);
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

/** The pages of a process in chunks; the next one is being read while one is worked on. A chunk is valid until the next is asked for. */
async function* chunks(process: DumpedProcess): AsyncGenerator<Chunk, undefined> {
  const plans = [...chunkPlans(process)];
  if (plans.length === 0) return undefined;
  await using file = await open(process.pagesPath, 'r');
  const buffers = [Buffer.allocUnsafeSlow(chunkPages * pageSizeBytes), Buffer.allocUnsafeSlow(chunkPages * pageSizeBytes)] as const;
  const read = async (number: number): Promise<Chunk | undefined> => {
    const plan = plans[number];
    if (plan === undefined) return undefined;
    const data = buffers[number % 2 === 0 ? 0 : 1].subarray(0, plan.pages.length * pageSizeBytes);
    await readFully(file, process, data, number * chunkPages * pageSizeBytes);
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

function* chunkPlans(process: DumpedProcess): Generator<{pages: number[]; lazy: boolean[]}, undefined> {
  let plan: {pages: number[]; lazy: boolean[]} = {pages: [], lazy: []};
  for (const {page, count, lazy} of process.pages) {
    for (let number = 0; number < count; number++) {
      plan.pages.push(page + number);
      plan.lazy.push(lazy);
      if (plan.pages.length < chunkPages) continue;
      yield plan;
      plan = {pages: [], lazy: []};
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
