/** Pages of segments that can be read from another segment too, which is local sooner. What memory is said to hold does not change by that. */
import {PageTable} from './page-table.ts';
import {decodePageTable, encodePageTable} from './page-table-codec.ts';

/** Plain data. */
export interface PageCopies {
  /** One byte: 0 when the copies are not worth asking for any more. Shared between threads. */
  readonly usable: SharedArrayBuffer;
  /** Of each segment that has copies: page tables whose page numbers are indexes in the segment. */
  readonly tables: readonly {readonly segment: number; readonly table: Uint8Array}[];
}

/** Pages that lie one after the other, in the segment where they are read. */
export interface PagePart {
  readonly segment: number;
  readonly index: number;
  readonly count: number;
  /** How many pages of what was asked for come before it. */
  readonly skip: number;
  readonly isCopy: boolean;
}

/**
 * @param tables what the memory of each process holds. @param copied where some of it can be read too
 * @param usable shared with whoever finds out that they are not; default: new, and they are
 */
export function copiedPages(tables: ReadonlyMap<number, PageTable>, copied: ReadonlyMap<number, PageTable>, usable = usableFlag()): PageCopies {
  const found = new Map<number, PageTable>();
  for (const [vpid, copies] of copied) {
    const table = tables.get(vpid);
    if (table === undefined) continue;
    for (const run of copies.runs()) {
      for (const {page, count, segment, index} of table.runsIn(run.page, run.count)) {
        const known = found.get(segment) ?? new PageTable();
        found.set(segment, known);
        known.add({page: index, count, segment: run.segment, index: run.index + page - run.page, lazy: true});
      }
    }
  }
  return {usable, tables: [...found].map(([segment, table]) => ({segment, table: encodePageTable(table)}))};
}

function usableFlag(): SharedArrayBuffer {
  const flag = new SharedArrayBuffer(1);
  new Uint8Array(flag).fill(1);
  return flag;
}

export class CopiedPages {
  readonly #usable: Uint8Array;
  readonly #tables: ReadonlyMap<number, PageTable>;

  constructor(copies: PageCopies | undefined) {
    this.#usable = copies === undefined ? new Uint8Array(0) : new Uint8Array(copies.usable);
    this.#tables = new Map(copies?.tables.map(({segment, table}) => [segment, decodePageTable(Buffer.from(table.buffer, table.byteOffset, table.byteLength))]));
  }

  /** The copies turned out to be wrong: the originals are read from now on. */
  giveUp(): void {
    this.#usable.fill(0);
  }

  /** Where to read pages of a segment. */
  partsOf(segment: number, index: number, count: number): readonly PagePart[] {
    const table = this.#usable.length > 0 && Atomics.load(this.#usable, 0) === 1 ? this.#tables.get(segment) : undefined;
    if (table === undefined) return [{segment, index, count, skip: 0, isCopy: false}];
    const parts: PagePart[] = [];
    let next = index;
    for (const run of table.runsIn(index, count)) {
      if (run.page > next) parts.push({segment, index: next, count: run.page - next, skip: next - index, isCopy: false});
      parts.push({segment: run.segment, index: run.index, count: run.count, skip: run.page - index, isCopy: true});
      next = run.page + run.count;
    }
    if (next < index + count) parts.push({segment, index: next, count: index + count - next, skip: next - index, isCopy: false});
    return parts;
  }
}
