/** Connections that are opened without a pause while the configuration is loaded again and again: none may fail. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {askSocket} from '../../test/admin/stats-client.ts';
import {httpQuestion, timedAnswer} from '../client.ts';
import {limitGoal} from '../paging/goal.ts';
import {fixed} from '../table.ts';
import {type EdgePart, inTurns} from './edge-bench.ts';
import {picogateProgram, proxyConfiguration, proxyPorts, startOrigin, startServer} from './programs.ts';

const caseName = 'reload under load';
const reloadCount = 4;
const clients = 16;
/** Between two reloads, so that each falls into traffic of its own generation. */
const connectionsPerReload = 500;

interface Traffic {
  connections: number;
  errors: number;
}

/** Opens connections, each with one request, until `isOver`. */
async function openConnections(port: number, traffic: Traffic, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await timedAnswer(port, httpQuestion).catch(() => {
      traffic.errors++;
    });
    traffic.connections++;
  }
}

async function reloadUnderLoad(port: number, master: string): Promise<{traffic: Traffic; reloadMs: number}> {
  const traffic: Traffic = {connections: 0, errors: 0};
  let isOver = false;
  const clientsDone = Array.from({length: clients}, () => openConnections(port, traffic, () => isOver));
  let reloadMs = 0;
  try {
    for (let reload = 1; reload <= reloadCount; reload++) {
      while (traffic.connections < reload * connectionsPerReload) await new Promise((resolve) => setTimeout(resolve, 1));
      const startedMs = performance.now();
      const answer = await askSocket(master, 'reload\n');
      if (!answer.startsWith('Success=1')) throw new Error(`a reload failed: ${answer}`);
      reloadMs += (performance.now() - startedMs) / reloadCount;
    }
    while (traffic.connections < (reloadCount + 1) * connectionsPerReload) await new Promise((resolve) => setTimeout(resolve, 1));
  } finally {
    isOver = true;
    await Promise.all(clientsDone);
  }
  return {traffic, reloadMs};
}

export const reloadsPart: EdgePart = {
  name: 'reload',
  summary: `${reloadCount} reloads while connections are opened`,
  async run(bench) {
    const {directory, record, progress} = bench;
    progress(caseName);
    await using origin = await startOrigin(directory);
    const ports = await proxyPorts();
    const port = ports.tcp;
    const file = join(directory, 'reload.cfg');
    const master = join(directory, 'master.sock');
    await writeFile(file, proxyConfiguration({ports, origin: origin.address, echo: null, certificate: null}));
    await using _server = await startServer([picogateProgram, '-db', '-f', file, '-S', master], port);
    await inTurns(bench, [port], async (_port, round) => {
      const {traffic, reloadMs} = await reloadUnderLoad(port, master);
      record({case: caseName, round, values: {...traffic, reloadMs}});
    });
  },
  report(samples) {
    const sum = (value: string): number => samples.values(caseName, value).reduce((total, one) => total + one, 0);
    const errors = samples.has(caseName) ? sum('errors') : Number.NaN;
    return {
      table: {
        title: `Reload: ${reloadCount} in each round, ${clients} clients that open connections`,
        head: ['all rounds', 'connections', 'errors', 'a reload, ms'],
        rows: [[caseName, fixed(sum('connections'), 0), fixed(errors, 0), fixed(samples.median(caseName, 'reloadMs'))]],
      },
      goals: [limitGoal(`${caseName}: errors`, errors, {atMost: 0}, (value) => fixed(value, 0))],
    };
  },
};
