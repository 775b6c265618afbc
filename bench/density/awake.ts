/** How many apps that are awake fit into a given memory: derived from what a few of them take, and shown by as many as were derived. */
import {limited} from '../../src/core/limited.ts';
import {startBenchGateway} from '../bench-gateway.ts';
import {timedAnswer} from '../client.ts';
import type {Samples} from '../paging/samples.ts';
import type {Part, PartContext, PartReport} from '../parts.ts';
import {median} from '../statistics.ts';
import {bytes, fixed} from '../table.ts';
import {appMemory} from './app-memory.ts';
import {type Kind, kinds, planDensity} from './density-apps.ts';

const fewApps = 5;
const givenBytes = {quick: 2 ** 28, usual: 2 ** 30} as const;
const mostApps = {quick: 40, usual: 200} as const;
const atATime = 2;
const startTimeoutMs = 60_000;

const caseOf = (kind: Kind, what: 'each of a few' | 'as many as fit'): string => `${kind}, awake, ${what}`;

async function run(context: PartContext): Promise<void> {
  const {rounds, quick, record, signal} = context;
  const [given, most] = [givenBytes[quick ? 'quick' : 'usual'], mostApps[quick ? 'quick' : 'usual']];
  for (let round = 1; round <= rounds; round++) {
    for (const kind of kinds) {
      signal.throwIfAborted();
      const few = await measure(context, kind, fewApps);
      const eachBytes = median(few);
      record({case: caseOf(kind, 'each of a few'), round, values: {eachBytes}});
      const fit = Math.floor(given / eachBytes);
      const count = Math.min(fit, most);
      const all = await measure(context, kind, count);
      const totalBytes = all.reduce((sum, one) => sum + one, 0);
      record({case: caseOf(kind, 'as many as fit'), round, values: {givenBytes: given, fit, count, totalBytes, derivedBytes: count * eachBytes}});
    }
  }
}

/** @returns what each takes: its processes, and the kernel for them */
async function measure({signal, progress, record}: PartContext, kind: Kind, count: number): Promise<number[]> {
  progress(`${count} times ${kind}`);
  const plan = await planDensity(kind, count);
  await using gateway = await startBenchGateway({signal, configure: plan.configure});
  await limited(plan.apps, atATime, async ({port, question}) => {
    signal.throwIfAborted();
    await timedAnswer(port, question, startTimeoutMs);
  });
  return await limited(plan.apps, atATime, async ({name}, at) => {
    const {pssBytes, kernelBytes, groupBytes} = await appMemory(await gateway.control('show', {name}));
    record({case: `${kind}, one of ${count} awake`, round: at + 1, values: {pssBytes, kernelBytes, groupBytes}});
    return pssBytes + kernelBytes;
  });
}

function report(samples: Samples): PartReport {
  const rows = kinds.map((kind) => {
    const few = `${kind}, one of ${fewApps} awake`;
    const fits = caseOf(kind, 'as many as fit');
    const [count, total, derived] = ['count', 'totalBytes', 'derivedBytes'].map((field) => samples.median(fits, field)) as [number, number, number];
    return [
      kind,
      ...['pssBytes', 'kernelBytes', 'groupBytes'].map((field) => bytes(samples.median(few, field))),
      fixed(samples.median(fits, 'fit'), 0),
      fixed(count, 0),
      bytes(derived),
      bytes(total),
    ];
  });
  const given = samples.median(caseOf(kinds[0], 'as many as fit'), 'givenBytes');
  return {
    tables: [
      {
        title: `Apps that are awake: memory of each, how many fit into ${bytes(given)} by that, and what so many took`,
        head: ['', 'processes (Pss)', 'kernel', 'control group', 'fit', 'started', 'derived', 'measured'],
        rows,
      },
    ],
    goals: [],
    notes: ['Pss of few apps is more than of many: libraries and programs are shared by all of one root file system.'],
  };
}

export const awakePart: Part = {name: 'awake', summary: 'memory of nginx, redis and Python that are awake, and how many fit', run, report};
