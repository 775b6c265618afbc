/**
 * Which of the expected pages are installed at a wake, and which are left to their faults to see whether they are still used.
 *
 * A page is worth its copy when its likelihood times the cost of a fault exceeds the cost of the copy, plus what an unused page costs when it is
 * not touched. Likely pages come first. What is not unlikely is always installed; from there on the list ends where more than a given share of it is
 * expected to be unused: so a set that is certain carries some doubtful pages, and a doubtful one stays small.
 */

import {blockPages, type PageRun, type PageTable} from '../checkpoints/page-table.ts';
import type {Expectation} from '../faults/fault-messages.ts';
import {certain, likelihoodOf, type PageLikelihoods} from './page-likelihoods.ts';
import {bitCount, type PageRange, type PageSet, rangesOf} from './page-set.ts';
import {expectedPages, type Model, shareOf} from './predicted-model.ts';

/** `off` installs nothing, `last` what the last run had, `predict` what is likely, but for a share that is withheld. */
export type PrefetchMode = 'off' | 'last' | 'predict';

export interface PrefetchPlan {
  readonly mode: PrefetchMode;
  /** Of the trigger, the most specific first. */
  readonly keys: readonly string[];
  readonly processes: ReadonlyMap<number, PageTable>;
  /** What to install, per process, in order of address. */
  readonly install: ReadonlyMap<number, readonly PageRun[]>;
  /** Expected, but left out by whole blocks: the first touch of one shall bring in the rest of it. */
  readonly withheld: ReadonlyMap<number, readonly PageRun[]>;
  /** Expected, but each left to a fault of its own. Those that seemed certain are a fair sample of all. */
  readonly single: ReadonlyMap<number, readonly {readonly page: number; readonly certain: boolean}[]>;
  /** Pages in `install`. */
  readonly installPages: number;
  readonly withheldPages: number;
  /** Share of what is installed that is expected not to be touched. */
  readonly expectedUnused: number;
  /** What the fault worker is to be told of it, when that was made ahead. */
  readonly expectation?: Expectation | undefined;
}

export interface PlanRules {
  /** In microseconds: a fault in all, the copy of a page beside others, and a page that is not used (kept in memory, dumped and compared). */
  readonly cost: {readonly fault: number; readonly copy: number; readonly unused: number};
  /** Pages at least as likely are always installed. */
  readonly always: number;
  /** Share of the installed pages that may be expected to be unused, for less likely pages to be among them. */
  readonly maxUnused: number;
  /** Least and greatest share of the blocks, and of the pages, that are withheld although they seem certain. */
  readonly blockShare: readonly [number, number];
  readonly pageShare: readonly [number, number];
  /** Share of the blocks, and of the pages, that are withheld when they do not seem certain. */
  readonly doubtfulBlocks: number;
  readonly doubtfulPages: number;
}

/** The costs are measured, see docs/performance.md; the rest is chosen by test/pager-store/predicted-simulation.ts. */
export const planRules: PlanRules = {
  cost: {fault: 50, copy: 0.9, unused: 5},
  always: 0.3,
  maxUnused: 0.2,
  blockShare: [1 / 64, 1 / 8],
  pageShare: [1 / 512, 1 / 32],
  doubtfulBlocks: 1 / 4,
  doubtfulPages: 1 / 8,
};

export interface PlanRequest {
  readonly mode: PrefetchMode;
  /** The page tables of the generation that is woken; only their lazy pages are planned, CRIU restores the others. */
  readonly processes: ReadonlyMap<number, PageTable>;
  /** As `triggerKeys()` has them. */
  readonly keys: readonly string[];
}

export function planFor(model: Model, request: PlanRequest, tools: {readonly random: () => number; readonly rules: PlanRules}): PrefetchPlan {
  const draft = new Draft();
  if (request.mode === 'last') for (const [pid, table] of request.processes) draft.installSet(pid, model.last.get(pid), table);
  if (request.mode === 'predict') predict(model, request, {...tools, draft});
  return draft.finish(request);
}

