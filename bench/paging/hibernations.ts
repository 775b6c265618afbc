/** What going to sleep costs against how much the app has changed: bytes written, time, and how much of it the app stands still. */
import {freePort} from '../../test/helpers/gateway.ts';
import {quantile} from '../statistics.ts';
import {bytes, fixed} from '../table.ts';
import {Attempts} from './attempts.ts';
import {limitGoal} from './goal.ts';
import type {PagingApp} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {withGateway} from './places.ts';
import type {Samples} from './samples.ts';
import {appMiB, type Selection} from './selection.ts';
import {samplesCount} from './wake-figures.ts';
import {measureWake, recover, startApps} from './wakes.ts';

const firstCase = `first hibernation of ${appMiB} MiB`;

function changeCase(changedBytes: number): string {
  return `hibernation after ${changedBytes === 0 ? 'nothing' : bytes(changedBytes)} was changed`;
}

/** An app has a stack, a heap and kernel state besides what it was asked to change. */
function limitBytes(changedBytes: number): number {
  return 1.2 * changedBytes + 2 ** 16;
}

async function run(bench: PagingBench): Promise<void> {
  const app: PagingApp = {name: 'changing', mode: 'predicted', content: 'random', sizeMiB: appMiB, port: await freePort()};
  await withGateway(bench, {temperature: 'warm', apps: [app]}, async (wakeRun) => {
    const attempts = new Attempts(bench);
    await startApps(wakeRun, [app], attempts);
    const {lastHibernate} = await wakeRun.gateway.record(app.name);
    if (lastHibernate !== null) {
      const {ms, frozenMs, bytesWritten} = lastHibernate;
      bench.record({case: firstCase, round: 1, values: {hibernateMs: ms, frozenMs, bytesWritten}});
    }
    const {changedBytes: sizes} = bench.selection;
    for (let round = 1; round <= bench.rounds; round++) {
      bench.progress(`round ${round} of ${bench.rounds}`);
      for (let turn = 0; turn < sizes.length; turn++) {
        const changedBytes = sizes[(turn + round) % sizes.length];
        if (changedBytes === undefined) continue;
        const attempt = {case: changeCase(changedBytes), round, subject: app.name, recover: () => recover(wakeRun, app)};
        await attempts.run(attempt, () => measureWake(wakeRun, app, {request: changedBytes === 0 ? 'touch 4096' : `write ${changedBytes}`}));
      }
    }
  });
}

function report(samples: Samples, {changedBytes: sizes}: Selection): PartReport {
  const row = (name: string, limit: number | null): string[] => {
    const written = samples.values(name, 'bytesWritten');
    const frozen = samples.values(name, 'frozenMs');
    return [
      name,
      bytes(samples.median(name, 'bytesWritten')),
      written.length === 0 ? '-' : bytes(Math.max(...written)),
      limit === null ? '-' : bytes(limit),
      fixed(samples.median(name, 'hibernateMs')),
      fixed(quantile(samples.values(name, 'hibernateMs'), 0.95)),
      fixed(quantile(frozen, 0.5)),
      fixed(quantile(frozen, 0.95)),
      samplesCount(samples, name, written.length),
    ];
  };
  const shares = sizes.flatMap((size) => samples.values(changeCase(size), 'bytesWritten').map((written) => written / limitBytes(size)));
  return {
    tables: [
      {
        title: 'Hibernation: bytes written and milliseconds',
        head: ['case', 'written', 'most written', 'goal', 'median', 'p95', 'frozen', 'frozen p95', 'samples'],
        rows: [row(firstCase, null), ...sizes.map((size) => row(changeCase(size), limitBytes(size)))],
      },
    ],
    goals: [
      limitGoal('hibernation: bytes written / (1.2 x changed + 64 KiB), most', shares.length === 0 ? Number.NaN : Math.max(...shares), {atMost: 1}, (value) =>
        fixed(value, 2),
      ),
    ],
  };
}

export const hibernationsPart: PagingPart = {name: 'hibernate', summary: 'what a hibernation writes, against what has changed', run, report};
