/** How many apps that sleep fit into a given memory, and what that saves against running all of them. */

import {freePort} from '../../test/helpers/gateway.ts';
import {timedAnswer} from '../client.ts';
import type {Samples} from '../paging/samples.ts';
import type {Part, PartContext, PartReport} from '../parts.ts';
import {gatewayPattern, kernelBytes} from '../process-tree.ts';
import {appAt} from '../scale/scale-apps.ts';
import {hibernatedHost, question} from '../scale/scale-host.ts';
import {bytes, fixed} from '../table.ts';
import {appMemory} from './app-memory.ts';

/** What an app takes is the difference to so many: then as many wakes are prepared as may be. */
const baseCount = 100;
const counts = {quick: 1000, usual: 5000} as const;
const givenBytes = 2 ** 30;
const settled = {share: 0.02, timeoutMs: 120_000} as const;

const sleeping = (count: number): string => `${count} apps that sleep`;
const awakeCase = 'one of them awake';
const fitCase = 'asleep, as many as fit';

async function run(context: PartContext): Promise<void> {
  const {rounds, quick, record} = context;
  for (let round = 1; round <= rounds; round++) {
    const count = counts[quick ? 'quick' : 'usual'];
    const base = await measure(context, baseCount, round);
    const all = await measure(context, count, round);
    const eachBytes = (all - base) / (count - baseCount);
    record({case: fitCase, round, values: {count, allBytes: all, eachBytes, fit: baseCount + Math.floor((givenBytes - base) / eachBytes)}});
  }
}

/** @returns all memory of the gateway, restores that are prepared included */
async function measure({signal, progress, record}: PartContext, count: number, round: number): Promise<number> {
  progress(sleeping(count));
  const port = await freePort();
  await using host = await hibernatedHost(signal, {count, ports: [port]});
  const kernelBefore = await kernelBytes();
  await using gateway = await host.start();
  await gateway.untilSettled(settled);
  const processes = await gateway.memory();
  const kernel = (await kernelBytes()) - kernelBefore;
  const sum = (of: typeof processes): number => of.reduce((total, process) => total + process.proportionalBytes, 0);
  const own = sum(processes.filter(({name}) => gatewayPattern.test(name)));
  const values = {gatewayBytes: own, preparedBytes: sum(processes) - own, kernelBytes: kernel};
  record({case: sleeping(count), round, values});
  await timedAnswer(port, question);
  const {pssBytes, kernelBytes: ofGroup} = await appMemory(await gateway.control('show', {name: appAt(0)}));
  record({case: awakeCase, round, values: {pssBytes, kernelBytes: ofGroup}});
  return sum(processes);
}

function report(samples: Samples): PartReport {
  const count = samples.median(fitCase, 'count');
  const rows = [baseCount, count].map((one) => [
    sleeping(one),
    ...['gatewayBytes', 'preparedBytes', 'kernelBytes'].map((field) => bytes(samples.median(sleeping(one), field))),
  ]);
  const [each, all] = [samples.median(fitCase, 'eachBytes'), samples.median(fitCase, 'allBytes')];
  const awakeBytes = samples.median(awakeCase, 'pssBytes') + samples.median(awakeCase, 'kernelBytes');
  const running = awakeBytes * count;
  return {
    tables: [
      {
        title: 'Apps that sleep (Python, 1 MB): memory of the gateway, of restores that are prepared, and of the kernel',
        head: ['', 'gateway', 'prepared', 'kernel'],
        rows,
      },
      {
        title: `Against running all ${fixed(count, 0)}`,
        head: ['', ''],
        rows: [
          ['each that sleeps', bytes(each)],
          [`fit into ${bytes(givenBytes)}`, fixed(samples.median(fitCase, 'fit'), 0)],
          ['all of them asleep', bytes(all)],
          ['one of them awake, woken', bytes(awakeBytes)],
          ['all of them awake, by that', bytes(running)],
          ['saved', `${fixed((1 - all / running) * 100)} %`],
        ],
      },
    ],
    goals: [],
    notes: [
      'Apps that sleep were given the checkpoint of one that ran; each can be woken. Kernel: the whole host, so other work is in it; not counted in what each takes.',
    ],
  };
}

export const asleepPart: Part = {name: 'asleep', summary: 'memory of apps that sleep, how many fit, and what that saves', run, report};
