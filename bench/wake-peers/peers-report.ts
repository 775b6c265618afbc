/** The tables of the suite, its figures beside the goals, and the curves. */
import {limitGoal} from '../paging/goal.ts';
import type {Panel, Series} from '../paging/plot/panel.ts';
import type {Samples} from '../paging/samples.ts';
import {median, quantile} from '../statistics.ts';
import type {Goal} from '../suite.ts';
import {bytes, fixed, nothing, type Table} from '../table.ts';
import {type Condition, conditionTitles} from './condition.ts';
import {memory64, memory1024, nginx, node, type Server, servers} from './servers.ts';
import {caseName, type WayName, wayNames} from './way.ts';

const colours: Record<WayName, string> = {
  Picogate: '#009e73',
  'criu restore': '#000000',
  'criu lazy-pages': '#d55e00',
  'started anew': '#0072b2',
};

export function tablesOf(samples: Samples, condition: Condition): Table[] {
  return [answers(samples, condition), phases(samples, condition)];
}

function measured(samples: Samples, condition: Condition): {server: Server; way: WayName; name: string}[] {
  return servers.flatMap((server) => wayNames.map((way) => ({server, way, name: caseName(server, way, condition)}))).filter(({name}) => samples.has(name));
}

function answers(samples: Samples, condition: Condition): Table {
  const rows = measured(samples, condition).map(({server, way, name}) => {
    const found = samples.values(name, 'firstByteMs');
    const ours = samples.median(caseName(server, 'Picogate', condition), 'firstByteMs');
    return [
      `${server.name}, ${way}`,
      fixed(median(found)),
      fixed(quantile(found, 0.99)),
      fixed(quantile(found, 0.99) / median(found), 2),
      way === 'Picogate' ? nothing : fixed(median(found) / ours),
      String(samples.failures(name).length || nothing),
      String(found.length),
    ];
  });
  return {
    title: `Milliseconds from connect() to the first byte; ${conditionTitles[condition]}`,
    head: ['server, way', 'median', 'p99', 'p99 / median', '/ Picogate', 'failed', 'samples'],
    rows,
  };
}

/** They overlap: the lease is asked for, and pages come, while CRIU works. */
function phases(samples: Samples, condition: Condition): Table {
  const rows = servers.map((server) => {
    const name = caseName(server, 'Picogate', condition);
    const middle = (value: string, digits = 1): string => fixed(samples.median(name, value), digits);
    return [
      `${server.name} (${bytes(samples.median(name, 'memoryBytes'))})`,
      ...['holdMs', 'placeMs', 'restoreMs', 'criuMs', 'pagesMs', 'readyMs', 'edgeMs', 'firstByteMs'].map((value) => middle(value)),
      middle('installedPages', 0),
      middle('faults', 0),
    ];
  });
  return {
    title: `Picogate, phases of the same wakes, medians in milliseconds; ${conditionTitles[condition]}`,
    head: ['server (memory)', 'hold', 'place', 'restore', 'of it CRIU', 'pages', 'ready', 'edge and app', 'first byte', 'installed', 'faults'],
    rows,
  };
}

const warmLimits = [
  {server: nginx, ms: 20},
  {server: memory64, ms: 25},
  {server: node, ms: 40},
] as const;
const tailLimit = 3;
const gains = [
  {server: memory64, times: 3},
  {server: memory1024, times: 10},
] as const;

/** All goals are about warm wakes. */
export function goalsOf(samples: Samples): Goal[] {
  const ms = (value: number): string => `${fixed(value)} ms`;
  const times = (value: number): string => `${fixed(value, 2)} times`;
  const firstBytes = (server: Server, way: WayName): number[] => samples.values(caseName(server, way, 'warm'), 'firstByteMs');
  return [
    ...warmLimits.map(({server, ms: atMost}) => limitGoal(`${server.name}, warm, first byte, median`, median(firstBytes(server, 'Picogate')), {atMost}, ms)),
    ...servers.map((server) => {
      const found = firstBytes(server, 'Picogate');
      return limitGoal(`${server.name}, warm, p99 of the median`, quantile(found, 0.99) / median(found), {atMost: tailLimit}, times);
    }),
    ...gains.map(({server, times: atLeast}) =>
      limitGoal(
        `${server.name}, warm, faster than criu restore`,
        median(firstBytes(server, 'criu restore')) / median(firstBytes(server, 'Picogate')),
        {atLeast},
        times,
      ),
    ),
  ];
}

/** First byte by what the server has in memory. */
export function panelOf(samples: Samples, condition: Condition): Panel {
  const series = wayNames.map((way): Series => {
    const points = servers.flatMap((server) => {
      const found = samples.values(caseName(server, way, condition), 'firstByteMs');
      const memoryBytes = samples.median(caseName(server, 'Picogate', condition), 'memoryBytes');
      return found.length === 0 || !Number.isFinite(memoryBytes) ? [] : [{x: memoryBytes / 2 ** 20, y: median(found), high: quantile(found, 0.99)}];
    });
    return {name: way, colour: colours[way], dashed: false, points: points.toSorted((a, b) => a.x - b.x)};
  });
  const show = (value: number): string => String(value);
  return {
    title: condition,
    x: {label: 'memory of the server, MiB', scale: 'log10', show},
    y: {label: 'connect() to first byte, ms', scale: 'log10', show},
    series,
  };
}
