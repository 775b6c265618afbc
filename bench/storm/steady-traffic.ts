/** Traffic to an app that is awake, with and without something beside it: directly to its address, and through each kind of frontend. */
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {Worker} from 'node:worker_threads';
import type {BenchGateway} from '../bench-gateway.ts';
import {httpQuestion, type Server, timedAnswer} from '../client.ts';
import type {Panel} from '../paging/plot/panel.ts';
import type {Samples} from '../paging/samples.ts';
import type {PartContext, PartReport} from '../parts.ts';
import {spread, spreadSeries} from '../spread.ts';
import type {Goal} from '../suite.ts';
import {fixed} from '../table.ts';
import type {SteadyOrder, SteadyResult} from './steady-thread.ts';
import {awakeApp, type StormPlan} from './storm-apps.ts';

const intervalMs = 10;
const calmMs = 4000;
/** Connections are open and code is compiled then. */
const warmMs = 1000;
const goalFactor = 2;

const paths = ['direct', 'mode nat', 'mode tcp', 'mode http'] as const;
type Path = (typeof paths)[number];
const colours = {direct: '#666666', 'mode nat': '#0072b2', 'mode tcp': '#009e73', 'mode http': '#d55e00'} as const satisfies Record<Path, string>;

export class SteadyTraffic {
  readonly #servers: Readonly<Record<Path, Server>>;

  private constructor(servers: Readonly<Record<Path, Server>>) {
    this.#servers = servers;
  }

  /** Wakes the app, which stays awake. */
  static async start(gateway: BenchGateway, {awakePorts}: StormPlan): Promise<SteadyTraffic> {
    const local = (port: number): Server => ({host: '127.0.0.1', port});
    await timedAnswer(awakePorts.tcp, httpQuestion);
    const direct = {host: await gateway.address(awakeApp), port: 80};
    return new SteadyTraffic({direct, 'mode nat': local(awakePorts.nat), 'mode tcp': local(awakePorts.tcp), 'mode http': local(awakePorts.http)});
  }

  /** Traffic alone, then with `storm` beside it. */
  async beside({record, signal}: PartContext, {name, round}: {readonly name: string; readonly round: number}, storm: () => Promise<void>): Promise<void> {
    const measure = async (when: When, during: () => Promise<void>): Promise<void> => {
      const found = await this.#during(during);
      for (const path of paths) {
        const {timesMs, failures, skipped} = found[path];
        record({case: caseName(name, path, when), round, values: {...spread(timesMs), failures, skipped}});
      }
    };
    await this.#during(() => sleep(warmMs, undefined, {signal}));
    await measure('calm', () => sleep(calmMs, undefined, {signal}));
    await measure('storm', storm);
  }

  async #during(work: () => Promise<void>): Promise<Record<Path, SteadyResult>> {
    await using threads = new AsyncDisposableStack();
    const start = (path: Path): Worker => {
      const workerData: SteadyOrder = {server: this.#servers[path], intervalMs};
      const worker = new Worker(new URL('./steady-thread.ts', import.meta.url), {workerData});
      threads.defer(() => worker.terminate().then(() => undefined));
      return worker;
    };
    const workers = {direct: start('direct'), 'mode nat': start('mode nat'), 'mode tcp': start('mode tcp'), 'mode http': start('mode http')};
    await work();
    const result = async (path: Path): Promise<SteadyResult> => {
      workers[path].postMessage('stop');
      const [found] = (await once(workers[path], 'message')) as [SteadyResult];
      return found;
    };
    const [direct, nat, tcp, http] = await Promise.all([result('direct'), result('mode nat'), result('mode tcp'), result('mode http')]);
    return {direct, 'mode nat': nat, 'mode tcp': tcp, 'mode http': http};
  }
}

type When = 'calm' | 'storm';

function caseName(name: string, path: Path, when: When): string {
  return `traffic to an awake nginx, ${path}, ${when === 'calm' ? 'nothing beside it' : name}`;
}

/** @param name of what was beside the traffic */
export function trafficReport(samples: Samples, name: string): PartReport {
  const found = (path: Path, when: When, field: string): number => samples.median(caseName(name, path, when), field);
  const all = (path: Path, field: string): number =>
    (['calm', 'storm'] as const).flatMap((when) => samples.values(caseName(name, path, when), field)).reduce((sum, count) => sum + count, 0);
  const ratio = (path: Path): number => found(path, 'storm', 'p99Ms') / found(path, 'calm', 'p99Ms');
  const rows = paths.map((path) => [
    path,
    ...(['calm', 'storm'] as const).flatMap((when) => ['p50Ms', 'p99Ms', 'p100Ms'].map((field) => fixed(found(path, when, field), 2))),
    fixed(ratio(path), 1),
    String(all(path, 'failures')),
    String(all(path, 'skipped')),
  ]);
  const goals = paths
    .filter((path) => path !== 'direct')
    .map((path): Goal => {
      const factor = ratio(path);
      const met = Number.isNaN(factor) ? null : factor <= goalFactor;
      return {what: `p99 of awake traffic, ${path}, ${name}`, goal: `${goalFactor} x alone`, found: fixed(factor, 1), met};
    });
  const series = paths.flatMap((path) =>
    (['calm', 'storm'] as const).map((when) =>
      spreadSeries(samples, caseName(name, path, when), {
        name: `${path}, ${when === 'calm' ? 'nothing beside it' : 'beside it'}`,
        colour: colours[path],
        dashed: when === 'calm',
      }),
    ),
  );
  const panel: Panel = {
    title: `traffic to an awake nginx: ${name}`,
    x: {label: 'percentile', scale: 'linear', show: String},
    y: {label: 'request to answer (ms)', scale: 'log10', show: String},
    series,
  };
  return {
    tables: [
      {
        title: `Traffic to an awake nginx, ${1000 / intervalMs} requests/s on each way, milliseconds; ${name}`,
        head: ['', 'p50 alone', 'p99', 'slowest', 'p50 beside', 'p99', 'slowest', 'p99, ratio', 'failed', 'not asked'],
        rows,
      },
    ],
    goals,
    panels: [panel],
  };
}
