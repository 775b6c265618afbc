/** Datagrams per second through `mode udp` and through the stream module of nginx, in turns, and what an idle session costs in memory. */
import {freePort} from '../../test/helpers/gateway.ts';
import type {ProcessMemory} from '../process-tree.ts';
import {median} from '../statistics.ts';
import type {Goal, Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {fixed, type Table} from '../table.ts';
import {startNginxStream} from './nginx-stream.ts';
import {type PlainGateway, startPlainGateway} from './plain-gateway.ts';
import {openUdpPeers, type UdpPeers} from './udp-load.ts';

const proxies = ['nginx stream', 'mode udp'] as const;
type ProxyName = (typeof proxies)[number];

interface Proxy {
  readonly name: ProxyName;
  readonly port: number;
  readonly memory: () => Promise<ProcessMemory[]>;
}

const cases = [
  {sessions: 1, window: 1},
  {sessions: 1, window: 64},
  {sessions: 64, window: 1},
  {sessions: 64, window: 16},
  {sessions: 1000, window: 1},
] as const;
const durationMs = 2000;
const memoryLoad = {sessions: 1000, window: 1, durationMs: 500} as const;
const goalRatio = 0.8;

export const udpSuite: Suite = {
  name: 'udp',
  summary: 'datagrams per second through mode udp and through the stream module of nginx',
  defaultRounds: 5,
  quickRounds: 2,
  run,
};

const caseName = (proxy: ProxyName, {sessions, window}: {readonly sessions: number; readonly window: number}): string =>
  `${proxy}, ${sessions} sessions, ${window} on their way`;
const memoryCase = (proxy: ProxyName): string => `${proxy}, memory of a session`;

async function run(context: SuiteContext): Promise<Report> {
  const samples: Sample[] = [];
  const record = (sample: Sample): void => {
    samples.push(sample);
    context.record(sample);
  };
  await using scope = new AsyncDisposableStack();
  const peers = scope.use(openUdpPeers());
  const ports = {nginx: await freePort(), gateway: await freePort()};
  const nginx = scope.use(await startNginxStream({listen: ports.nginx, server: peers.port}));
  const gateway = scope.use(await startPlainGateway(configuration(ports.gateway, peers.port), context.signal));
  const measured: readonly Proxy[] = [
    {name: 'nginx stream', port: ports.nginx, memory: () => nginx.memory()},
    {name: 'mode udp', port: ports.gateway, memory: () => gateway.memory()},
  ];
  await measureMemory({context, record, peers, measured, gateway});
  for (let round = 1; round <= context.rounds; round++) await measureRound({context, record, peers, measured, gateway, round});
  return report(samples);
}

function configuration(port: number, server: number): string {
  return `frontend udp
    mode udp
    bind 127.0.0.1:${port}
    maxconn 20000
    timeout client 1m
    default_backend udp
backend udp
    mode udp
    timeout server 1m
    server s 127.0.0.1:${server}
`;
}

interface Measuring {
  readonly context: SuiteContext;
  readonly record: (sample: Sample) => void;
  readonly peers: UdpPeers;
  readonly measured: readonly Proxy[];
  readonly gateway: PlainGateway;
}

async function measureRound({context, record, peers, measured, gateway, round}: Measuring & {readonly round: number}): Promise<void> {
  context.progress(`round ${round} of ${context.rounds}`);
  for (const [index, shape] of cases.entries()) {
    // Clients of one address may have so many sessions only: each case has an address of its own.
    const source = `127.1.${round}.${index + 1}`;
    for (const {name, port} of round % 2 === 0 ? measured : measured.toReversed()) {
      context.signal.throwIfAborted();
      await gateway.untilQuiet();
      const {roundTripsPerSecond, resent} = peers.measure({...shape, port, source, durationMs});
      record({case: caseName(name, shape), round, values: {roundTripsPerSecond, resent}});
    }
  }
}

async function measureMemory({context, record, peers, measured, gateway}: Measuring): Promise<void> {
  context.progress('memory of sessions');
  const addresses = 8;
  for (const {name, port, memory} of measured) {
    // What a process needs for its first datagrams is not counted.
    peers.measure({...memoryLoad, sessions: 1, window: 64, port, source: '127.2.0.254'});
    await gateway.untilQuiet();
    const before = residentBytes(await memory());
    for (let address = 1; address <= addresses; address++) {
      context.signal.throwIfAborted();
      peers.measure({...memoryLoad, port, source: `127.2.0.${address}`});
    }
    await gateway.untilQuiet();
    const bytesPerSession = (residentBytes(await memory()) - before) / (memoryLoad.sessions * addresses);
    record({case: memoryCase(name), round: 1, values: {bytesPerSession}});
  }
}

function residentBytes(processes: readonly ProcessMemory[]): number {
  return processes.reduce((sum, {residentBytes: bytes}) => sum + bytes, 0);
}

function report(samples: readonly Sample[]): Report {
  const values = (name: string, value: string): number[] =>
    samples.filter((sample) => sample.case === name).flatMap((sample) => (sample.values[value] === undefined ? [] : [sample.values[value]]));
  const rates = cases.map((shape) => {
    const [nginx = [], udp = []] = proxies.map((proxy) => values(caseName(proxy, shape), 'roundTripsPerSecond'));
    // Of one round, so that what slows the machine down for a while slows both.
    const ratio = median(udp.map((rate, round) => rate / (nginx[round] ?? Number.NaN)));
    return {shape, nginx: median(nginx), udp: median(udp), ratio};
  });
  const table: Table = {
    title: 'Datagrams of 100 bytes: round trips per second, medians; ratio of the same round',
    head: ['case', 'nginx stream', 'mode udp', 'ratio'],
    rows: rates.map(({shape: {sessions, window}, nginx, udp, ratio}) => [
      `${sessions} sessions, ${window} on their way`,
      fixed(nginx, 0),
      fixed(udp, 0),
      fixed(ratio, 2),
    ]),
  };
  const memory: Table = {
    title: 'Resident memory of an idle session: bytes, without what the kernel needs',
    head: ['proxy', 'bytes'],
    rows: proxies.map((proxy) => [proxy, fixed(median(values(memoryCase(proxy), 'bytesPerSession')), 0)]),
  };
  const lowest = Math.min(...rates.map(({ratio}) => ratio));
  const goal: Goal = {what: 'mode udp, ratio to nginx stream, lowest', goal: `${goalRatio} or more`, found: fixed(lowest, 2), met: lowest >= goalRatio};
  return {tables: [table, memory], goals: [goal]};
}
