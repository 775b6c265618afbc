/**
 * Which pages an app is expected to touch soon after a wake (Picocenter's ActiveSet), per process. Installed pages are not observed any more, so
 * the only way to learn that one is no longer used is to withhold it now and then: a page enters the set when it faults, and leaves it
 * when it was withheld and did not. What is withheld is chosen by whole blocks, at random, afresh for each wake. Its share grows with the
 * share that turned out to be unused, so that a set that was right costs next to nothing, and one that was wrong shrinks within a few wakes.
 */
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {type ObjectStore, ObjectStoreError} from '../store/object-store.ts';
import {keysOf} from './checkpoint-keys.ts';
import {type PageRange, PageSet} from './page-set.ts';
import type {PageRun, PageTable} from './page-table.ts';

/** `off` installs nothing, `last` all that was learned, `predict` all but the withheld share. */
export type PrefetchMode = 'off' | 'last' | 'predict';

export interface PrefetchPlan {
  readonly mode: PrefetchMode;
  /** What to install, per process, in order of address. */
  readonly install: ReadonlyMap<number, readonly PageRun[]>;
  /** What is expected but left to fault. */
  readonly withheld: ReadonlyMap<number, readonly PageRange[]>;
  /** Pages in `install`. */
  readonly installPages: number;
  readonly withheldPages: number;
}

export interface LearnedRun {
  readonly plan: PrefetchPlan;
  /** Pages that faulted, per process; also of processes that were forked meanwhile. */
  readonly faulted: ReadonlyMap<number, Iterable<PageRange>>;
}

/** What was known of an app when it was read. */
export interface LoadedSets {
  /** Needs no I/O: it is on the path of a wake. Parameters as of `PredictedSets.plan()`. */
  plan(mode: PrefetchMode, processes: ReadonlyMap<number, PageTable>): PrefetchPlan;
}

export interface PredictedSets {
  /** Reads what is known of an app, while it sleeps. */
  load(app: AppName): Promise<LoadedSets>;
  /** @param processes the page tables of the generation that is woken; only their lazy pages are planned, CRIU restores the others */
  plan(app: AppName, mode: PrefetchMode, processes: ReadonlyMap<number, PageTable>): Promise<PrefetchPlan>;
  /** Takes in what one run has shown; durable when it resolves. */
  learn(app: AppName, run: LearnedRun): Promise<void>;
  /** What is known now, for people. */
  show(app: AppName): Promise<ReadonlyMap<number, readonly PageRange[]>>;
}

export interface PredictedSetsOptions {
  readonly objects: ObjectStore;
  readonly log?: Log;
  /** In [0, 1); for tests. Default Math.random. */
  readonly random?: () => number;
  /** Least share of the blocks that `predict` withholds. Default 1/32. */
  readonly withheldShare?: number;
  /** Bound of the set, all processes of an app together. Default 262144 (1 GiB). */
  readonly maxPages?: number;
}

const formatVersion = 2;
/** Greatest share of the blocks that is withheld. Not more, because what this wake does not touch the next one may: apps answer more than one question. */
const withheldShareMax = 1 / 8;
/** How much of what one run shows about unused pages counts against what was known before. */
const newestWeight = 1 / 2;

export function openPredictedSets(options: PredictedSetsOptions): PredictedSets {
  const {objects, log} = options;
  const random = options.random ?? Math.random;
  const withheldShare = options.withheldShare ?? 1 / 32;
  const maxPages = options.maxPages ?? 262_144;
  const load = async (app: AppName): Promise<Known> => {
    const key = keysOf(app).predicted;
    try {
      return parse(await objects.get(key));
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code !== 'ERR_NO_OBJECT') throw error;
      // Losing it costs one slow wake, so a damaged one is only worth a line.
      if (!(error instanceof ObjectStoreError)) log?.warn({app, object: key}, `Cannot use the predicted set, it is learned anew: ${errorMessage(error)}`);
      return {sets: new Map(), unusedShare: 0};
    }
  };
  const loaded = ({sets, unusedShare}: Known): LoadedSets => ({
    plan(mode, processes) {
      const share = Math.min(withheldShareMax, Math.max(withheldShare, unusedShare / 2));
      return planFor(sets, {mode, processes, withhold: () => mode === 'off' || (mode === 'predict' && random() < share)});
    },
  });
  return {
    load: async (app) => loaded(await load(app)),
    plan: async (app, mode, processes) => loaded(await load(app)).plan(mode, processes),
    async learn(app, run) {
      const {unusedShare} = await load(app);
      await objects.put(keysOf(app).predicted, render({sets: bounded(learned(run), maxPages), unusedShare: learnedShare(run, unusedShare)}));
    },
    async show(app) {
      return new Map([...(await load(app)).sets].map(([pid, set]) => [pid, [...set.ranges()]]));
    },
  };
}

interface Known {
  readonly sets: Sets;
  /** Of the withheld pages, how many were not touched; a running mean over the wakes. */
  readonly unusedShare: number;
}

