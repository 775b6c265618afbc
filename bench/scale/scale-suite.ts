/** What it costs to have many apps that sleep: the start of the gateway, memory, an idle processor; and fifty of them wanted at once. */
import {availableParallelism} from 'node:os';
import {freePort} from '../../test/helpers/gateway.ts';
import {timedAnswer} from '../client.ts';
import {gatewayPattern, kernelBytes} from '../process-tree.ts';
import {median} from '../statistics.ts';
import type {Goal, Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {fixed, nothing, type Table} from '../table.ts';
import {appAt} from './scale-apps.ts';
import type {ScaleGateway} from './scale-gateway.ts';
import {hibernatedHost, question, scaleHost} from './scale-host.ts';

const parts = ['never-run', 'hibernated', 'together'] as const;
const counts = {quick: [1000], usual: [1000, 10_000]} as const;
const goalOf = (count: number): number => (count <= 1000 ? 5000 : 10_000);
/** What an app costs is the difference to so many: then as many wakes are prepared as may be. */
const baseCount = 100;
const goalBytes = 20 * 1024;
const goalShare = 0.01;
const idleMs = 10_000;
/** Until then, what follows the start in the background has to be done. */
const settled = {share: 0.02, timeoutMs: 300_000} as const;
const togetherCount = 50;
const togetherApps = 1000;

export const scaleSuite: Suite = {
  name: 'scale',
  summary: 'start-up, memory and idle processor of a gateway with 1,000 and 10,000 sleeping apps; 50 woken at once',
  defaultRounds: 1,
  parts,
  run,
};

interface Measuring {
  readonly context: SuiteContext;
  readonly record: (sample: Sample) => void;
}

async function run(context: SuiteContext): Promise<Report> {
  const samples: Sample[] = [];
  const record = (sample: Sample): void => {
    samples.push(sample);
    context.record(sample);
  };
  const wants = (part: (typeof parts)[number]): boolean => context.only.length === 0 || context.only.includes(part);
  const measuring = {context, record};
  for (let round = 1; round <= context.rounds; round++) {
    for (const count of [baseCount, ...counts[context.quick ? 'quick' : 'usual']]) {
      if (wants('never-run')) await measureNeverRun(measuring, count, round);
      if (wants('hibernated')) await measureHibernated(measuring, count, round);
    }
    if (wants('together')) await measureTogether(measuring, round);
  }
  return report(samples);
}

const caseName = (kind: string, count: number): string => `${count} apps, ${kind}`;

async function measureNeverRun({context, record}: Measuring, count: number, round: number): Promise<void> {
  context.progress(caseName('never run', count));
  await using host = await scaleHost({count, ports: [], signal: context.signal});
  const kernelBefore = await kernelBytes();
  await using gateway = await host.start();
  record({case: caseName('never run', count), round, values: await measureIdle(gateway, kernelBefore)});
}

async function measureHibernated({context, record}: Measuring, count: number, round: number): Promise<void> {
  context.progress(`${caseName('hibernated', count)}: checkpoints`);
  await using host = await hibernatedHost(context.signal, {count, ports: []});
  for (const kind of ['hibernated, Redis lost', 'hibernated'] as const) {
    context.progress(caseName(kind, count));
    const kernelBefore = await kernelBytes();
    await using gateway = await host.start();
    record({case: caseName(kind, count), round, values: await measureIdle(gateway, kernelBefore)});
  }
}

async function measureIdle(gateway: ScaleGateway, kernelBefore: number): Promise<Record<string, number>> {
  const settledMs = await gateway.untilSettled(settled);
  const idleShare = await gateway.cpuShare(idleMs);
  const processes = await gateway.memory();
  // Restores that are prepared are processes too, and as many as there may be of them.
  const own = processes.filter(({name}) => gatewayPattern.test(name));
  const sum = (of: typeof processes): number => of.reduce((total, process) => total + process.proportionalBytes, 0);
  return {
    readyMs: gateway.readyMs,
    settledMs: settledMs ?? Number.NaN,
    idleShare,
    ownBytes: sum(own),
    allBytes: sum(processes),
    kernelBytes: (await kernelBytes()) - kernelBefore,
  };
}

const aloneCase = 'one app woken alone';
const togetherCase = `${togetherCount} apps woken at once, the last answer`;
const aloneRounds = 10;
const togetherRounds = 3;

/** Each is woken once before, so that all have learned what a wake needs. */
async function measureTogether({context, record}: Measuring, round: number): Promise<void> {
  const {progress} = context;
  progress(`${togetherCount} of ${togetherApps} apps: preparation`);
  const ports: number[] = [];
  for (let index = 0; index < togetherCount; index++) ports.push(await freePort());
  await using host = await hibernatedHost(context.signal, {count: togetherApps, ports});
  await using gateway = await host.start();
  const putAllToSleep = async (): Promise<void> => {
    for (const index of ports.keys()) await gateway.hibernate(appAt(index));
    await gateway.untilSettled(settled);
  };
  const [first] = ports;
  if (first === undefined) return;
  for (const port of ports) await timedAnswer(port, question);
  await putAllToSleep();
  for (let alone = 1; alone <= aloneRounds; alone++) {
    progress(`wake ${alone} of one`);
    const {answerMs} = await timedAnswer(first, question);
    record({case: aloneCase, round: (round - 1) * aloneRounds + alone, values: {answerMs}});
    await gateway.hibernate(appAt(0));
    await gateway.untilSettled(settled);
  }
  for (let together = 1; together <= togetherRounds; together++) {
    progress(`wake ${together} of ${togetherCount}`);
    const answers = await Promise.all(ports.map(async (port) => (await timedAnswer(port, question, 60_000)).answerMs));
    record({
      case: togetherCase,
      round: (round - 1) * togetherRounds + together,
      values: {answerMs: Math.max(...answers), medianMs: median(answers)},
    });
    await putAllToSleep();
  }
}

function report(samples: readonly Sample[]): Report {
  const value = (name: string, field: string): number => median(samples.filter((sample) => sample.case === name).flatMap(({values}) => values[field] ?? []));
  const found = [...new Set(samples.filter(({values}) => values['readyMs'] !== undefined).map((sample) => sample.case))];
  const perApp = (name: string, field: string): number => {
    const [, count, kind] = /^(\d+) apps, (.*)$/.exec(name) ?? [];
    return Number(count) === baseCount ? Number.NaN : (value(name, field) - value(caseName(kind ?? '', baseCount), field)) / (Number(count) - baseCount);
  };
  const rows = found.map((name) => [
    name,
    fixed(value(name, 'readyMs') / 1000, 2),
    fixed(value(name, 'settledMs') / 1000, 1),
    fixed(value(name, 'idleShare') * 100, 2),
    fixed(value(name, 'ownBytes') / 2 ** 20),
    fixed(perApp(name, 'ownBytes') / 1024),
    fixed((value(name, 'allBytes') - value(name, 'ownBytes')) / 2 ** 20),
    fixed(perApp(name, 'kernelBytes') / 1024),
  ]);
  const start: Table = {
    title: 'A gateway whose apps sleep. Memory is proportional (Pss), that of each above 100 apps; prepared wakes (CRIU, keepers) apart',
    head: ['', 'ready s', 'all done s', 'idle %', 'gateway MiB', 'each KiB', 'prepared MiB', 'kernel, each KiB'],
    rows,
  };
  const [alone, all] = [value(aloneCase, 'answerMs'), value(togetherCase, 'answerMs')];
  const limit = ((alone * togetherCount) / availableParallelism()) * 1.2;
  const together: Table = {
    title: 'Wakes, from connect() to the answer, milliseconds',
    head: ['', 'median'],
    rows: [
      [aloneCase, fixed(alone)],
      [togetherCase, fixed(all)],
    ],
  };
  return {
    tables: [...(rows.length === 0 ? [] : [start]), ...(Number.isNaN(all) ? [] : [together])],
    goals: [
      ...found.filter((name) => !name.startsWith(`${baseCount} apps`)).flatMap((name) => goals(name, {value, perApp})),
      ...(Number.isNaN(all) ? [] : [{what: togetherCase, goal: `${fixed(limit, 0)} ms`, found: `${fixed(all, 0)} ms`, met: all <= limit}]),
    ],
    notes: ['The checkpoints were committed from the dump of one real app; each of them can be woken.'],
  };
}

function goals(
  name: string,
  {value, perApp}: {readonly value: (name: string, field: string) => number; readonly perApp: (name: string, field: string) => number},
): Goal[] {
  const count = Number.parseInt(name, 10);
  const goalMs = goalOf(count);
  const [ready, each, share] = [value(name, 'readyMs'), perApp(name, 'ownBytes'), value(name, 'idleShare')];
  const known = (met: boolean, figure: number): boolean | null => (Number.isNaN(figure) ? null : met);
  return [
    {what: `${name}: start-up`, goal: `${goalMs / 1000} s`, found: `${fixed(ready / 1000, 2)} s`, met: known(ready <= goalMs, ready)},
    {what: `${name}: memory of each`, goal: '20 KiB', found: Number.isNaN(each) ? nothing : `${fixed(each / 1024)} KiB`, met: known(each <= goalBytes, each)},
    {what: `${name}: idle processor`, goal: '1 % of a core', found: `${fixed(share * 100, 2)} %`, met: known(share <= goalShare, share)},
  ];
}
