/**
 * Fills the predicted set of one instance, in short turns between the faults of all: first it is read from the store into memory, while CRIU
 * is still starting; then, as soon as a process has sent its descriptor, it is copied in, run by run. Until the restorer has registered a
 * mapping, the kernel refuses copies into it, so a refused process is asked again after a short wait, and once more when CRIU has finished.
 *
 * What is not in the local cache is asked for in one go, in order of use; the rest is installed meanwhile, and what arrives as it arrives.
 */
import {faultPoint} from '../../core/fault-point.ts';
import {type PageRun, pageSizeBytes} from '../checkpoints/page-table.ts';
import type {PagePlace} from '../checkpoints/segment-reader.ts';
import type {AbsentPages} from './absent-pages.ts';
import type {FetchState} from './fault-fetches.ts';
import type {PagedProcess, PageReader} from './paged-process.ts';
import {chunkPages, type Memory, type ReadAheadMemory} from './read-ahead-memory.ts';

/** Pages that are read in vain rather than beginning another read. */
const gapPages = 8;
/** Pages that are fetched together. */
const fetchedPages = 256;
const retryMs = 0.5;

interface Chunk {
  readonly run: PageRun;
  /** Where it is read from, if that is one place. */
  readonly place: PagePlace | undefined;
  /** Position of its contents in the memory that was read ahead, in pages; undefined when not read. */
  at: number | undefined;
}

interface Share {
  /** To be installed, in this order, from `next` on. */
  readonly chunks: Chunk[];
  /** What is being fetched, in larger chunks. */
  fetched: PageRun[];
  process: PagedProcess | undefined;
  /** Chunks before this one are done. */
  next: number;
  notBefore: number;
}

/** What a turn found: more to do now, something to do at a time, or nothing until somebody says so. */
export type NextTurn = {readonly kind: 'now'} | {readonly kind: 'at'; readonly time: number} | {readonly kind: 'idle'};

/** Brings parts of segments into the local cache. */
export interface Fetcher {
  want(missing: readonly AbsentPages[]): void;
  state(missing: AbsentPages): FetchState;
}

/** Reads what is there and tells what is not. */
export interface PrefetchReader extends PageReader {
  placeOf(segment: number, index: number, count: number): PagePlace | undefined;
  absent(segment: number, index: number, count: number): AbsentPages | undefined;
}

function split(run: PageRun, maxPages: number): PageRun[] {
  const parts: PageRun[] = [];
  for (let done = 0; done < run.count; done += maxPages) {
    parts.push({...run, page: run.page + done, index: run.index + done, count: Math.min(maxPages, run.count - done)});
  }
  return parts;
}

/** How many pages of the segment a group of chunks goes over. */
function spanOf(group: readonly Chunk[]): number {
  const [first, last] = [group[0], group.at(-1)];
  if (first === undefined || last === undefined) return 0;
  return (last.place?.index ?? 0) - (first.place?.index ?? 0) + last.run.count;
}

export class Prefetch implements Disposable {
  readonly #reader: PrefetchReader;
  readonly #fetcher: Fetcher;
  readonly #shares = new Map<number, Share>();
  readonly #toRead: Chunk[] = [];
  readonly #memory: Memory | null;
  readonly #scratch: ReadAheadMemory['scratch'];
  #finished = false;
  #readPages = 0;
  /** Pages installed so far. */
  installed = 0;

  /** @param predicted by pid in the container, in the order in which they are to come; only pages that are stored */
  constructor(
    predicted: ReadonlyMap<number, Iterable<PageRun>>,
    {reader, fetcher, memory}: {reader: PrefetchReader; fetcher: Fetcher; memory: ReadAheadMemory},
  ) {
    this.#reader = reader;
    this.#fetcher = fetcher;
    for (const [vpid, runs] of predicted) {
      const parts = [...runs].flatMap((run) => split(run, fetchedPages));
      if (parts.length > 0) this.#shares.set(vpid, {chunks: [], fetched: parts, process: undefined, next: 0, notBefore: 0});
    }
    this.#memory = memory.take();
    this.#scratch = memory.scratch;
    this.recheck();
  }

  /** A process has sent its descriptor. */
  started(process: PagedProcess): void {
    const share = this.#shares.get(process.vpid);
    if (share !== undefined) share.process = process;
  }

  /** All mappings are registered: what is refused from now on does not exist. */
  finish(): void {
    this.#finished = true;
    for (const [vpid, share] of this.#shares) {
      if (share.process === undefined) this.#shares.delete(vpid);
      share.notBefore = 0;
    }
  }

