/** Several programs in front of one origin that are loaded in turns, and what ours has of each of the others. */
import {errorMessage} from '../../src/core/errors.ts';
import {limitGoal} from '../paging/goal.ts';
import type {Panel, Series} from '../paging/plot/panel.ts';
import type {Samples} from '../paging/samples.ts';
import {treeTimeMs} from '../process-tree.ts';
import {median} from '../statistics.ts';
import type {Goal} from '../suite.ts';
import {fixed, type Table} from '../table.ts';
import {type EdgeBench, type EdgePart, inTurns} from './edge-bench.ts';
import {connectionCounts, type LoadKind, processorFigure} from './load-kinds.ts';
import type {Contender, Service} from './programs.ts';
import type {EchoServer} from './websocket-load.ts';

export interface Comparison {
  readonly name: string;
  readonly summary: string;
  /** `mode tcp`: begins each case, and the table's title. */
  readonly title: string;
  readonly service: Service;
  readonly kinds: readonly LoadKind[];
  /** By these the curves are made, if there are any: the same load with each of `connectionCounts`. */
  readonly curveKinds: readonly LoadKind[];
  /** Ours first. */
  readonly contenders: readonly string[];
  readonly goals: readonly RatioGoal[];
  /** Starts them on the scope. */
  start(scope: AsyncDisposableStack, bench: EdgeBench): Promise<{readonly contenders: readonly Contender[]; readonly echo: EchoServer | null}>;
}

/** Of a figure of ours to that of a peer in the same round. */
export interface RatioGoal {
  readonly kind: LoadKind;
  readonly value: string;
  readonly peer: string;
  readonly limit: {readonly atMost: number} | {readonly atLeast: number};
}

/** Ours is compiled while it runs: after so long it is what it is for the rest of its days. */
const warmUpSeconds = 4;
const colours: Readonly<Record<string, string>> = {
  Picogate: '#d55e00',
  HAProxy: '#0072b2',
  nginx: '#009e73',
  'socket-proxyd': '#cc79a7',
  'http-proxy': '#e69f00',
  direct: '#777777',
};

export function comparisonPart(comparison: Comparison): EdgePart {
  return {
    name: comparison.name,
    summary: comparison.summary,
    async run(bench) {
      await using scope = new AsyncDisposableStack();
      const {contenders, echo} = await comparison.start(scope, bench);
      for (const kind of comparison.kinds) await measureKind(bench, comparison, {kind, contenders, echo});
    },
    report: (samples) => ({table: table(comparison, samples), goals: goals(comparison, samples), panels: panels(comparison, samples)}),
  };
}

interface Measured {
  readonly kind: LoadKind;
  readonly contenders: readonly Contender[];
  readonly echo: EchoServer | null;
}

/** A program that fails is left out of the rest of the kind. */
async function measureKind(bench: EdgeBench, comparison: Comparison, {kind, contenders, echo}: Measured): Promise<void> {
  const {signal, loadSeconds, record, progress} = bench;
  progress(`${comparison.title}: ${kind.title}`);
  const failed = new Set<Contender>();
  const measure = async (contender: Contender, round: number): Promise<void> => {
    const address = contender.at[comparison.service];
    if (address === undefined || failed.has(contender)) return;
    const name = caseName(comparison, kind, contender.name);
    try {
      const beforeMs = await processorMs(contender);
      const {count, values} = await kind.measure(address, {seconds: round === 0 ? warmUpSeconds : loadSeconds, signal, echo});
      const usedMs = (await processorMs(contender)) - beforeMs;
      if (round > 0) record({case: name, round, values: {...values, ...(contender.pid !== null && {[processorFigure.value]: (usedMs * 1000) / count})}});
    } catch (error) {
      signal.throwIfAborted();
      failed.add(contender);
      record({case: name, round, values: {}, error: errorMessage(error)});
    }
  };
  for (const contender of contenders) await measure(contender, 0);
  await inTurns(bench, contenders, measure);
}

async function processorMs({pid}: Contender): Promise<number> {
  return pid === null ? 0 : treeTimeMs(pid);
}

function caseName({title}: Comparison, kind: LoadKind, contender: string): string {
  return `${title}, ${kind.title}, ${contender}`;
}

/** The median of the rounds in which both were measured, so that what slows the machine down for a while slows both. */
function ratio(samples: Samples, value: string, [ours, theirs]: readonly [string, string]): number {
  const others = samples.byRound(theirs, value);
  return median([...samples.byRound(ours, value)].flatMap(([round, found]) => (others.has(round) ? [found / (others.get(round) ?? Number.NaN)] : [])));
}

function table(comparison: Comparison, samples: Samples): Table {
  const {title, kinds, contenders} = comparison;
  const [ours = '', ...peers] = contenders;
  return {
    title: `${title}: medians; ratios of the same round`,
    head: ['', ...contenders, ...peers.map((peer) => `of ${peer}`)],
    rows: kinds.flatMap((kind) =>
      kind.figures.map(({title: figure, value}) => [
        `${kind.title}: ${figure}`,
        ...contenders.map((contender) => fixed(samples.median(caseName(comparison, kind, contender), value), value === processorFigure.value ? 1 : 0)),
        ...peers.map((peer) => fixed(ratio(samples, value, [caseName(comparison, kind, ours), caseName(comparison, kind, peer)]), 2)),
      ]),
    ),
  };
}

function goals(comparison: Comparison, samples: Samples): Goal[] {
  const [ours = ''] = comparison.contenders;
  return comparison.goals.map(({kind, value, peer, limit}) => {
    const found = ratio(samples, value, [caseName(comparison, kind, ours), caseName(comparison, kind, peer)]);
    const figure = kind.figures.find((one) => one.value === value)?.title ?? value;
    return limitGoal(`${comparison.title}, ${kind.title}: ${figure}, of ${peer}`, found, limit, (shown) => fixed(shown, 2));
  });
}

/** The rate, and the time of the median one with a whisker up to the p99, by the number of connections. */
function panels(comparison: Comparison, samples: Samples): Panel[] {
  const {title, curveKinds, contenders} = comparison;
  if (curveKinds.length === 0) return [];
  const x = {label: 'connections', scale: 'log2', show: (value: number) => (connectionCounts.some((count) => count === value) ? String(value) : '')} as const;
  const curves = (value: string, high: (name: string) => number): Series[] =>
    contenders.map((name) => ({
      name,
      colour: colours[name] ?? '#000000',
      dashed: name === 'direct',
      points: curveKinds.flatMap((kind, at) => {
        const point = {x: connectionCounts[at] ?? 1, y: samples.median(caseName(comparison, kind, name), value), high: high(caseName(comparison, kind, name))};
        return Number.isFinite(point.y) && point.y > 0 ? [point] : [];
      }),
    }));
  return [
    {
      title: `${title}: per second`,
      x,
      y: {label: 'per second', scale: 'log10', show: String},
      series: curves('perSecond', (name) => Math.max(...samples.values(name, 'perSecond'))),
    },
    {
      title: `${title}: median and p99`,
      x,
      y: {label: 'µs', scale: 'log10', show: String},
      series: curves('p50Micros', (name) => samples.median(name, 'p99Micros')),
    },
  ];
}
