/**
 * What is known of the pages that an app touches after a wake: for the app as a whole, and for each kind of trigger. Pure data and arithmetic.
 *
 * Every level has a likelihood for each page. A wake teaches all levels of its trigger, and only about pages that could tell: those that were not
 * installed. What a level has not seen itself it takes from the more general one, the less the more wakes it has seen without that page.
 */

import {blockPages} from '../checkpoints/page-table.ts';
import {afterMiss, afterNeighbour, afterTouch, byteOf, isNewcomer, likelihoodOf, newcomer, newestWeight, PageLikelihoods} from './page-likelihoods.ts';
import type {PageSet} from './page-set.ts';

/** Key of the level that every wake teaches. No trigger has it. */
export const wholeApp = '';

export type Likelihoods = Map<number, PageLikelihoods>;

export interface Level {
  readonly key: string;
  /** By pid in the container. */
  readonly pages: Likelihoods;
  wakes: number;
  /** Number of the app's wake that it saw last. */
  lastWake: number;
  /** How likely a page that was touched once is to be touched again. */
  returnRate: number;
  /** Moving averages of its wakes, for people. */
  readonly means: LevelMeans;
}

export interface LevelMeans {
  /** Pages installed before they were touched. */
  installed: number;
  /** Share of them that was probably not touched. */
  unused: number;
  /** Faults left. */
  faults: number;
}

export interface Model {
  /** Wakes that it learned from. */
  wakes: number;
  /** The level of the whole app is always there. */
  readonly levels: Map<string, Level>;
  /** What of the blocks and pages that were withheld although they seemed certain was not touched. */
  readonly blocks: Sample;
  readonly pages: Sample;
  /** Pages that the last run touched or had installed. */
  last: Map<number, PageSet>;
}

/** A share that is measured by samples; old ones count less and less. */
export interface Sample {
  taken: number;
  unused: number;
}

export interface ModelBounds {
  /** Of all levels together. */
  readonly maxPages: number;
  readonly maxTriggers: number;
}

const returnRateFirst = 0.9;
/** How likely a page that only came along is to be touched, compared with one that was touched once. Withholding shows which of them are. */
const alongRate = 0.6;
const sampleDecay = 0.9;
/** Samples that a share starts with, so that the first ones do not decide alone. */
const sampleBefore = 8;

export function emptyModel(): Model {
  const levels = new Map([[wholeApp, emptyLevel(wholeApp)]]);
  return {wakes: 0, levels, blocks: {taken: 0, unused: 0}, pages: {taken: 0, unused: 0}, last: new Map()};
}

export function emptyLevel(key: string): Level {
  return {key, pages: new Map(), wakes: 0, lastWake: 0, returnRate: returnRateFirst, means: {installed: 0, unused: 0, faults: 0}};
}

export function shareOf({taken, unused}: Sample): number {
  return unused / (taken + sampleBefore);
}

export function addSamples(sample: Sample, more: Sample): void {
  sample.taken = sample.taken * sampleDecay + more.taken;
  sample.unused = sample.unused * sampleDecay + more.unused;
}

/** @param keys the most specific first; without that of the whole app */
export function expectedPages({levels}: Model, keys: readonly string[]): Likelihoods {
  let expected: Likelihoods = new Map();
  for (const key of [wholeApp, ...[...keys].reverse()]) {
    const level = levels.get(key);
    if (level !== undefined && level.wakes > 0) expected = refined(expected, level);
  }
  return expected;
}

function refined(general: Likelihoods, {pages, wakes}: Level): Likelihoods {
  const trust = (1 - newestWeight) ** wakes;
  const result: Likelihoods = new Map();
  for (const pid of new Set([...general.keys(), ...pages.keys()])) {
    const [before, own, into] = [general.get(pid), pages.get(pid), new PageLikelihoods()];
    for (const block of new Set([...(before?.blockNumbers ?? []), ...(own?.blockNumbers ?? [])])) {
      const [from, known] = [before?.block(block), own?.block(block)];
      const bytes = into.blockFor(block);
      for (let slot = 0; slot < blockPages; slot += 1) {
        const byte = known?.[slot] ?? 0;
        const inherited = from?.[slot] ?? 0;
        bytes[slot] = byte !== 0 || inherited === 0 ? byte : byteOf(likelihoodOf(inherited) * trust);
      }
    }
    result.set(pid, into);
  }
  return result;
}

/** What a wake showed of one block, one bit per page. */
export interface BlockEvidence {
  /** Is stored, so that it could have faulted. */
  readonly present: number;
  readonly touched: number;
  /** Came along with the touch of another one. */
  readonly along: number;
  /** Would have faulted if it had been touched. */
  readonly observed: number;
}

