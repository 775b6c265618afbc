/** What a connection costs in memory that has carried something and then says nothing. */
import {once} from 'node:events';
import {connect, createServer, type Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {connect as connectTls} from 'node:tls';
import {assert, errorMessage} from '../../src/core/errors.ts';
import {httpQuestion} from '../client.ts';
import {limitGoal} from '../paging/goal.ts';
import type {Samples} from '../paging/samples.ts';
import {treeMemory} from '../process-tree.ts';
import {bytes} from '../table.ts';
import {type EdgeBench, type EdgePart, inTurns} from './edge-bench.ts';
import type {Address} from './load.ts';
import {startNginx} from './peers.ts';
import {type Contender, type Service, startHaproxy, startOrigin, startPicogate} from './programs.ts';
import {upgradeAnswer, upgradeQuestion} from './websocket-load.ts';

const connectionCount = 9000;
/** So many are being opened at a time. */
const atATime = 100;
/** After this what was needed only for opening is given back. */
const settleMs = 5000;
const goalBytes = 8000;

const starts = {Picogate: startPicogate, HAProxy: startHaproxy, nginx: startNginx} as const;
type Name = keyof typeof starts;
const names = ['Picogate', 'HAProxy', 'nginx'] as const satisfies readonly Name[];

const services = {tcp: 'mode tcp', http: 'mode http', tls: 'TLS', websocket: 'WebSocket'} as const satisfies Partial<Record<Service, string>>;
type IdleService = keyof typeof services;

interface Idle {
  readonly service: IdleService;
  readonly name: Name;
}

const idles: readonly Idle[] = (['tcp', 'http', 'tls', 'websocket'] as const).flatMap((service) => names.map((name) => ({service, name})));

function caseName({service, name}: Idle): string {
  return `${services[service]}, idle connection, ${name}`;
}

/** Each has carried a request and its answer. @throws Error when one cannot be had */
async function openConnections({host, port, tls}: Address, {count, question}: {readonly count: number; readonly question: string}): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const open = async (): Promise<void> => {
    while (sockets.length < count) {
      const socket = tls ? connectTls({port, host, rejectUnauthorized: false}) : connect({port, host});
      sockets.push(socket);
      socket.write(question);
      await once(socket, 'data');
      socket.pause();
    }
  };
  await Promise.all(Array.from({length: atATime}, open));
  return sockets;
}

/** Agrees to every WebSocket, and says nothing more. */
async function startSilentServer(): Promise<{readonly address: string} & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('data', () => socket.write(upgradeAnswer));
    socket.on('error', () => undefined); // The proxy has ended.
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen({host: '127.0.0.1', port: 0, backlog: 4096});
  await once(server, 'listening');
  const bound = server.address();
  assert(typeof bound === 'object' && bound !== null, 'A server that listens has an address');
  return {
    address: `127.0.0.1:${bound.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function residentBytes({pid}: Contender): Promise<number> {
  assert(pid !== null, 'It is a process');
  return (await treeMemory(pid)).reduce((sum, process) => sum + process.residentBytes, 0);
}

async function measure(idle: Idle, round: number, {directory, record, signal}: EdgeBench): Promise<void> {
  await using origin = await startOrigin(directory);
  await using silent = await startSilentServer();
  await using proxy = await starts[idle.name]({directory, origin: origin.address, echo: silent.address});
  const address = proxy.at[idle.service];
  assert(address !== undefined, 'Each of them has all services');
  const question = idle.service === 'websocket' ? upgradeQuestion : httpQuestion.text;
  // What the first connections need stays: code, and buffers.
  for (const socket of await openConnections(address, {count: atATime, question})) socket.destroy();
  await sleep(settleMs, undefined, {signal});
  const before = await residentBytes(proxy);
  const sockets = await openConnections(address, {count: connectionCount, question});
  try {
    await sleep(settleMs, undefined, {signal});
    record({case: caseName(idle), round, values: {bytesPerConnection: ((await residentBytes(proxy)) - before) / connectionCount, processBytes: before}});
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function row(samples: Samples, service: IdleService): readonly string[] {
  const figures = (value: string): string[] => names.map((name) => bytes(samples.median(caseName({service, name}), value)));
  return [services[service], ...figures('bytesPerConnection'), ...figures('processBytes')];
}

export const idleConnectionsPart: EdgePart = {
  name: 'memory',
  summary: `memory of ${connectionCount} connections that say nothing`,
  async run(bench) {
    // A process is started for each figure, which hardly differs from round to round.
    const rounds = Math.ceil(bench.rounds / 3);
    await inTurns({...bench, rounds}, idles, async (idle, round) => {
      bench.progress(`${caseName(idle)}: ${connectionCount}`);
      try {
        await measure(idle, round, bench);
      } catch (error) {
        bench.signal.throwIfAborted();
        bench.record({case: caseName(idle), round, values: {}, error: errorMessage(error)});
      }
    });
  },
  report: (samples) => ({
    table: {
      title: `Memory: ${connectionCount} idle connections`,
      head: ['median', ...names.map((name) => `${name}, each`), ...names.map((name) => `${name}, without`)],
      rows: (['tcp', 'http', 'tls', 'websocket'] as const).map((service) => row(samples, service)),
    },
    goals: [
      limitGoal(
        'mode tcp, memory per idle connection',
        samples.median(caseName({service: 'tcp', name: 'Picogate'}), 'bytesPerConnection'),
        {atMost: goalBytes},
        (value) => `${Math.round(value)} bytes`,
      ),
    ],
  }),
};
