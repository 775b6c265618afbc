/**
 * Many wakes of an imagined app, to see what the prediction makes of them. As a program, prints the figures of docs/performance.md:
 * `node test/pager-store/predicted-simulation.ts`.
 */
import {blockPages, PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {learnRun} from '../../src/pager/prediction/predicted-lesson.ts';
import {emptyModel, keepBounds, type Model} from '../../src/pager/prediction/predicted-model.ts';
import {type PlanRules, type PrefetchMode, type PrefetchPlan, planFor, planRules} from '../../src/pager/prediction/predicted-plan.ts';

const base = 0x7f0000000;
export const tablePages = 1 << 16;
const pid = 1;

/** A generator of numbers in [0, 1) that gives the same ones for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface SimulatedWake {
  readonly keys: readonly string[];
  /** Pages that the app touches, from 0 on, in order. */
  readonly touches: Iterable<number>;
}

export interface WakeResult {
  readonly touched: number;
  readonly faults: number;
  readonly installed: number;
  readonly unused: number;
  readonly expectedUnused: number;
}

/** One wake: what is planned is installed, the rest faults, and all is learned. */
export function simulateWake(model: Model, wake: SimulatedWake, {random, rules = planRules, mode = 'predict'}: SimulationTools): WakeResult {
  const processes = new Map([[pid, PageTable.from([{page: base, count: tablePages, segment: 1, index: 0, lazy: true}])]]);
  const plan = planFor(model, {mode, processes, keys: wake.keys}, {random, rules});
  const {order, faults, touched} = faultsOf(plan, wake.touches);
  learnRun(model, {plan, touched: new Map([[pid, order]])});
  keepBounds(model, {maxPages: 1 << 18, maxTriggers: 16});
  const installed = new Set((plan.install.get(pid) ?? []).flatMap(({page, count}) => Array.from({length: count}, (_, at) => page + at)));
  const unused = [...installed].filter((page) => !touched.has(page)).length;
  return {touched: touched.size, faults, installed: installed.size, unused, expectedUnused: plan.expectedUnused};
}

export interface SimulationTools {
  readonly random: () => number;
  readonly rules?: PlanRules;
  readonly mode?: PrefetchMode;
}

/** As PagedProcess does it: the first touch of a withheld block brings the rest of it. */
function faultsOf(plan: PrefetchPlan, touches: Iterable<number>): {order: number[]; faults: number; touched: Set<number>} {
  const pagesOf = (runs: PrefetchPlan['install']): number[] =>
    (runs.get(pid) ?? []).flatMap(({page, count}) => Array.from({length: count}, (_, at) => page + at));
  const present = new Set(pagesOf(plan.install));
  const withheld = Map.groupBy(pagesOf(plan.withheld), (page) => Math.floor(page / blockPages));
  const order: number[] = [];
  const touched = new Set<number>();
  let faults = 0;
  for (const offset of touches) {
    const page = base + offset;
    touched.add(page);
    if (present.has(page)) continue;
    faults += 1;
    for (const along of [page, ...(withheld.get(Math.floor(page / blockPages)) ?? [])]) {
      if (present.has(along)) continue;
      present.add(along);
      order.push(along);
    }
  }
  return {order, faults, touched};
}

export interface Figures {
  /** Share of the faults that a wake without prefetch would have. */
  readonly removed: number;
  readonly unused: number;
  readonly expectedUnused: number;
  readonly faults: number;
}

export function figuresOf(results: readonly WakeResult[]): Figures {
  const sum = (name: keyof WakeResult): number => results.reduce((total, result) => total + result[name], 0);
  return {
    removed: 1 - sum('faults') / sum('touched'),
    unused: sum('unused') / Math.max(1, sum('installed')),
    expectedUnused: sum('expectedUnused') / results.length,
    faults: sum('faults') / results.length,
  };
}

export function range(first: number, count: number): number[] {
  return Array.from({length: count}, (_, at) => first + at);
}

/** Makes the wake of a number. */
export type Scenario = (wake: number, random: () => number) => SimulatedWake;

const tcp = ['tcp/80'];
/** What every wake touches besides: the program and its libraries, here and there. */
export const common = range(0, 150).map((at) => 40_000 + at * 7);
const noise = (count: number, random: () => number): number[] => range(0, count).map(() => 10_000 + Math.floor(random() * 20_000));

export const scenarios: Readonly<Record<string, Scenario>> = {
  'always the same 8 MiB': () => ({keys: tcp, touches: [...common, ...range(0, 2048)]}),
  'a small server, 40 pages': () => ({keys: tcp, touches: common.slice(0, 40)}),
  '5 % of the pages touched only once': (_, random) => ({keys: tcp, touches: [...common, ...range(0, 2048), ...noise(110, random)]}),
  '12.5 % touched every other time': (_, random) => ({
    keys: tcp,
    touches: [...common, ...range(0, 1792), ...range(4096, 256).filter(() => random() < 0.5)],
  }),
  '1 % replaced at each wake': (wake) => ({keys: tcp, touches: [...common, ...range(wake * 20, 2048)]}),
  'two ports, nothing but the program in common': (wake) => ({
    keys: [wake % 2 === 0 ? 'tcp/80' : 'tcp/81'],
    touches: [...common, ...range(wake % 2 === 0 ? 0 : 8192, 1024)],
  }),
  'the same two, not told apart': (wake) => ({keys: tcp, touches: [...common, ...range(wake % 2 === 0 ? 0 : 8192, 1024)]}),
  'four paths, at random': (_, random) => {
    const path = Math.floor(random() * 4);
    return {keys: [`tcp/80 GET /${path}`, 'tcp/80'], touches: [...common, ...range(path * 8192, 512)]};
  },
};

/** The figures of the last of `wakes` wakes, when it has settled. */
export function settled(
  scenario: Scenario,
  {wakes = 100, last = 50, seed = 1, ...tools}: {wakes?: number; last?: number; seed?: number} & Partial<SimulationTools>,
): Figures {
  const random = seeded(seed);
  const model = emptyModel();
  const results = range(0, wakes).map((wake) => simulateWake(model, scenario(wake, random), {random, ...tools}));
  return figuresOf(results.slice(-last));
}

if (import.meta.main) {
  const percent = (value: number): string => `${(value * 100).toFixed(1)} %`.padStart(8);
  for (const mode of ['predict', 'last'] as const) {
    process.stdout.write(`${mode}: faults removed, unused, expected unused, faults left\n`);
    for (const [name, scenario] of Object.entries(scenarios)) {
      const {removed, unused, expectedUnused, faults} = settled(scenario, {mode});
      process.stdout.write(`  ${name.padEnd(46)}${percent(removed)}${percent(unused)}${percent(expectedUnused)}${faults.toFixed(1).padStart(8)}\n`);
    }
  }
  const random = seeded(1);
  const model = emptyModel();
  process.stdout.write('12.5 % of 8 MiB shifted at wake 40: wake, faults, unused\n');
  for (let wake = 0; wake < 70; wake += 1) {
    const touches = [...common, ...range(wake < 40 ? 0 : 256, 2048)];
    const {faults, unused, installed} = simulateWake(model, {keys: tcp, touches}, {random});
    if (wake >= 38) process.stdout.write(`  ${wake} ${faults} ${percent(unused / installed)}\n`);
  }
}
