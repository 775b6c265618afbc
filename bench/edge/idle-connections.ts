/** What a connection costs in memory that is relayed and then says nothing. */
import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {httpQuestion} from '../client.ts';
import {limitGoal} from '../paging/goal.ts';
import type {Samples} from '../paging/samples.ts';
import {treeMemory} from '../process-tree.ts';
import {bytes} from '../table.ts';
import {type EdgeBench, type EdgePart, inTurns} from './edge-bench.ts';
import {type Contender, startHaproxy, startOrigin, startPicogate} from './programs.ts';

const connectionCount = 9000;
/** So many are being opened at a time. */
const atATime = 100;
/** After this what was needed only for opening is given back. */
const settleMs = 5000;
const goalBytes = 10 * 1024;

const starts = {Picogate: startPicogate, HAProxy: startHaproxy} as const;
type Name = keyof typeof starts;

function caseName(name: Name): string {
  return `mode tcp, idle connection, ${name}`;
}

/** Each has carried a request and its answer. @throws Error when one cannot be had */
async function openConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const open = async (): Promise<void> => {
    while (sockets.length < count) {
      const socket = connect({port, host: '127.0.0.1'});
      sockets.push(socket);
      socket.write(httpQuestion.text);
      await once(socket, 'data');
      socket.pause();
    }
  };
  await Promise.all(Array.from({length: atATime}, open));
  return sockets;
}

async function residentBytes({pid}: Contender): Promise<number> {
  return (await treeMemory(pid)).reduce((sum, process) => sum + process.residentBytes, 0);
}

async function measure(name: Name, round: number, {directory, record, signal}: EdgeBench): Promise<void> {
  await using origin = await startOrigin(directory);
  await using proxy = await starts[name]({directory, originPort: origin.port});
  // What the first connections need stays: code, and buffers.
  for (const socket of await openConnections(proxy.port.tcp, atATime)) socket.destroy();
  await sleep(settleMs, undefined, {signal});
  const before = await residentBytes(proxy);
  const sockets = await openConnections(proxy.port.tcp, connectionCount);
  try {
    await sleep(settleMs, undefined, {signal});
    record({case: caseName(name), round, values: {bytesPerConnection: ((await residentBytes(proxy)) - before) / connectionCount, processBytes: before}});
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function row(samples: Samples, name: Name): readonly string[] {
  return [name, bytes(samples.median(caseName(name), 'bytesPerConnection')), bytes(samples.median(caseName(name), 'processBytes'))];
}

export const idleConnectionsPart: EdgePart = {
  name: 'memory',
  summary: `memory of ${connectionCount} connections that say nothing`,
  async run(bench) {
    bench.progress(`${connectionCount} idle connections`);
    await inTurns(bench, ['Picogate', 'HAProxy'] as const, (name, round) => measure(name, round, bench));
  },
  report: (samples) => ({
    table: {
      title: `Memory: ${connectionCount} idle connections of mode tcp`,
      head: ['median', 'per connection', 'without'],
      rows: [row(samples, 'Picogate'), row(samples, 'HAProxy')],
    },
    goals: [limitGoal('mode tcp, memory per idle connection', samples.median(caseName('Picogate'), 'bytesPerConnection'), {atMost: goalBytes}, bytes)],
  }),
};
