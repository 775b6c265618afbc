/** Clients that come while an app falls asleep, at every moment of that: each is answered, and nothing of the app's memory is lost. */
import {setTimeout as sleep} from 'node:timers/promises';
import {errorMessage} from '../../src/core/errors.ts';
import {type BenchGateway, startBenchGateway} from '../bench-gateway.ts';
import {lineQuestion, timedAnswer} from '../client.ts';
import type {Samples} from '../paging/samples.ts';
import type {Part, PartContext, PartReport} from '../parts.ts';
import {median} from '../statistics.ts';
import {fixed} from '../table.ts';
import {count, countOf, settle, startSleepers} from './sleepers.ts';
import {planStorm, type StormApp} from './storm-apps.ts';

const memoryMiB = 64;
const write = lineQuestion(`write ${2 ** 20}`);
const timeoutMs = 30_000;
/** Hibernations without a client say how long they take. */
const undisturbed = 5;
/** The last clients come when it sleeps. */
const spanFactor = 1.3;
const momentsPerTenth = {quick: 2, usual: 4} as const;
const tenths = Math.round(spanFactor * 10);
/** An app that closes a connection is not put to sleep. */
const closeMs = 150;

const cases = {hibernation: 'hibernation without a client', all: 'all of these clients'} as const;
const tenthCase = (tenth: number): string => `client at ${tenth * 10} to ${tenth * 10 + 10} %`;

interface Napper {
  readonly gateway: BenchGateway;
  readonly app: StormApp;
  readonly signal: AbortSignal;
}

async function run({rounds, quick, signal, record, progress}: PartContext): Promise<void> {
  const plan = await planStorm([memoryMiB]);
  const [app] = plan.apps;
  if (app === undefined) return;
  await using gateway = await startBenchGateway({signal, configure: plan.configure});
  await startSleepers(gateway, plan.apps, signal);
  const napper = {gateway, app, signal};
  const times: number[] = [];
  for (let round = 1; round <= undisturbed; round++) {
    await makeReady(napper);
    const {ms, result} = await hibernation(napper);
    if (result === 'hibernated') times.push(ms);
    record({case: cases.hibernation, round, values: {ms}});
  }
  const spanMs = median(times) * spanFactor;
  const moments = tenths * momentsPerTenth[quick ? 'quick' : 'usual'];
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}: ${moments} clients while the app falls asleep (${fixed(spanMs / spanFactor, 0)} ms)`);
    for (let at = 0; at < moments; at++) {
      signal.throwIfAborted();
      const share = (at + 0.5) / moments;
      const name = tenthCase(Math.floor(share * tenths));
      try {
        const values = await wakeMeanwhile(napper, share * spanMs);
        for (const one of [name, cases.all]) record({case: one, round, values});
      } catch (error) {
        signal.throwIfAborted();
        record({case: name, round, values: {}, error: errorMessage(error)});
      }
    }
  }
}

/** It runs, has something to write, and no connection. @returns what it has counted so far */
async function makeReady({gateway, app, signal}: Napper): Promise<number> {
  await timedAnswer(app.port, write, timeoutMs);
  const {text} = await timedAnswer(app.port, count, timeoutMs);
  await sleep(closeMs, undefined, {signal});
  await settle(gateway);
  return countOf(text);
}

async function hibernation({gateway, app}: Napper): Promise<{readonly ms: number; readonly result: unknown}> {
  const startedMs = performance.now();
  const result = await gateway.control('hibernate', {name: app.name});
  return {ms: performance.now() - startedMs, result};
}

/** @throws Error when the answer is not the next number: then memory was lost, or the request was done twice */
async function wakeMeanwhile(napper: Napper, momentMs: number): Promise<Record<string, number>> {
  const before = await makeReady(napper);
  const falling = hibernation(napper);
  await sleep(momentMs);
  const {text, answerMs} = await timedAnswer(napper.app.port, count, timeoutMs);
  const {result} = await falling;
  if (countOf(text) !== before + 1) throw new Error(`answered ${text.trim()} after ${before}`);
  return {answerMs, momentMs, stayedAwake: result === 'hibernated' ? 0 : 1};
}

function report(samples: Samples): PartReport {
  const names = [...Array.from({length: tenths}, (_, tenth) => tenthCase(tenth)), cases.all];
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const rows = names.map((one) => {
    const answers = samples.values(one, 'answerMs');
    return [one, fixed(median(answers)), fixed(Math.max(...answers)), fixed(sum(samples.values(one, 'stayedAwake')), 0), fixed(answers.length, 0)];
  });
  const [answered, failed] = [samples.values(cases.all, 'answerMs').length, samples.failures().length];
  const points = names.slice(0, -1).flatMap((one, tenth) => {
    const answers = samples.values(one, 'answerMs');
    return answers.length === 0 ? [] : [{x: tenth * 10, y: median(answers), high: Math.max(...answers)}];
  });
  const taken = samples.median(cases.hibernation, 'ms');
  return {
    tables: [
      {
        title: `Clients while an app of ${memoryMiB} MB falls asleep, which takes ${fixed(taken, 0)} ms: milliseconds from connect() to the answer`,
        head: ['', 'median', 'slowest', 'stayed awake', 'clients'],
        rows,
      },
    ],
    goals: [{what: 'clients during hibernation: answered, nothing lost', goal: 'all', found: `${answered} of ${answered + failed}`, met: failed === 0}],
    panels: [
      {
        title: `clients while an app of ${memoryMiB} MB falls asleep`,
        x: {label: 'when the client came (% of the hibernation)', scale: 'linear', show: String},
        y: {label: 'connection to answer (ms), whiskers to the slowest', scale: 'log10', show: String},
        series: [{name: 'during hibernation', colour: '#cc79a7', dashed: false, points}],
      },
    ],
  };
}

export const meanwhilePart: Part = {name: 'meanwhile', summary: 'clients that come while an app falls asleep', run, report};