export interface Evidence {
  /** Processes that the wake restored. */
  readonly pids: ReadonlySet<number>;
  /** Blocks of which anything is said besides those that a level knows. */
  readonly blocks: ReadonlyMap<number, ReadonlySet<number>>;
  of(pid: number, block: number): BlockEvidence;
}

/** Takes in one wake: all levels of its trigger and the whole app. */
export function teach(model: Model, keys: readonly string[], evidence: Evidence): void {
  const expected = expectedPages(model, keys);
  model.wakes += 1;
  for (const key of [wholeApp, ...[...keys].reverse()]) {
    const level = model.levels.get(key) ?? emptyLevel(key);
    model.levels.set(key, level);
    teachLevel(level, expected, evidence);
    level.wakes += 1;
    level.lastWake = model.wakes;
  }
}

function teachLevel(level: Level, expected: Likelihoods, evidence: Evidence): void {
  const returned: Sample = {taken: 0, unused: 0};
  for (const pid of level.pages.keys()) if (!evidence.pids.has(pid) && !evidence.blocks.has(pid)) level.pages.delete(pid);
  for (const pid of new Set([...level.pages.keys(), ...evidence.blocks.keys()])) {
    const own = level.pages.get(pid) ?? new PageLikelihoods();
    const inherited = expected.get(pid);
    for (const block of new Set([...own.blockNumbers, ...(evidence.blocks.get(pid) ?? [])])) {
      const bytes = own.blockFor(block);
      if (!teachBlock(bytes, {evidence: evidence.of(pid, block), inherited: inherited?.block(block), returnRate: level.returnRate, returned}))
        own.delete(block);
    }
    if (own.blockNumbers.length === 0) level.pages.delete(pid);
    else level.pages.set(pid, own);
  }
  if (returned.taken === 0) return;
  const weight = (newestWeight * returned.taken) / (returned.taken + sampleBefore);
  level.returnRate += weight * (1 - returned.unused / returned.taken - level.returnRate);
}

interface BlockLesson {
  readonly evidence: BlockEvidence;
  readonly inherited: Uint8Array | undefined;
  readonly returnRate: number;
  /** Counts pages that had been touched once, and now were not. */
  readonly returned: Sample;
}

/** @returns whether anything is left in the block */
function teachBlock(bytes: Uint8Array, {evidence, inherited, returnRate, returned}: BlockLesson): boolean {
  let left = false;
  for (let slot = 0; slot < blockPages; slot += 1) {
    const bit = 1 << slot;
    const before = bytes[slot] ?? 0;
    const touched = (evidence.touched & bit) !== 0;
    const observed = touched || (evidence.observed & bit) !== 0;
    let now = before;
    if (touched) now = before === 0 ? newcomer(returnRate) : afterTouch(before);
    else if ((evidence.present & bit) === 0) now = 0;
    else if (observed) now = afterMiss(before);
    else if (before !== 0 && (evidence.along & bit) !== 0) now = afterNeighbour(before);
    else if (before === 0 && (inherited?.[slot] ?? 0) === 0 && (evidence.along & bit) !== 0) now = newcomer(returnRate * alongRate);
    else if (before === 0) now = afterMiss(inherited?.[slot] ?? 0);
    if (observed && isNewcomer(before)) {
      returned.taken += 1;
      if (!touched) returned.unused += 1;
    }
    bytes[slot] = now;
    left ||= now !== 0;
  }
  return left;
}

/** Forgets triggers that were not seen for the longest time, then the least likely pages, until the bounds are kept. */
export function keepBounds(model: Model, {maxPages, maxTriggers}: ModelBounds): void {
  const triggers = [...model.levels.values()].filter(({key}) => key !== wholeApp).sort((a, b) => a.lastWake - b.lastWake);
  let total = [...model.levels.values()].reduce((sum, {pages}) => sum + sizeOf(pages), 0);
  for (const [at, level] of triggers.entries()) {
    if (triggers.length - at <= maxTriggers && total <= maxPages) break;
    total -= sizeOf(level.pages);
    model.levels.delete(level.key);
  }
  const whole = model.levels.get(wholeApp);
  if (whole !== undefined && total > maxPages) dropLeastLikely(whole.pages, total - maxPages);
}

function sizeOf(pages: Likelihoods): number {
  let size = 0;
  for (const process of pages.values()) size += process.size;
  return size;
}

function dropLeastLikely(pages: Likelihoods, count: number): void {
  const runs = [...pages].flatMap(([pid, process]) => [...process.runs()].map((run) => ({pid, ...run})));
  let left = count;
  for (const run of runs.sort((a, b) => a.byte - b.byte)) {
    const dropped = Math.min(run.count, left);
    for (let page = run.page; page < run.page + dropped; page += 1) pages.get(run.pid)?.set(page, 0);
    left -= dropped;
    if (left === 0) return;
  }
}
