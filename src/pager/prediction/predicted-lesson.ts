/** What one run has shown: which of the expected pages were touched, which were not, and of which nothing is known because they were installed. */

import {blockPages} from '../checkpoints/page-table.ts';
import {type PageRange, PageSet} from './page-set.ts';
import {addSamples, type BlockEvidence, type Evidence, type Model, teach, wholeApp} from './predicted-model.ts';
import {type PrefetchPlan, presentMask} from './predicted-plan.ts';

export interface LearnedRun {
  readonly plan: PrefetchPlan;
  /** Pages that faulted in the first moments of the run, in order of first touch, per process; also of processes that were forked meanwhile. */
  readonly touched: ReadonlyMap<number, readonly number[]>;
  /** Pages that came along with the fault of another one (read-ahead) and were touched then, without a fault. */
  readonly passed?: ReadonlyMap<number, Iterable<PageRange>>;
  /** Pages that came along with the fault of another one, of which nothing is known. */
  readonly brought?: ReadonlyMap<number, Iterable<PageRange>>;
}

/** How much one wake makes up of the averages that people see. */
const meanWeight = 0.3;

export function learnRun(model: Model, {plan, touched, passed, brought}: LearnedRun): void {
  const run = new Run(plan, {touched, passed: passed ?? new Map(), brought: brought ?? new Map()});
  teach(model, plan.keys, run);
  if (plan.mode === 'predict') {
    addSamples(model.blocks, run.withheldBlocks);
    addSamples(model.pages, run.certainPages);
  }
  for (const key of [wholeApp, ...plan.keys]) {
    const means = model.levels.get(key)?.means;
    if (means === undefined) continue;
    const first = model.levels.get(key)?.wakes === 1;
    const mean = (before: number, now: number): number => (first ? now : before + meanWeight * (now - before));
    means.installed = mean(means.installed, plan.installPages);
    means.unused = mean(means.unused, plan.expectedUnused);
    means.faults = mean(means.faults, run.faults);
  }
  model.last = run.resident();
}

class Run implements Evidence {
  readonly pids: ReadonlySet<number>;
  readonly blocks = new Map<number, Set<number>>();
  readonly withheldBlocks = {taken: 0, unused: 0};
  readonly certainPages = {taken: 0, unused: 0};
  /** Touches that cost a fault. */
  faults = 0;
  readonly #plan: PrefetchPlan;
  readonly #installed = new Map<number, PageSet>();
  readonly #touched = new Map<number, PageSet>();
  /** Pages that came along with the first touch of a withheld block: not touched themselves, as far as is known. */
  readonly #along = new Map<number, PageSet>();

  constructor(plan: PrefetchPlan, {touched, passed, brought}: Required<Omit<LearnedRun, 'plan'>>) {
    this.#plan = plan;
    this.pids = new Set(plan.processes.keys());
    for (const [pid, runs] of plan.install) {
      this.#installed.set(pid, PageSet.from(runs));
      for (const {page, count} of runs) this.#mention(pid, page, count);
    }
    const withheld = new Map([...plan.withheld].map(([pid, runs]) => [pid, PageSet.from(runs)]));
    for (const pid of new Set([...touched.keys(), ...withheld.keys()])) this.#sort(pid, touched.get(pid) ?? [], withheld.get(pid) ?? new PageSet());
    for (const [pid, ranges] of passed) {
      const set = this.#touched.get(pid) ?? new PageSet();
      this.#touched.set(pid, set);
      for (const range of ranges) {
        set.add(range);
        this.#mention(pid, range.page, range.count);
      }
    }
    for (const [pid, ranges] of brought) {
      const along = this.#along.get(pid) ?? new PageSet();
      this.#along.set(pid, along);
      for (const range of ranges) {
        along.add(range);
        this.#mention(pid, range.page, range.count);
      }
    }
    for (const [pid, pages] of plan.single) {
      const seen = this.#touched.get(pid);
      for (const {page} of pages.filter((page) => page.certain && this.#along.get(pid)?.has(page.page) !== true)) {
        this.certainPages.taken += 1;
        if (seen?.has(page) !== true) this.certainPages.unused += 1;
      }
    }
  }

  #sort(pid: number, order: readonly number[], withheld: PageSet): void {
    const [touched, along, live] = [new PageSet(), new PageSet(), new Set<number>()];
    for (const page of order) {
      const block = Math.floor(page / blockPages);
      const came = live.has(block) && withheld.has(page);
      (came ? along : touched).add({page, count: 1});
      if (!came) this.faults += 1;
      live.add(block);
      this.#mention(pid, page, 1);
    }
    for (const {block, ranges} of withheld.blocks()) {
      this.withheldBlocks.taken += 1;
      if (!live.has(block)) this.withheldBlocks.unused += 1;
      // Even if the first touch came too late to bring the others along, nothing is known of them.
      else for (const range of ranges) along.add(range);
    }
    this.#touched.set(pid, touched);
    this.#along.set(pid, along);
  }

  #mention(pid: number, page: number, count: number): void {
    const blocks = this.blocks.get(pid) ?? new Set();
    this.blocks.set(pid, blocks);
    for (let block = Math.floor(page / blockPages); block * blockPages < page + count; block += 1) blocks.add(block);
  }

  of(pid: number, block: number): BlockEvidence {
    const table = this.#plan.processes.get(pid);
    const touched = this.#touched.get(pid)?.mask(block) ?? 0;
    const present = table === undefined ? touched : presentMask(table, block);
    const along = this.#along.get(pid)?.mask(block) ?? 0;
    const unknown = (this.#installed.get(pid)?.mask(block) ?? 0) | along;
    return {present, touched, along, observed: present & ~unknown};
  }

  /** What was in memory because it was touched or installed. */
  resident(): Map<number, PageSet> {
    const found = new Map<number, PageSet>();
    for (const pid of this.blocks.keys()) {
      const set = new PageSet();
      for (const part of [this.#installed, this.#touched, this.#along]) for (const range of part.get(pid)?.ranges() ?? []) set.add(range);
      found.set(pid, set);
    }
    return found;
  }
}
