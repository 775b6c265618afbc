/** A hundred apps that a hundred clients want at the same moment. */
import {availableParallelism} from 'node:os';
import {startBenchGateway} from '../bench-gateway.ts';
import {timedAnswer} from '../client.ts';
import type {Samples} from '../paging/samples.ts';
import type {Part, PartContext, PartReport} from '../parts.ts';
import {spread, spreadSeries} from '../spread.ts';
import {fixed} from '../table.ts';
import {count, putToSleep, settle, startSleepers} from './sleepers.ts';
import {SteadyTraffic, trafficReport} from './steady-traffic.ts';
import {planStorm} from './storm-apps.ts';

const appCount = 100;
const aloneWakes = 10;
const timeoutMs = 120_000;
/** Beside the processors' share of so many wakes one after the other. */
const goalFactor = 1.2;

const name = `${appCount} apps woken at once`;
const cases = {alone: 'one of them alone', together: name} as const;

async function run(context: PartContext): Promise<void> {
  const {rounds, signal, record, progress} = context;
  const plan = await planStorm(Array.from({length: appCount}, () => 1));
  await using gateway = await startBenchGateway({signal, configure: plan.configure});
  progress(`${appCount} servers are started and put to sleep`);
  await startSleepers(gateway, plan.apps, signal);
  const traffic = await SteadyTraffic.start(gateway, plan);
  await settle(gateway);
  const alone = plan.apps.slice(0, aloneWakes);
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    const times: number[] = [];
    for (const {port} of alone) {
      times.push((await timedAnswer(port, count, timeoutMs)).answerMs);
      await settle(gateway);
    }
    record({case: cases.alone, round, values: spread(times)});
    await putToSleep(gateway, alone, signal);
    await traffic.beside(context, {name, round}, async () => {
      const answers = await Promise.allSettled(plan.apps.map(async ({port}) => (await timedAnswer(port, count, timeoutMs)).answerMs));
      const answered = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      record({case: cases.together, round, values: {...spread(answered), answered: answered.length}});
    });
    await putToSleep(gateway, plan.apps, signal);
  }
}

function report(samples: Samples): PartReport {
  const rows = Object.values(cases).map((one) => [
    one,
    ...['p0Ms', 'p50Ms', 'p99Ms', 'p100Ms'].map((field) => fixed(samples.median(one, field))),
    fixed(
      samples.values(one, 'answered').reduce((sum, each) => sum + each, 0),
      0,
    ),
  ]);
  const [alone, last] = [samples.median(cases.alone, 'p50Ms'), samples.median(cases.together, 'p100Ms')];
  const limit = ((alone * appCount) / availableParallelism()) * goalFactor;
  const answered = samples.values(cases.together, 'answered');
  const traffic = trafficReport(samples, name);
  return {
    tables: [{title: 'Wakes, connect() to answer, milliseconds', head: ['', 'first', 'p50', 'p99', 'last', 'answered'], rows}, ...traffic.tables],
    goals: [
      {
        what: `${name}: the last answer`,
        goal: `${fixed(limit, 0)} ms`,
        found: `${fixed(last, 0)} ms`,
        met: Number.isNaN(last - limit) ? null : last <= limit,
      },
      {
        what: `${name}: answered`,
        goal: String(appCount),
        found: fixed(Math.min(...answered), 0),
        met: answered.length === 0 ? null : answered.every((one) => one === appCount),
      },
      ...traffic.goals,
    ],
    panels: [
      {
        title: name,
        x: {label: 'share of the clients answered (%)', scale: 'linear', show: String},
        y: {label: 'connection to answer (ms)', scale: 'log10', show: String},
        series: [spreadSeries(samples, name, {name, colour: '#0072b2', dashed: false})],
      },
      ...(traffic.panels ?? []),
    ],
  };
}

export const togetherPart: Part = {name: 'together', summary: `${name} by ${appCount} clients, traffic to an awake one beside them`, run, report};
