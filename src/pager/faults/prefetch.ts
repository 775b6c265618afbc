/**
 * Fills the predicted set of one instance, in short turns between the faults of all: first it is read from the store into memory, while CRIU
 * is still starting; then, as soon as a process has sent its descriptor, it is copied in, run by run. Until the restorer has registered a
 * mapping, the kernel refuses copies into it, so a refused process is asked again after a short wait, and once more when CRIU has finished.
 *
 * What is not in the local cache is asked for in one go, in order of use; the rest is installed meanwhile, and what arrives as it arrives.
 */
import {faultPoint} from '../../core/fault-point.ts';
import {type PageRun, pageSizeBytes} from '../checkpoints/page-table.ts';
import type {AbsentPagesError} from './absent-pages.ts';
import type {FetchState} from './fault-fetches.ts';
import type {Mapping} from './mapping.ts';
import {mapAnonymous, mapHugePages} from './mapping.ts';
import type {PagedProcess, PageReader} from './paged-process.ts';

/** Pages of one read and one copy, at most: some 0.1 ms, for which faults wait. */
const chunkPages = 64;
/** Pages that are fetched together. */
const fetchedPages = 256;
/** Memory that is read ahead per instance; what exceeds it is read when it is installed. */
const readAheadPages = 16384;
const retryMs = 0.5;

interface Chunk {
  readonly run: PageRun;
  /** Position of its contents in the memory that was read ahead, in pages; undefined when not read. */
  at: number | undefined;
}

interface Share {
  /** To be installed, in this order, from `next` on. */
  readonly chunks: Chunk[];
  /** What is being fetched, in larger chunks. */
  fetched: Chunk[];
  process: PagedProcess | undefined;
  /** Chunks before this one are done. */
  next: number;
  notBefore: number;
}

/** What a turn found: more to do now, something to do at a time, or nothing until somebody says so. */
export type NextTurn = {readonly kind: 'now'} | {readonly kind: 'at'; readonly time: number} | {readonly kind: 'idle'};

/** Brings parts of segments into the local cache. */
export interface Fetcher {
  want(missing: readonly AbsentPagesError[]): void;
  state(missing: AbsentPagesError): FetchState;
}

/** Reads what is there and tells what is not. */
export interface PrefetchReader extends PageReader {
  absent(segment: number, index: number, count: number): AbsentPagesError | undefined;
}

function split(run: PageRun, maxPages: number): Chunk[] {
  const parts: Chunk[] = [];
  for (let done = 0; done < run.count; done += maxPages) {
    const part = {...run, page: run.page + done, index: run.index + done, count: Math.min(maxPages, run.count - done)};
    parts.push({run: part, at: undefined});
  }
  return parts;
}

export class Prefetch implements Disposable {
  readonly #reader: PrefetchReader;
  readonly #fetcher: Fetcher;
  readonly #shares = new Map<number, Share>();
  readonly #toRead: Chunk[] = [];
  readonly #memory: Mapping | undefined;
  readonly #scratch: Mapping;
  #finished = false;
  #readPages = 0;
  /** Pages installed so far. */
  installed = 0;

  /** @param predicted by pid in the container, most wanted first; only pages that are stored */
  constructor(predicted: ReadonlyMap<number, Iterable<PageRun>>, reader: PrefetchReader, fetcher: Fetcher) {
    this.#reader = reader;
    this.#fetcher = fetcher;
    for (const [vpid, runs] of predicted) {
      const chunks = [...runs].flatMap((run) => split(run, fetchedPages));
      if (chunks.length > 0) this.#shares.set(vpid, {chunks: [], fetched: chunks, process: undefined, next: 0, notBefore: 0});
    }
    const pages = [...this.#shares.values()].flatMap(({fetched}) => fetched).reduce((sum, chunk) => sum + chunk.run.count, 0);
    this.#memory = pages === 0 ? undefined : mapHugePages(Math.min(pages, readAheadPages) * pageSizeBytes);
    this.#scratch = mapAnonymous(chunkPages * pageSizeBytes);
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
    const wanted: AbsentPagesError[] = [];
    let ready = false;
    for (const [vpid, share] of this.#shares) {
      const still: Chunk[] = [];
      for (const chunk of share.fetched) {
        const absent = this.#absent(chunk);
        if (absent === undefined) {
          const parts = split(chunk.run, chunkPages);
          share.chunks.push(...parts);
          this.#toRead.push(...parts);
          ready = true;
          continue;
        }
        const state = this.#fetcher.state(absent);
        if (state === 'unknown') wanted.push(absent);
        // A predicted page need not be wanted; if it is, its fault has it fetched.
        if (state !== 'failed') still.push(chunk);
      }
      share.fetched = still;
      this.#endShare(vpid, share);
    }
    this.#fetcher.want(wanted);
    return ready;
  }

  #absent({run}: Chunk): AbsentPagesError | undefined {
    try {
      return this.#reader.absent(run.segment, run.index, run.count);
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
    if (chunk === undefined || this.#memory === undefined) return false;
    if (chunk.at !== undefined) return true;
    if ((this.#readPages + chunk.run.count) * pageSizeBytes > this.#memory.bytes.length) {
      this.#toRead.length = 0;
      return false;
    }
    try {
      this.#reader.readPagesSync(chunk.run.segment, chunk.run.index, chunk.run.count, this.#memory.bytes, this.#readPages * pageSizeBytes);
      chunk.at = this.#readPages;
      this.#readPages += chunk.run.count;
    } catch {
      // A predicted page need not be wanted; if it is, its fault meets the same error and deals with it.
    }
    return true;
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
    if (chunk.at !== undefined && this.#memory !== undefined) return this.#memory.address + chunk.at * pageSizeBytes;
    try {
      this.#reader.readPagesSync(chunk.run.segment, chunk.run.index, chunk.run.count, this.#scratch.bytes, 0);
      return this.#scratch.address;
    } catch {
      // As in #readAhead.
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#shares.clear();
    this.#toRead.length = 0;
    this.#memory?.[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}
