/** Requests and connections per second of several proxies in front of one origin, and what ours has of each of theirs. */
import {limitGoal} from '../paging/goal.ts';
import type {Samples} from '../paging/samples.ts';
import type {Goal} from '../suite.ts';
import {fixed, type Table} from '../table.ts';
import {type EdgeBench, inTurns} from './edge-bench.ts';
import {wrk} from './load.ts';
import type {Contender} from './programs.ts';

export interface RateKind {
  readonly mode: 'tcp' | 'http';
  /** `mode tcp, requests`. */
  readonly title: string;
  /** False: a connection for each request. */
  readonly keepAlive: boolean;
}

export interface RateGoal {
  readonly kind: RateKind;
  readonly peer: string;
  readonly atLeast: number;
}

const warmUpSeconds = 1;

function rateCase({title}: RateKind, proxy: string): string {
  return `${title}, ${proxy}`;
}

export async function measureRates(bench: EdgeBench, proxies: readonly Contender[], kinds: readonly RateKind[]): Promise<void> {
  const {signal, loadSeconds, record, progress} = bench;
  for (const kind of kinds) {
    progress(kind.title);
    for (const proxy of proxies) await wrk(proxy.port[kind.mode], {seconds: warmUpSeconds, keepAlive: kind.keepAlive, signal});
    await inTurns(bench, proxies, async (proxy, round) => {
      const perSecond = await wrk(proxy.port[kind.mode], {seconds: loadSeconds, keepAlive: kind.keepAlive, signal});
      record({case: rateCase(kind, proxy.name), round, values: {perSecond}});
    });
  }
}

export function rateTable(title: string, samples: Samples, {proxies, kinds}: {proxies: readonly string[]; kinds: readonly RateKind[]}): Table {
  const [ours = '', ...peers] = proxies;
  const rate = (kind: RateKind, proxy: string): number => samples.median(rateCase(kind, proxy), 'perSecond');
  return {
    title,
    head: ['median per second', ...proxies, ...peers.map((peer) => `of ${peer}`)],
    rows: kinds.map((kind) => [
      kind.title,
      ...proxies.map((proxy) => fixed(rate(kind, proxy), 0)),
      ...peers.map((peer) => fixed(rate(kind, ours) / rate(kind, peer), 2)),
    ]),
  };
}

export function rateGoals(samples: Samples, ours: string, goals: readonly RateGoal[]): Goal[] {
  return goals.map(({kind, peer, atLeast}) => {
    const ratio = samples.median(rateCase(kind, ours), 'perSecond') / samples.median(rateCase(kind, peer), 'perSecond');
    return limitGoal(`${kind.title}, of ${peer}`, ratio, {atLeast}, (value) => fixed(value, 2));
  });
}
