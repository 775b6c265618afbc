/** A set of pages of one process, kept as a bit mask per aligned block of 32 pages. */
import {blockPages} from '../checkpoints/page-table.ts';

export interface PageRange {
  /** Address / 4096. */
  readonly page: number;
  readonly count: number;
}

export class PageSet {
  readonly #masks = new Map<number, number>();

  static from(ranges: Iterable<PageRange>): PageSet {
    const set = new PageSet();
    for (const range of ranges) set.add(range);
    return set;
  }

  get size(): number {
    let size = 0;
    for (const mask of this.#masks.values()) size += bitCount(mask);
    return size;
  }

  has(page: number): boolean {
    return ((this.#masks.get(Math.floor(page / blockPages)) ?? 0) & (1 << (page % blockPages))) !== 0;
  }

  /** The pages of a block, one bit each. */
  mask(block: number): number {
    return this.#masks.get(block) ?? 0;
  }

  add(range: PageRange): void {
    for (const [block, mask] of masksOf(range)) this.#masks.set(block, (this.#masks.get(block) ?? 0) | mask);
  }

  delete(range: PageRange): void {
    for (const [block, mask] of masksOf(range)) {
      const left = (this.#masks.get(block) ?? 0) & ~mask;
      if (left === 0) this.#masks.delete(block);
      else this.#masks.set(block, left);
    }
  }

  /** Its blocks in order of address, each with the ranges of its pages. */
  *blocks(): Generator<{readonly block: number; readonly ranges: readonly PageRange[]}, undefined> {
    for (const [block, mask] of [...this.#masks].sort(([a], [b]) => a - b)) yield {block, ranges: rangesOf(block, mask)};
    return undefined;
  }

  /** Its pages in order of address, as long ranges as possible. */
  *ranges(): Generator<PageRange, undefined> {
    let open: {page: number; count: number} | undefined;
    for (const {ranges} of this.blocks()) {
      for (const range of ranges) {
        if (open !== undefined && open.page + open.count === range.page) {
          open.count += range.count;
          continue;
        }
        if (open !== undefined) yield open;
        open = {...range};
      }
    }
    if (open !== undefined) yield open;
    return undefined;
  }
}

export function bitCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function* masksOf({page, count}: PageRange): Generator<readonly [block: number, mask: number], undefined> {
  const end = page + count;
  for (let at = page; at < end; ) {
    const block = Math.floor(at / blockPages);
    const first = at - block * blockPages;
    const last = Math.min(blockPages, end - block * blockPages);
    const width = last - first;
    yield [block, width === blockPages ? -1 : ((1 << width) - 1) << first];
    at += width;
  }
  return undefined;
}

export function rangesOf(block: number, mask: number): readonly PageRange[] {
  const ranges: {page: number; count: number}[] = [];
  for (let bit = 0; bit < blockPages; bit++) {
    if ((mask & (1 << bit)) === 0) continue;
    const page = block * blockPages + bit;
    const last = ranges.at(-1);
    if (last !== undefined && last.page + last.count === page) last.count++;
    else ranges.push({page, count: 1});
  }
  return ranges;
}
