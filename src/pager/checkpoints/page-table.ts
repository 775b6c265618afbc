/**
 * Where each missing page of a process is: a sparse array from page number to (segment, index, lazy).
 *
 * Kept as leaves of 512 pages (2 MiB of addresses, like the hardware's tables) with one machine word per field, so that a lookup is one Map
 * access, and deleting or replacing a page never moves its neighbours. A gigabyte of pages takes 2 MiB. Runs exist only at the surface.
 */
import {assert} from '../../core/errors.ts';

/** Bytes of a page; the only size that we know. */
export const pageSizeBytes = 4096;
/** Pages of a block, the unit of fetching, caching and recording; blocks are aligned. */
export const blockPages = 32;

/** Consecutive pages of a process that lie consecutively in one segment. */
export interface PageRun {
  /** Address / 4096. */
  readonly page: number;
  readonly count: number;
  /** Number of the segment within its app: ever-growing, names the object. */
  readonly segment: number;
  /** Index within the segment of the first page. */
  readonly index: number;
  /** The page is restored by userfaultfd; otherwise CRIU reads it from the images. */
  readonly lazy: boolean;
}

const leafPages = 512;
const lazyBit = 0x80000000;
const segmentMask = 0x7fffffff;

interface Leaf {
  /** Segment number + 1, plus `lazyBit`; 0 where there is no page. */
  readonly places: Uint32Array;
  readonly indexes: Uint32Array;
  used: number;
}

function placeOf(run: Pick<PageRun, 'segment' | 'lazy'>): number {
  return run.segment + 1 + (run.lazy ? lazyBit : 0);
}

export class PageTable {
  #leaves = new Map<number, Leaf>();
  /** Keys of `#leaves` in order; undefined when they must be sorted again. */
  #order: number[] | undefined;
  #size = 0;

  /** Later runs replace earlier ones where they overlap. */
  static from(runs: Iterable<PageRun>): PageTable {
    const table = new PageTable();
    for (const run of runs) table.add(run);
    return table;
  }

  /** An independent copy (a fork). */
  clone(): PageTable {
    const copy = new PageTable();
    for (const [key, leaf] of this.#leaves) copy.#leaves.set(key, {places: leaf.places.slice(), indexes: leaf.indexes.slice(), used: leaf.used});
    copy.#size = this.#size;
    return copy;
  }

  /** Number of pages. */
  get size(): number {
    return this.#size;
  }

  get(page: number): {segment: number; index: number; lazy: boolean} | undefined {
    const leaf = this.#leaves.get(Math.floor(page / leafPages));
    const place = leaf?.places[page % leafPages] ?? 0;
    if (leaf === undefined || place === 0) return undefined;
    return {segment: (place & segmentMask) - 1, index: leaf.indexes[page % leafPages] ?? 0, lazy: place >= lazyBit};
  }

  /** Replaces what was there. */
  add(run: PageRun): void {
    const valid = run.segment >= 0 && run.segment < segmentMask && run.index >= 0 && run.page >= 0;
    if (!valid) assert(valid, `A page run is out of range: ${JSON.stringify(run)}`);
    const place = placeOf(run);
    const end = run.page + run.count;
    for (let page = run.page, index = run.index; page < end; ) {
      const leaf = this.#leafFor(Math.floor(page / leafPages));
      const first = page % leafPages;
      const last = Math.min(leafPages, first + end - page);
      for (let slot = first; slot < last; slot++, index++) {
        if (leaf.places[slot] === 0) {
          leaf.used++;
          this.#size++;
        }
        leaf.places[slot] = place;
        leaf.indexes[slot] = index;
      }
      page += last - first;
    }
  }

  /** Forgets pages: they were removed, unmapped, or installed. Absent ones are fine, and so is a huge `count`. */
  delete(page: number, count: number): void {
    for (const key of this.#keysIn(page, count)) {
      const leaf = this.#leaves.get(key);
      if (leaf === undefined) continue;
      const first = Math.max(0, page - key * leafPages);
      const last = Math.min(leafPages, page + count - key * leafPages);
      const before = leaf.used;
      for (let slot = first; slot < last; slot++) {
        if (leaf.places[slot] === 0) continue;
        leaf.places[slot] = 0;
        leaf.used--;
      }
      this.#size -= before - leaf.used;
      if (leaf.used === 0) this.#drop(key);
    }
  }

  /** The pages at `from` are at `to` now (mremap); what was at `to` is gone. */
  move(from: number, to: number, count: number): void {
    const moved = [...this.runsIn(from, count)];
    this.delete(from, count);
    this.delete(to, count);
    for (const run of moved) this.add({...run, page: run.page - from + to});
  }

  /** All pages in order of address, as long as possible. The table must not change while this runs. */
  runs(): IterableIterator<PageRun> {
    return this.#merged(this.#sortedKeys(), 0, Number.POSITIVE_INFINITY);
  }

  /** The same, clipped to a range of addresses. */
  runsIn(page: number, count: number): IterableIterator<PageRun> {
    return this.#merged(this.#keysIn(page, count), page, page + count);
  }

  *#merged(keys: readonly number[], start: number, end: number): Generator<PageRun, undefined> {
    let open: {page: number; count: number; place: number; index: number} | undefined;
    for (const key of keys) {
      const leaf = this.#leaves.get(key);
      if (leaf === undefined) continue;
      const base = key * leafPages;
      const last = Math.min(leafPages, end - base);
      for (let slot = Math.max(0, start - base); slot < last; slot++) {
        const place = leaf.places[slot] ?? 0;
        if (place === 0) continue;
        const index = leaf.indexes[slot] ?? 0;
        if (open !== undefined && open.page + open.count === base + slot && open.place === place && open.index + open.count === index) {
          open.count++;
          continue;
        }
        if (open !== undefined) yield asRun(open);
        open = {page: base + slot, count: 1, place, index};
      }
    }
    if (open !== undefined) yield asRun(open);
    return undefined;
  }

  #leafFor(key: number): Leaf {
    const found = this.#leaves.get(key);
    if (found !== undefined) return found;
    const leaf = {places: new Uint32Array(leafPages), indexes: new Uint32Array(leafPages), used: 0};
    this.#leaves.set(key, leaf);
    this.#order = undefined;
    return leaf;
  }

  #drop(key: number): void {
    this.#leaves.delete(key);
    this.#order = undefined;
  }

  #sortedKeys(): readonly number[] {
    this.#order ??= [...this.#leaves.keys()].sort((a, b) => a - b);
    return this.#order;
  }

  /** Keys of existing leaves that a range touches, in order; cost bounded by the smaller of range and table. */
  #keysIn(page: number, count: number): readonly number[] {
    if (count <= 0) return [];
    const first = Math.floor(page / leafPages);
    const last = Math.floor((page + count - 1) / leafPages);
    if (last - first >= this.#leaves.size) return this.#sortedKeys().filter((key) => key >= first && key <= last);
    const keys: number[] = [];
    for (let key = first; key <= last; key++) if (this.#leaves.has(key)) keys.push(key);
    return keys;
  }
}

function asRun(open: {page: number; count: number; place: number; index: number}): PageRun {
  return {page: open.page, count: open.count, segment: (open.place & segmentMask) - 1, index: open.index, lazy: open.place >= lazyBit};
}