  /** The process is gone. */
  forget(process: PagedProcess): void {
    for (const [vpid, share] of this.#shares) if (share.process === process) this.#shares.delete(vpid);
  }

  /** Fetches may have ended. @returns whether there is something to do now */
  recheck(): boolean {
    const wanted: AbsentPages[] = [];
    let ready = false;
    for (const [vpid, share] of this.#shares) {
      const still: PageRun[] = [];
      for (const run of share.fetched) {
        const absent = this.#absent(run);
        if (absent === undefined) {
          const parts = split(run, chunkPages).map((part) => ({run: part, place: this.#reader.placeOf(part.segment, part.index, part.count), at: undefined}));
          share.chunks.push(...parts);
          this.#toRead.push(...parts);
          ready = true;
          continue;
        }
        const state = this.#fetcher.state(absent);
        if (state === 'unknown') wanted.push(absent);
        // A predicted page need not be wanted; if it is, its fault has it fetched.
        if (state !== 'failed') still.push(run);
      }
      share.fetched = still;
      this.#endShare(vpid, share);
    }
    this.#fetcher.want(wanted);
    return ready;
  }

  #absent({segment, index, count}: PageRun): AbsentPages | undefined {
    try {
      return this.#reader.absent(segment, index, count);
    } catch {
      // Reading it meets the same error.
      return undefined;
    }
  }

  /** One short turn (a chunk). */
  turn(nowMs: number): NextTurn {
    let earliest = Number.POSITIVE_INFINITY;
    for (const [vpid, share] of this.#shares) {
      if (share.process === undefined || share.next >= share.chunks.length) continue;
      if (share.notBefore > nowMs) {
        earliest = Math.min(earliest, share.notBefore);
        continue;
      }
      this.#install(vpid, share, share.process, nowMs);
      return {kind: 'now'};
    }
    if (this.#readAhead()) return {kind: 'now'};
    return earliest === Number.POSITIVE_INFINITY ? {kind: 'idle'} : {kind: 'at', time: earliest};
  }

  get done(): boolean {
    return this.#shares.size === 0;
  }

  #readAhead(): boolean {
    const chunk = this.#toRead.shift();
    if (chunk === undefined || this.#memory === null) return false;
    if (chunk.at !== undefined) return true;
    const group = [chunk, ...this.#takeNeighbours(chunk)];
    const pages = spanOf(group);
    if ((this.#readPages + pages) * pageSizeBytes > this.#memory.bytes.length) {
      this.#toRead.length = 0;
      return false;
    }
    if (!this.#readGroup(group, this.#memory)) for (const one of group) this.#readOne(one, this.#memory);
    return true;
  }

  /** Those that come next and lie where one read gets them too, with what lies between. */
  #takeNeighbours({run, place}: Chunk): Chunk[] {
    if (place === undefined) return [];
    let end = place.index + run.count;
    let taken = 0;
    for (const next of this.#toRead) {
      const gap = next.place?.segment === place.segment ? next.place.index - end : -1;
      if (next.place === undefined || gap < 0 || gap > gapPages || next.place.index + next.run.count - place.index > chunkPages) break;
      end = next.place.index + next.run.count;
      taken++;
    }
    return this.#toRead.splice(0, taken);
  }

  /** @returns false when not all of it could be read */
  #readGroup(group: readonly Chunk[], {bytes}: Memory): boolean {
    const [first] = group;
    if (first?.place === undefined) return false;
    const {segment, index} = first.place;
    const pages = spanOf(group);
    try {
      this.#reader.readPagesSync(segment, index, pages, bytes, this.#readPages * pageSizeBytes);
    } catch {
      return false;
    }
    for (const chunk of group) chunk.at = this.#readPages + (chunk.place?.index ?? index) - index;
    this.#readPages += pages;
    return true;
  }

  #readOne(chunk: Chunk, {bytes}: Memory): void {
    const {segment, index, count} = chunk.run;
    try {
      this.#reader.readPagesSync(segment, index, count, bytes, this.#readPages * pageSizeBytes);
      chunk.at = this.#readPages;
      this.#readPages += count;
    } catch {
      // A predicted page need not be wanted; if it is, its fault meets the same error and deals with it.
    }
  }

  #install(vpid: number, share: Share, process: PagedProcess, nowMs: number): void {
    const chunk = share.chunks[share.next];
    const source = chunk === undefined ? undefined : this.#contents(chunk);
    if (chunk === undefined || source === undefined) {
      share.next++;
    } else {
      faultPoint('pager:prefetch:before-copy');
      const {installed, outcome} = process.install(chunk.run, source, this.#finished);
      this.installed += installed;
      if (outcome === 'gone') this.#shares.delete(vpid);
      else if (outcome === 'stored' || (outcome === 'failed' && this.#finished)) share.next++;
      else share.notBefore = nowMs + retryMs;
    }
    this.#endShare(vpid, share);
  }

  #endShare(vpid: number, share: Share): void {
    if (share.next >= share.chunks.length && share.fetched.length === 0) this.#shares.delete(vpid);
  }

  /** Address of a chunk's pages; undefined when they cannot be read. */
  #contents(chunk: Chunk): number | undefined {
    if (chunk.at === undefined && this.#toRead[0] === chunk) this.#readAhead();
    if (chunk.at !== undefined && this.#memory !== null) return this.#memory.address + chunk.at * pageSizeBytes;
    try {
      this.#reader.readPagesSync(chunk.run.segment, chunk.run.index, chunk.run.count, this.#scratch.bytes, 0);
      return this.#scratch.address;
    } catch {
      // As in #readOne.
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#shares.clear();
    this.#toRead.length = 0;
    this.#memory?.[Symbol.dispose]();
  }
}