function learnedShare({plan, faulted}: LearnedRun, before: number): number {
  // Everything is withheld in mode `off`: that it was not needed then says nothing of a set that was not installed.
  if (plan.mode !== 'predict' || plan.withheldPages === 0) return before;
  let touched = 0;
  for (const [pid, ranges] of plan.withheld) {
    const seen = new PageSet();
    for (const range of faulted.get(pid) ?? []) seen.add(range);
    for (const {page, count} of ranges) for (let at = page; at < page + count; at += 1) if (seen.has(at)) touched += 1;
  }
  return before + newestWeight * (1 - touched / plan.withheldPages - before);
}

type Sets = ReadonlyMap<number, PageSet>;

function planFor(sets: Sets, wake: {mode: PrefetchMode; processes: ReadonlyMap<number, PageTable>; withhold: () => boolean}): PrefetchPlan {
  const install = new Map<number, readonly PageRun[]>();
  const withheld = new Map<number, readonly PageRange[]>();
  let [installPages, withheldPages] = [0, 0];
  for (const [pid, table] of wake.processes) {
    const runs: PageRun[] = [];
    const left: PageRange[] = [];
    for (const {ranges} of sets.get(pid)?.blocks() ?? []) {
      // A page that the generation does not have is zero, or its mapping is gone: nothing to install, and it leaves the set.
      const there = ranges.flatMap(({page, count}) => [...table.runsIn(page, count)].filter((run) => run.lazy));
      if (there.length === 0) continue;
      if (wake.withhold()) for (const {page, count} of there) left.push({page, count});
      else for (const run of there) appendRun(runs, run);
    }
    install.set(pid, runs);
    withheld.set(pid, left);
    installPages += runs.reduce((sum, {count}) => sum + count, 0);
    withheldPages += left.reduce((sum, {count}) => sum + count, 0);
  }
  return {mode: wake.mode, install, withheld, installPages, withheldPages};
}

/** Runs come block by block; what belongs together is joined again, so that it is installed by one system call. */
function appendRun(runs: PageRun[], run: PageRun): void {
  const last = runs.at(-1);
  if (last !== undefined && last.page + last.count === run.page && last.segment === run.segment && last.index + last.count === run.index) {
    runs[runs.length - 1] = {...last, count: last.count + run.count};
  } else runs.push(run);
}

/** What was installed stays, what was withheld stays if it faulted, and whatever faulted enters. */
function learned({plan, faulted}: LearnedRun): Sets {
  const sets = new Map<number, PageSet>();
  for (const [pid, runs] of plan.install) sets.set(pid, PageSet.from(runs));
  for (const [pid, ranges] of faulted) {
    const set = sets.get(pid) ?? new PageSet();
    for (const range of ranges) set.add(range);
    sets.set(pid, set);
  }
  return sets;
}

/** Beyond the bound whole blocks are left out, the highest addresses of the last processes first: any choice does, a set this large is no prediction. */
function bounded(sets: Sets, maxPages: number): Sets {
  const kept = new Map<number, PageSet>();
  let left = maxPages;
  for (const [pid, set] of [...sets].sort(([a], [b]) => a - b)) {
    const part = new PageSet();
    for (const {ranges} of set.blocks()) {
      const size = ranges.reduce((sum, {count}) => sum + count, 0);
      if (size > left) break;
      left -= size;
      for (const range of ranges) part.add(range);
    }
    kept.set(pid, part);
  }
  return kept;
}

/** Per process: distance from the end of the range before, count, and so on. */
function render({sets, unusedShare}: Known): Buffer {
  const processes = [...sets]
    .sort(([a], [b]) => a - b)
    .map(([pid, set]) => {
      const numbers: number[] = [];
      let end = 0;
      for (const {page, count} of set.ranges()) {
        numbers.push(page - end, count);
        end = page + count;
      }
      return {pid, ranges: numbers};
    });
  return Buffer.from(`${JSON.stringify({format: formatVersion, unusedShare, processes})}\n`);
}

/** @throws TypeError, SyntaxError when it is not what we wrote */
function parse(data: Buffer): Known {
  const value: unknown = JSON.parse(data.toString('utf8'));
  if (!isRecord(value) || value['format'] !== formatVersion || !Array.isArray(value['processes'])) throw new TypeError('its format is unknown');
  const {unusedShare} = value;
  if (typeof unusedShare !== 'number' || !(unusedShare >= 0 && unusedShare <= 1)) throw new TypeError('the share of unused pages in it cannot be read');
  const sets = new Map<number, PageSet>();
  for (const entry of value['processes'] as readonly unknown[]) {
    if (!isRecord(entry) || !isNumber(entry['pid']) || !Array.isArray(entry['ranges'])) throw new TypeError('a process in it cannot be read');
    const set = new PageSet();
    const numbers: readonly unknown[] = entry['ranges'];
    for (let at = 0, end = 0; at < numbers.length; at += 2) {
      const [distance, count] = [numbers[at], numbers[at + 1]];
      if (!isNumber(distance) || !isNumber(count) || count > 2 ** 35) throw new TypeError('a range in it cannot be read');
      set.add({page: end + distance, count});
      end += distance + count;
    }
    sets.set(entry['pid'], set);
  }
  return {sets, unusedShare};
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
