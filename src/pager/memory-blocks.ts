/** The memory of an app as blocks of pages: what of it was foreseen, touched, not touched yet, and changed. Plain JSON, of bounded size. */
import {blockPages, type PageTable, pageSizeBytes} from './checkpoints/page-table.ts';
import type {PageRange} from './prediction/page-set.ts';

/** More is no picture any more: blocks become larger. */
const blocksMax = 8192;

export type MemoryReport = {
  /** Of an app that is awake: how the pages of its checkpoint came into memory. Of one that sleeps: how they will. */
  readonly isAwake: boolean;
  readonly generation: number;
  /** Whether it is known what the run before the checkpoint has changed. */
  readonly knowsChanges: boolean;
  readonly totals: PageCounts;
  readonly processes: readonly ProcessMemory[];
};

/** Numbers of pages. What is neither foreseen nor touched is not in memory, or will not be. */
export type PageCounts = {
  pages: number;
  /** Installed before they were touched, or to be. */
  predicted: number;
  /** Touched without having been foreseen, and what came along with those. */
  faulted: number;
  /** Changed in the run before the checkpoint. */
  dirty: number;
};

export type ProcessMemory = {
  /** Inside the container. */
  readonly pid: number;
  readonly blockBytes: number;
  /** Of each block that has any: its address in hexadecimal, then the counts; in order. */
  readonly blocks: readonly (readonly [address: string, pages: number, predicted: number, faulted: number, dirty: number])[];
};

export type Ranges = Iterable<PageRange>;

/** @param changedFrom the first segment that the last run has written; null: not known */
export function blocksOf(table: PageTable, {predicted, faulted}: {predicted: Ranges; faulted: Ranges}, changedFrom: number | null): Map<number, PageCounts> {
  const blocks = new Map<number, PageCounts>();
  const of = (page: number): PageCounts => {
    const block = Math.floor(page / blockPages);
    const counts = blocks.get(block) ?? {pages: 0, predicted: 0, faulted: 0, dirty: 0};
    blocks.set(block, counts);
    return counts;
  };
  for (const {page, count, segment} of table.runs()) {
    for (let at = page; at < page + count; at++) {
      const counts = of(at);
      counts.pages++;
      if (changedFrom !== null && segment >= changedFrom) counts.dirty++;
    }
  }
  // What is not stored takes no part: new memory, and what was unmapped since.
  for (const {page, count} of predicted)
    for (const run of table.runsIn(page, count)) for (let at = run.page; at < run.page + run.count; at++) of(at).predicted++;
  for (const {page, count} of faulted) for (const run of table.runsIn(page, count)) for (let at = run.page; at < run.page + run.count; at++) of(at).faulted++;
  return blocks;
}

/** Adds to the totals. */
export function processMemory(pid: number, blocks: Map<number, PageCounts>, totals: PageCounts): ProcessMemory {
  let factor = 1;
  while (new Set([...blocks.keys()].map((block) => Math.floor(block / factor))).size > blocksMax) factor *= 2;
  const merged = new Map<number, PageCounts>();
  for (const [block, counts] of blocks) {
    addTo(totals, counts);
    const key = Math.floor(block / factor);
    const sum = merged.get(key) ?? {pages: 0, predicted: 0, faulted: 0, dirty: 0};
    merged.set(key, sum);
    addTo(sum, counts);
  }
  const blockBytes = blockPages * pageSizeBytes * factor;
  const rows = [...merged]
    .sort(([a], [b]) => a - b)
    .map(([block, {pages, predicted, faulted, dirty}]) => {
      return [(block * blockBytes).toString(16), pages, predicted, faulted, dirty] as const;
    });
  return {pid, blockBytes, blocks: rows};
}

function addTo(sum: PageCounts, more: PageCounts): void {
  sum.pages += more.pages;
  sum.predicted += more.predicted;
  sum.faulted += more.faulted;
  sum.dirty += more.dirty;
}
