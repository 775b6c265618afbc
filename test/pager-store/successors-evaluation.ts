/**
 * Whether successors pay: replays recorded first touches of real servers and prints the faults that are left with and without them:
 * `node test/pager-store/successors-evaluation.ts [FILE]`.
 *
 * FILE (default: fault-traces.json.gz beside this file) has, for each app, its runs, each a list of [pid, pages]: what `touched` in the pager's
 * InstanceStats says of an app with `prefetch off`, page numbers as differences from the one before. Both models learn from all touches of a run, as
 * if successors that were installed could be observed: what is printed is the most that they can gain.
 */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {gunzipSync} from 'node:zlib';
import {blockPages, PageTable} from '../../src/pager/page-table.ts';
import {learnRun} from '../../src/pager/predicted-lesson.ts';
import {emptyModel} from '../../src/pager/predicted-model.ts';
import {type PrefetchMode, planFor, planRules} from '../../src/pager/predicted-plan.ts';
import {Successors} from '../../src/pager/successors.ts';
import {seeded} from './predicted-simulation.ts';

type Run = readonly (readonly [pid: number, pages: readonly number[]])[];

export interface Replayed {
  touches: number;
  faults: number;
  /** Pages that the successors brought, and how many of them were not touched. */
  brought: number;
  unused: number;
}

/** @param skip runs that are learned from but not counted */
export function replay(runs: readonly Run[], {mode, follow, skip}: {mode: PrefetchMode; follow: boolean; skip: number}): Replayed {
  const random = seeded(1);
  const model = emptyModel();
  const successors = new Map<number, Successors>();
  const all = new Map<number, PageTable>();
  for (const [pid, pages] of runs.flat()) {
    const table = all.get(pid) ?? new PageTable();
    for (const page of pages) table.add({page, count: 1, segment: 1, index: page % 2 ** 20, lazy: true});
    all.set(pid, table);
  }
  const sum: Replayed = {touches: 0, faults: 0, brought: 0, unused: 0};
  for (const [at, run] of runs.entries()) {
    const plan = planFor(model, {mode, processes: all, keys: []}, {random, rules: planRules});
    const touched = new Map<number, number[]>();
    for (const [pid, pages] of run) {
      const known = successors.get(pid) ?? new Successors();
      successors.set(pid, known);
      const present = new Set((plan.install.get(pid) ?? []).flatMap(({page, count}) => Array.from({length: count}, (_, offset) => page + offset)));
      const installed = new Set(present);
      const counted = at < skip ? {touches: 0, faults: 0, brought: 0, unused: 0} : sum;
      replayProcess(pages, {present, stored: all.get(pid) ?? new PageTable(), successors: follow ? known : undefined, counted});
      touched.set(
        pid,
        pages.filter((page) => !installed.has(page)),
      );
      known.learn(pages);
    }
    learnRun(model, {plan, touched});
  }
  return sum;
}

interface Replaying {
  readonly present: Set<number>;
  readonly stored: PageTable;
  readonly successors: Successors | undefined;
  readonly counted: Replayed;
}

function replayProcess(pages: readonly number[], {present, stored, successors, counted}: Replaying): void {
  const touched = new Set(pages);
  for (const page of pages) {
    counted.touches += 1;
    if (present.has(page)) continue;
    present.add(page);
    counted.faults += 1;
    for (const {block, pages: mask} of successors?.following(Math.floor(page / blockPages)) ?? []) {
      for (let slot = 0; slot < blockPages; slot += 1) {
        const along = block * blockPages + slot;
        if ((mask & (1 << slot)) === 0 || present.has(along) || stored.get(along) === undefined) continue;
        present.add(along);
        counted.brought += 1;
        if (!touched.has(along)) counted.unused += 1;
      }
    }
  }
}

/** @param path of a file as described above */
export function readTraces(path: string): ReadonlyMap<string, readonly Run[]> {
  const recorded = JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as Record<string, [number, number[]][][]>;
  const absolute = (differences: readonly number[]): readonly number[] => {
    let page = 0;
    return differences.map((difference) => (page += difference));
  };
  return new Map(Object.entries(recorded).map(([app, runs]) => [app, runs.map((run) => run.map(([pid, pages]) => [pid, absolute(pages)] as const))]));
}

if (import.meta.main) {
  const traces = readTraces(process.argv[2] ?? fileURLToPath(new URL('./fault-traces.json.gz', import.meta.url)));
  for (const [app, runs] of traces) {
    for (const mode of ['off', 'predict'] as const) {
      for (const follow of [false, true]) {
        const counted = runs.length - 4;
        const {touches, faults, brought, unused} = replay(runs, {mode, follow, skip: 4});
        const microseconds = faults * planRules.cost.fault + brought * planRules.cost.copy + unused * planRules.cost.unused;
        const mean = (value: number): string => (value / counted).toFixed(1).padStart(8);
        process.stdout.write(
          `${app.padEnd(8)} ${mode.padEnd(8)}${follow ? 'successors' : '          '}: of${mean(touches)} touches${mean(faults)} faults,${mean(brought)} brought,${mean(unused)} unused,${mean(microseconds)} us\n`,
        );
      }
    }
  }
}
