/** A thousand connections to one sleeping app at once: all are answered, and each request is done once. */
import {startBenchGateway} from '../bench-gateway.ts';
import {timedAnswer} from '../client.ts';
import type {Samples} from '../paging/samples.ts';
import type {Part, PartContext, PartReport} from '../parts.ts';
import {spread, spreadSeries} from '../spread.ts';
import {fixed} from '../table.ts';
import {count, countOf, putToSleep, settle, startSleepers} from './sleepers.ts';
import {SteadyTraffic, trafficReport} from './steady-traffic.ts';
import {planStorm} from './storm-apps.ts';

const connections = 1000;
const timeoutMs = 60_000;

const name = `${connections} connections to one sleeping app`;
const cases = {one: 'one connection to it', flood: name, awake: `${connections} connections while it is awake`} as const;

async function run(context: PartContext): Promise<void> {
  const {rounds, signal, record, progress} = context;
  const plan = await planStorm([1]);
  const [app] = plan.apps;
  if (app === undefined) return;
  await using gateway = await startBenchGateway({signal, configure: plan.configure});
  await startSleepers(gateway, plan.apps, signal);
  const traffic = await SteadyTraffic.start(gateway, plan);
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    await settle(gateway);
    const {text, answerMs} = await timedAnswer(app.port, count);
    record({case: cases.one, round, values: spread([answerMs])});
    let before = countOf(text);
    const ask = async (what: string): Promise<void> => {
      const values = await flood(app.port, before);
      before += values.answered;
      record({case: what, round, values});
    };
    await putToSleep(gateway, plan.apps, signal);
    await traffic.beside(context, {name, round}, () => ask(cases.flood));
    await ask(cases.awake);
    await putToSleep(gateway, plan.apps, signal);
  }
}

/** @param before what the last request was answered with */
async function flood(port: number, before: number): Promise<Record<string, number> & {readonly answered: number}> {
  const settled = await Promise.allSettled(Array.from({length: connections}, () => timedAnswer(port, count, timeoutMs)));
  const answers = settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const counts = new Set(answers.map(({text}) => countOf(text)));
  // Each request adds one: done once each, they are answered with as many numbers in a row.
  const expected = answers.filter((_, at) => counts.has(before + at + 1)).length;
  return {...spread(answers.map(({answerMs}) => answerMs)), answered: answers.length, once: expected};
}

function report(samples: Samples): PartReport {
  const least = (one: string, field: string): number => Math.min(...samples.values(one, field));
  const rows = Object.values(cases).map((one) => [
    one,
    ...['p0Ms', 'p50Ms', 'p99Ms', 'p100Ms'].map((field) => fixed(samples.median(one, field))),
    ...['answered', 'once'].map((field) => fixed(least(one, field), 0)),
  ]);
  const done = Math.min(least(cases.flood, 'answered'), least(cases.flood, 'once'));
  const traffic = trafficReport(samples, name);
  return {
    tables: [
      {title: 'Connections at once, connect() to answer, milliseconds', head: ['', 'first', 'p50', 'p99', 'last', 'answered', 'done once'], rows},
      ...traffic.tables,
    ],
    goals: [
      {what: `${name}: answered, each once`, goal: String(connections), found: fixed(done, 0), met: Number.isFinite(done) ? done === connections : null},
      ...traffic.goals,
    ],
    panels: [
      {
        title: name,
        x: {label: 'share of the connections answered (%)', scale: 'linear', show: String},
        y: {label: 'connection to answer (ms)', scale: 'log10', show: String},
        series: [
          spreadSeries(samples, cases.flood, {name: 'asleep', colour: '#0072b2', dashed: false}),
          spreadSeries(samples, cases.awake, {name: 'awake', colour: '#0072b2', dashed: true}),
        ],
      },
      ...(traffic.panels ?? []),
    ],
  };
}

export const floodPart: Part = {name: 'flood', summary: `${name}, traffic to an awake one beside them`, run, report};
