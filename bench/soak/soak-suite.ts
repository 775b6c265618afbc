/** Hours of traffic, sleeps, wakes, kills and reloads: nothing is lost but what may be, everybody hears something, and nothing becomes more and more. */
import type {Panel, Series} from '../paging/plot/panel.ts';
import {writeFigure} from '../paging/plot/write-figure.ts';
import type {Goal, Report, Suite, SuiteContext} from '../suite.ts';
import {fixed, nothing, type Table} from '../table.ts';
import {countGrowth, countsOf, memoryOf, memorySlope, resourceNames} from './growth.ts';
import {type Interval, type Rest, type SoakResult, soak} from './soak.ts';
import {undisturbed} from './soak-world.ts';

const minutes = {usual: 120, quick: 5} as const;
const intervalMs = {usual: 45_000, quick: 12_000} as const;
/** Processes of the gateway are killed at the beginning of each part, and grow old in the rest of it. */
const parts = 6;
const roles = ['gateway', 'pager', 'redis'] as const;

export const soakSuite: Suite = {
  name: 'soak',
  summary: 'two hours (or --minutes N) of traffic, sleeps, wakes, kills and reloads: what is lost, and what grows',
  defaultRounds: 1,
  byNameOnly: true,
  run,
};

async function run(context: SuiteContext): Promise<Report> {
  const durationMs = (context.minutes ?? (context.quick ? minutes.quick : minutes.usual)) * 60_000;
  const startedMs = performance.now();
  let part = 0;
  let told = 0;
  const interval = (): Interval | null => {
    const passedMs = performance.now() - startedMs;
    if (passedMs >= durationMs) return null;
    const isHard = passedMs >= (part * durationMs) / parts;
    if (isHard) part++;
    return {kind: 'time', durationMs: context.quick ? intervalMs.quick : intervalMs.usual, isHard};
  };
  const result = await soak({
    seed: context.seed,
    interval,
    signal: context.signal,
    onRest: ({atMs, processes, counts}, {answers, violations}) => {
      const memory = Object.fromEntries(processes.map(({role, proportionalBytes}) => [`${role}Bytes`, proportionalBytes]));
      context.record({case: 'rest', round: 1, values: {atMs, answers, violations: violations.length, ...memory, ...counts}});
      context.progress(`${fixed(atMs / 60_000)} min, ${answers} answers, ${violations.length} violations`);
      for (; told < violations.length; told++) context.progress(violations[told] ?? '');
    },
  });
  return {...report(result), notes: [...result.tally.violations, await writeFigure(context.outputPath, figure(result.rests, context.seed))]};
}

function report({rests, tally, acknowledged, lost}: SoakResult): Report {
  const counts = resourceNames(rests).flatMap((name) => {
    const growth = countGrowth(countsOf(rests, name));
    return growth === null ? [] : [{name, ...growth}];
  });
  const slopes = roles.map((role) => ({role, slope: memorySlope(memoryOf(rests, role))}));
  const growing = counts.filter(({grows}) => grows).map(({name}) => name);
  return {
    tables: [
      countTable(counts),
      {
        title: 'Memory at rest (Pss): one line per process, least squares',
        head: ['', 'processes', 'MiB', 'MiB per hour', '+-', 'verdict'],
        rows: slopes.map(({role, slope}) => {
          const points = memoryOf(rests, role);
          const mean = sum(points.map(({bytes}) => bytes)) / points.length;
          const figures = slope === null ? [nothing, nothing, nothing] : [mib(slope.bytesPerHour), mib(slope.uncertainty), verdict(slope.grows)];
          return [role, String(new Set(points.map(({pid}) => pid)).size), mib(mean), ...figures];
        }),
      },
      {title: 'What was done', head: ['', 'times'], rows: sorted(tally.steps)},
      {title: 'Refusals, by what was disturbed', head: ['', 'times'], rows: sorted(tally.refusals)},
    ],
    goals: [
      zero('wrong and missing answers, writes lost that may not be', tally.violations.length),
      zero('refusals while nothing was broken', sum([...tally.refusals].flatMap(([name, count]) => (name.startsWith(`${undisturbed}:`) ? [count] : [])))),
      zero('resources that become more', growing.length),
      ...slopes.map(({role, slope}): Goal => {
        const found = slope === null ? nothing : `${mib(slope.bytesPerHour)} +- ${mib(slope.uncertainty)} MiB per hour`;
        return {what: `memory of ${role}`, goal: 'no slope above 2 MiB per hour', found, met: slope === null ? null : !slope.grows};
      }),
      {
        what: `${tally.answers} answers, ${acknowledged} acknowledged writes`,
        goal: 'lost only with a killed gateway',
        found: `${lost} lost`,
        met: tally.violations.length === 0,
      },
    ],
  };
}

function countTable(counts: readonly {readonly name: string; readonly first: number; readonly last: number; readonly grows: boolean}[]): Table {
  return {
    title: 'Counts while all apps sleep, after the warm-up',
    head: ['', 'first rest', 'last rest', 'verdict'],
    rows: counts.map(({name, first, last, grows}) => [name, String(first), String(last), verdict(grows)]),
  };
}

function zero(what: string, count: number): Goal {
  return {what, goal: '0', found: String(count), met: count === 0};
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function verdict(grows: boolean): string {
  return grows ? 'GROWS' : 'level';
}

function mib(bytes: number): string {
  return fixed(bytes / 2 ** 20, 2);
}

function sorted(counts: ReadonlyMap<string, number>): string[][] {
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([name, count]) => [name, String(count)]);
}

const colours = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b', '#e377c2', '#17becf', '#7f7f7f'] as const;

function figure(rests: readonly Rest[], seed: number): {title: string; footnote: string; panels: Panel[]} {
  const names = resourceNames(rests);
  const kernel = ['processes', 'namespaces', 'links', 'routes', 'mounts', 'control groups', 'lines of nft', 'shared memory'];
  const panel = (title: string, label: string, series: readonly {name: string; value: (rest: Rest) => number | undefined}[]): Panel => ({
    title,
    x: {label: 'minutes', scale: 'linear', show: (value) => fixed(value, 0)},
    y: {label, scale: 'linear', show: (value) => fixed(value, 0)},
    series: series.map(({name, value}, at): Series => {
      const points = rests.flatMap((rest) => {
        const y = value(rest);
        return y === undefined ? [] : [{x: rest.atMs / 60_000, y, high: y}];
      });
      return {name, colour: colours[at % colours.length] ?? '#000000', dashed: false, points};
    }),
  });
  const counted = (wanted: readonly string[]): {name: string; value: (rest: Rest) => number | undefined}[] =>
    wanted.map((name) => ({name, value: ({counts}) => counts[name]}));
  const memory = roles.map((role) => ({
    name: role,
    value: ({processes}: Rest) => sum(processes.filter((one) => one.role === role).map(({proportionalBytes}) => proportionalBytes)) / 2 ** 20,
  }));
  return {
    title: 'A gateway in use, whenever all its apps sleep',
    footnote: `Seed ${seed}. Traffic, sleeps, wakes, kills and reloads in between.`,
    panels: [
      panel('Memory (Pss)', 'MiB', memory),
      panel('Descriptors and threads', 'number', counted(names.filter((name) => /^(?:descriptors|threads)/.test(name)))),
      panel('In the kernel', 'number', counted(kernel)),
      panel('Files of the state directory', 'number', counted(names.filter((name) => name.startsWith('files')))),
    ],
  };
}