/** All pages of plans, by process, wherever they are left to: with doubles where plans agree. */
export function pagesOfPlans(plans: Iterable<PrefetchPlan>): ReadonlyMap<number, readonly PageRun[]> {
  const all = new Map<number, PageRun[]>();
  for (const {install, withheld, single, processes} of plans) {
    for (const [pid, runs] of [...install, ...withheld]) for (const run of runs) listOf(all, pid).push(run);
    for (const [pid, pages] of single) {
      const table = processes.get(pid);
      if (table !== undefined) for (const {page} of pages) listOf(all, pid).push(...lazyRuns(table, {page, count: 1}));
    }
  }
  return all;
}

/** What a plan is made of while it is made. */
class Draft {
  readonly #install = new Map<number, PageRun[]>();
  readonly #withheld = new Map<number, PageRun[]>();
  readonly #single = new Map<number, {page: number; certain: boolean}[]>();
  #installPages = 0;
  #withheldPages = 0;
  #likelihood = 0;

  installSet(pid: number, set: PageSet | undefined, table: PageTable): void {
    for (const {page, count} of set?.ranges() ?? []) this.install(pid, lazyRuns(table, {page, count}), count);
  }

  /** @param likelihood the sum of the pages' */
  install(pid: number, runs: readonly PageRun[], likelihood: number): void {
    for (const run of runs) {
      appendRun(listOf(this.#install, pid), run);
      this.#installPages += run.count;
    }
    this.#likelihood += likelihood;
  }

  withhold(pid: number, runs: readonly PageRun[]): void {
    for (const run of runs) {
      listOf(this.#withheld, pid).push(run);
      this.#withheldPages += run.count;
    }
  }

  leave(pid: number, page: number, seemedCertain: boolean): void {
    listOf(this.#single, pid).push({page, certain: seemedCertain});
    this.#withheldPages += 1;
  }

  finish({mode, keys, processes}: PlanRequest): PrefetchPlan {
    const expectedUnused = this.#installPages === 0 ? 0 : Math.max(0, 1 - this.#likelihood / this.#installPages);
    const [installPages, withheldPages] = [this.#installPages, this.#withheldPages];
    return {mode, keys, processes, install: this.#install, withheld: this.#withheld, single: this.#single, installPages, withheldPages, expectedUnused};
  }
}

function listOf<T>(lists: Map<number, T[]>, pid: number): T[] {
  const found = lists.get(pid);
  if (found !== undefined) return found;
  const made: T[] = [];
  lists.set(pid, made);
  return made;
}

function lazyRuns(table: PageTable, {page, count}: PageRange): readonly PageRun[] {
  return [...table.runsIn(page, count)].filter((run) => run.lazy);
}

/** Runs come block by block; what belongs together is joined again, so that it is installed by one system call. */
function appendRun(runs: PageRun[], run: PageRun): void {
  const last = runs.at(-1);
  if (last !== undefined && last.page + last.count === run.page && last.segment === run.segment && last.index + last.count === run.index) {
    runs[runs.length - 1] = {...last, count: last.count + run.count};
  } else runs.push(run);
}

/** Of pages that seem certain, the samples tell how many are; the averages of those that were not observed for long do not. */
function worthByGuess(byte: number): number {
  const likelihood = likelihoodOf(byte);
  return likelihood >= certain ? 1 : likelihood;
}

interface Candidate {
  readonly pid: number;
  readonly block: number;
  readonly bytes: Uint8Array;
  /** Pages that are stored and lazy. */
  readonly mask: number;
}

interface Predicting {
  readonly random: () => number;
  readonly rules: PlanRules;
  readonly draft: Draft;
}

function predict(model: Model, {keys, processes}: PlanRequest, {random, rules, draft}: Predicting): void {
  const candidates = candidatesOf(expectedPages(model, keys), processes);
  // Pages that seem certain and are not used any more: so much less is every likelihood worth.
  const worth = 1 - shareOf(model.pages);
  const worthOf = (byte: number): number => worth * worthByGuess(byte);
  const {atLeast, among} = chosen(candidates, worth, rules);
  const blockShare = clamp(shareOf(model.blocks) / 2, rules.blockShare);
  const pageShare = clamp(shareOf(model.pages) / 4, rules.pageShare);
  let rest = among;
  for (const {pid, block, bytes, mask} of candidates) {
    let [wanted, single, sum] = [0, 0, 0];
    for (let slot = 0; slot < blockPages; slot += 1) {
      const level = (bytes[slot] ?? 0) >> 1;
      if ((mask & (1 << slot)) === 0 || level < atLeast || (level === atLeast && rest-- <= 0)) continue;
      wanted |= 1 << slot;
      sum += worthOf(bytes[slot] ?? 0);
    }
    if (wanted === 0) continue;
    const table = processes.get(pid);
    if (table === undefined) continue;
    const mean = sum / bitCount(wanted);
    if (random() < (mean < certain * worth ? rules.doubtfulBlocks : blockShare)) {
      draft.withhold(pid, runsOf(table, block, wanted));
      continue;
    }
    for (let slot = 0; slot < blockPages; slot += 1) {
      if ((wanted & (1 << slot)) === 0) continue;
      const likelihood = likelihoodOf(bytes[slot] ?? 0);
      const seemsCertain = likelihood >= certain;
      if (random() >= (seemsCertain ? pageShare : rules.doubtfulPages)) continue;
      single |= 1 << slot;
      sum -= worthOf(bytes[slot] ?? 0);
      draft.leave(pid, block * blockPages + slot, seemsCertain);
    }
    draft.install(pid, runsOf(table, block, wanted & ~single), sum);
  }
}

function candidatesOf(expected: ReadonlyMap<number, PageLikelihoods>, processes: ReadonlyMap<number, PageTable>): readonly Candidate[] {
  const found: Candidate[] = [];
  for (const [pid, table] of processes) {
    const pages = expected.get(pid);
    for (const block of pages?.blockNumbers ?? []) {
      const bytes = pages?.block(block);
      const mask = presentMask(table, block);
      if (bytes !== undefined && mask !== 0) found.push({pid, block, bytes, mask});
    }
  }
  return found;
}

/** The lazy pages of a block, one bit each. */
export function presentMask(table: PageTable, block: number): number {
  let mask = 0;
  for (const run of table.runsIn(block * blockPages, blockPages)) {
    if (!run.lazy) continue;
    const first = run.page - block * blockPages;
    mask |= run.count === blockPages ? -1 : ((1 << run.count) - 1) << first;
  }
  return mask;
}

function runsOf(table: PageTable, block: number, mask: number): readonly PageRun[] {
  return rangesOf(block, mask).flatMap((range) => lazyRuns(table, range));
}

/** All pages above a likelihood are chosen, and of those at it the first `among`. */
function chosen(candidates: readonly Candidate[], worth: number, {cost, always, maxUnused}: PlanRules): {atLeast: number; among: number} {
  const counts = new Uint32Array(128);
  for (const {bytes, mask} of candidates) {
    for (let slot = 0; slot < blockPages; slot += 1) {
      const level = (bytes[slot] ?? 0) >> 1;
      if ((mask & (1 << slot)) !== 0) counts[level] = (counts[level] ?? 0) + 1;
    }
  }
  const floor = (cost.copy + cost.unused) / (cost.fault + cost.unused);
  let [taken, unused, level] = [0, 0, 127];
  for (; level > 0; level -= 1) {
    const likelihood = worthByGuess(level << 1) * worth;
    if (likelihood < floor) break;
    const count = counts[level] ?? 0;
    const spare = maxUnused * taken - unused;
    const excess = 1 - likelihood - maxUnused;
    // The most that can be taken without exceeding the share.
    const most = likelihood >= always || excess <= 0 ? count : Math.max(0, Math.floor(spare / excess));
    if (most < count) return {atLeast: level, among: most};
    taken += count;
    unused += count * (1 - likelihood);
  }
  return {atLeast: level + 1, among: Number.POSITIVE_INFINITY};
}

function clamp(value: number, [least, greatest]: readonly [number, number]): number {
  return Math.min(greatest, Math.max(least, value));
}
