/**
 * What of one process is still missing, and where it is stored.
 *
 * Two tables. `missing`: stored pages that are not in the process yet; an address that is not in it is zero when touched. `stored`: the same
 * without regard to what has been installed. `stored` changes only by events, so it can be had again from the generation's table and the
 * journal of events, by a pager that never saw the faults; a page installed before is then simply found present. An event matters to the
 * journal when it changes `stored`, even if every page that it touches has long been installed: a page that was installed, changed and
 * then dropped by madvise must read as zero in the next pager too.
 */
import type {PageRun} from '../checkpoints/page-table.ts';
import {PageTable} from '../checkpoints/page-table.ts';

export type SpaceEvent =
  | {readonly kind: 'drop'; readonly page: number; readonly count: number}
  | {readonly kind: 'move'; readonly from: number; readonly to: number; readonly count: number}
  /** What was thought to be gone is there; or it is not known to be in the process. */
  | {readonly kind: 'put'; readonly run: PageRun};

export class AddressSpace {
  readonly #missing: PageTable;
  readonly #stored: PageTable;

  /** @param runs only lazy pages: the rest is CRIU's */
  static from(runs: Iterable<PageRun>): AddressSpace {
    const stored = PageTable.from(runs);
    return new AddressSpace(stored.clone(), stored);
  }

  private constructor(missing: PageTable, stored: PageTable) {
    this.#missing = missing;
    this.#stored = stored;
  }

  /** The space of a child: it misses what its parent missed at the moment of the fork. */
  fork(): AddressSpace {
    return new AddressSpace(this.#missing.clone(), this.#stored.clone());
  }

  get missing(): PageTable {
    return this.#missing;
  }

  /**
   * For a commit: what to keep besides the pages that were dumped. Those that are in the process are dumped, and newer; a page that was
   * installed after CRIU had looked is in no dump, and would be lost if only `missing` were kept.
   */
  get stored(): PageTable {
    return this.#stored;
  }

  /** Pages in the process now; they are no longer ours to give. */
  installed(page: number, count: number): void {
    this.#missing.delete(page, count);
  }

  /** Applies what the process did to its mappings. @returns whether the journal must have it */
  apply(event: SpaceEvent): boolean {
    switch (event.kind) {
      case 'drop': {
        if (!touches(this.#stored, event.page, event.count)) return false;
        this.#missing.delete(event.page, event.count);
        this.#stored.delete(event.page, event.count);
        return true;
      }
      case 'move': {
        if (!touches(this.#stored, event.from, event.count) && !touches(this.#stored, event.to, event.count)) return false;
        this.#missing.move(event.from, event.to, event.count);
        this.#stored.move(event.from, event.to, event.count);
        return true;
      }
      case 'put':
        this.#missing.add(event.run);
        this.#stored.add(event.run);
        return true;
      default:
        return event satisfies never;
    }
  }

  /** Pages of `page .. page + limit` up to the first missing one: all of them are zero when touched. */
  zerosFrom(page: number, limit: number): number {
    const next = this.#missing.runsIn(page, limit).next();
    return next.done === true ? limit : next.value.page - page;
  }
}

function touches(table: PageTable, page: number, count: number): boolean {
  return table.runsIn(page, count).next().done !== true;
}
