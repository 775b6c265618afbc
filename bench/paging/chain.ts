/** An app that sleeps and wakes again and again, and each time changes something elsewhere: does it get slower, does the store grow? */
import {freePort} from '../../test/helpers/gateway.ts';
import {median} from '../statistics.ts';
import {bytes, fixed} from '../table.ts';
import {Attempts} from './attempts.ts';
import {limitGoal} from './goal.ts';
import type {PagingApp} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {withGateway} from './places.ts';
import type {Samples} from './samples.ts';
import {appMiB, largestSetBytes, type Selection} from './selection.ts';
import {samplesCount} from './wake-figures.ts';
import {ask, fallAsleep, measureWake, recover, startApps, type WakeRun} from './wakes.ts';

const name = 'chain of sleeps';
const firstCase = 'space after the first sleep';
/** Of what the first wakes learn, nothing shall be compared with later ones. */
const trainingWakes = 4;
const compared = 10;
const changedBytes = 2 ** 18;
/** From one place to the next: it comes to every part of the memory, and overlaps what was changed long ago. */
const strideBytes = 5.5 * 2 ** 20;

function changeAt(sleep: number): string {
  const from = (sleep * strideBytes) % (appMiB * 2 ** 20 - changedBytes);
  return `write ${changedBytes} ${from - (from % 4096)}`;
}

async function run(bench: PagingBench): Promise<void> {
  const app: PagingApp = {name: 'chain', mode: 'predicted', content: 'random', sizeMiB: appMiB, port: await freePort()};
  await withGateway(bench, {temperature: 'warm', apps: [app]}, async (wakeRun) => {
    const attempts = new Attempts(bench);
    const attempt = {case: name, subject: app.name, recover: () => recover(wakeRun, app)};
    await startApps(wakeRun, [app], attempts);
    bench.record({case: firstCase, round: 0, values: {storeBytes: await spaceAtRest(wakeRun)}});
    for (let sleep = 1 - trainingWakes; sleep <= bench.selection.chainSleeps; sleep++) {
      if (sleep % 10 === 1) bench.progress(`sleep ${sleep} of ${bench.selection.chainSleeps}`);
      await attempts.run({...attempt, round: sleep}, async () => {
        const values = await measureWake(wakeRun, app, {request: `touch ${largestSetBytes}`, afterwards: changeAt(sleep + trainingWakes)});
        return sleep < 1 ? null : {...values, storeBytes: await spaceAtRest(wakeRun)};
      });
    }
    bench.progress('every byte is compared with what it was');
    await attempts.run({...attempt, case: 'every byte after the chain', round: 0}, async () => {
      await ask(app, 'verify');
      await fallAsleep(wakeRun, app);
      return null;
    });
  });
}

/** When what a sleep leaves to be done is done. */
async function spaceAtRest({gateway}: WakeRun): Promise<number> {
  await gateway.untilQuiet();
  return gateway.storeBytes();
}

function report(samples: Samples, {chainSleeps}: Selection): PartReport {
  const wakes = samples.values(name, 'answerMs');
  const space = samples.values(name, 'storeBytes');
  const tens = Array.from({length: Math.ceil(wakes.length / compared)}, (_, ten) => ({from: ten * compared, to: Math.min((ten + 1) * compared, wakes.length)}));
  const first = median(wakes.slice(0, compared));
  const last = median(wakes.slice(-compared));
  return {
    tables: [
      {
        title: `${chainSleeps} sleeps, ${bytes(largestSetBytes)} touched and ${bytes(changedBytes)} changed elsewhere each time (${samplesCount(samples, name, wakes.length)} samples)`,
        head: ['sleeps', 'wake, median ms', 'written', 'space in the store'],
        rows: [
          ['the first, of all of its memory', '-', '-', bytes(samples.median(firstCase, 'storeBytes'))],
          ...tens.map(({from, to}) => [
            `${from + 1} to ${to}`,
            fixed(median(wakes.slice(from, to))),
            bytes(median(samples.values(name, 'bytesWritten').slice(from, to))),
            bytes(space[to - 1] ?? Number.NaN),
          ]),
        ],
      },
    ],
    goals: [
      limitGoal(
        `chain of ${chainSleeps} sleeps: wake of the last ten / first ten`,
        wakes.length < 2 * compared ? Number.NaN : last / first,
        {atMost: 1.1},
        (value) => fixed(value, 2),
      ),
    ],
  };
}

export const chainPart: PagingPart = {name: 'chain', summary: 'many sleeps in succession: space and time', run, report};
