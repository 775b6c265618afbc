/** Many apps that are wanted at the same moment, as after a failure of the network. */

import {errorMessage} from '../../src/core/errors.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {median, quantile} from '../statistics.ts';
import {bytes, fixed} from '../table.ts';
import {Attempts} from './attempts.ts';
import type {PagingApp} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {withGateway} from './places.ts';
import type {Samples} from './samples.ts';
import {appMiB, largestSetBytes, type Selection} from './selection.ts';
import {samplesCount} from './wake-figures.ts';
import {ask, fallAsleep, measureWake, recover, startApps, type WakeRun} from './wakes.ts';

const roundsMax = 10;
const trainingRounds = 4;
const aloneCase = 'one of them alone';
const request = `touch ${largestSetBytes}`;

function eachCase(count: number): string {
  return `each of ${count} at once`;
}

function slowestCase(count: number): string {
  return `the slowest of ${count} at once`;
}

async function run(bench: PagingBench): Promise<void> {
  const {manyApps} = bench.selection;
  const apps: PagingApp[] = [];
  for (let number = 1; number <= manyApps; number++)
    apps.push({name: `app-${number}`, mode: 'predicted', content: 'random', sizeMiB: appMiB, port: await freePort()});
  const [single] = apps;
  if (single === undefined) return;
  await withGateway(bench, {temperature: 'warm', apps}, async (wakeRun) => {
    const attempts = new Attempts(bench);
    await startApps(wakeRun, apps, attempts);
    const rounds = Math.min(bench.rounds, roundsMax);
    for (let round = 1 - trainingRounds; round <= rounds; round++) {
      bench.progress(round < 1 ? 'wakes that are not measured' : `round ${round} of ${rounds}`);
      const together = {case: slowestCase(manyApps), round, subject: 'all at once', recover: () => putAllToSleep(wakeRun, apps)};
      await attempts.run(together, async () => {
        const answers = await wakeAll(wakeRun, apps);
        if (round < 1) return null;
        for (const answerMs of answers) bench.record({case: eachCase(manyApps), round, values: {answerMs}});
        return {answerMs: Math.max(...answers)};
      });
      if (round < 1) continue;
      const alone = {case: aloneCase, round, subject: single.name, recover: () => recover(wakeRun, single)};
      await attempts.run(alone, () => measureWake(wakeRun, single, {request}));
    }
  });
}

/** Milliseconds of each. @throws Error when one of them fails, after all have answered or failed */
async function wakeAll(run: WakeRun, apps: readonly PagingApp[]): Promise<number[]> {
  await run.gateway.untilQuiet();
  const results = await Promise.allSettled(apps.map(async (app) => (await ask(app, request)).answerMs));
  await putAllToSleep(run, apps);
  return results.map((result) => {
    if (result.status === 'rejected') throw new Error(errorMessage(result.reason));
    return result.value;
  });
}

async function putAllToSleep(run: WakeRun, apps: readonly PagingApp[]): Promise<void> {
  for (const app of apps) if ((await run.gateway.record(app.name)).state === 'running') await fallAsleep(run, app);
}

function report(samples: Samples, {manyApps}: Selection): PartReport {
  const rows = [aloneCase, eachCase(manyApps), slowestCase(manyApps)].map((name) => {
    const answers = samples.values(name, 'answerMs');
    return [name, fixed(median(answers)), fixed(quantile(answers, 0.95)), samplesCount(samples, name, answers.length)];
  });
  return {
    tables: [
      {
        title: `${manyApps} apps of ${appMiB} MiB wanted at once, ${bytes(largestSetBytes)} each, predicted: milliseconds`,
        head: ['case', 'median', 'p95', 'samples'],
        rows,
      },
    ],
    goals: [],
  };
}

export const togetherPart: PagingPart = {name: 'many', summary: 'many apps waking at once', run, report};
