/** The wakes that are measured: every working set in every mode, once per round. */

import {setTimeout as sleep} from 'node:timers/promises';
import type {BenchGateway} from '../bench-gateway.ts';
import {httpQuestion, lineQuestion, type Question, timedAnswer} from '../client.ts';
import {bytes} from '../table.ts';
import {type BenchApp, type Mode, modes} from './wake-apps.ts';
import type {WakeBench} from './wake-bench.ts';

/** Wakes before the first measured one: the predicted set is then settled. */
const trainingWakes = 4;
/**
 * For a second after CRIU has worked, the kernel keeps ready what CRIU needs of it (hardware breakpoints, that is perf events). A server
 * that has slept for long does not find that, so neither may these.
 */
const restMs = 1200;

export interface WakeCase {
  readonly name: string;
  readonly app: string;
  readonly port: number;
  readonly question: Question;
}

export interface WakePlan {
  readonly apps: readonly BenchApp[];
  readonly cases: readonly WakeCase[];
  readonly workingSetsBytes: readonly number[];
  readonly deltaApp: BenchApp;
  readonly webApp: BenchApp & {readonly natPort: number};
}

export function memoryCase(workingSetBytes: number, mode: Mode, via: 'tcp' | 'nat' = 'tcp'): string {
  return `64 MB, ${bytes(workingSetBytes)} touched, ${mode}${via === 'nat' ? ', mode nat' : ''}`;
}

export function webCase(mode: Mode): string {
  return `nginx, ${mode}`;
}

export async function planWakes(workingSetsBytes: readonly number[], freePort: () => Promise<number>): Promise<WakePlan> {
  const app = async (name: string, kind: BenchApp['kind'], mode: Mode): Promise<BenchApp> => ({name, kind, mode, port: await freePort()});
  const eager = await app('eager', 'memory', 'eager');
  const onDemand = await app('on-demand', 'memory', 'on demand');
  const deltaApp = await app('delta', 'memory', 'predicted');
  const webApp = {...(await app('web-predicted', 'nginx', 'predicted')), natPort: await freePort()};
  const webApps = [await app('web-eager', 'nginx', 'eager'), await app('web-on-demand', 'nginx', 'on demand'), webApp];
  const apps: BenchApp[] = [eager, onDemand, deltaApp, ...webApps];
  const cases: WakeCase[] = [];
  const largestBytes = Math.max(...workingSetsBytes);
  for (const workingSetBytes of workingSetsBytes) {
    // What is predicted depends on what was touched before, so each working set has a server of its own for that.
    const natPort = workingSetBytes === largestBytes ? await freePort() : undefined;
    const predicted = {...(await app(`predicted-${workingSetBytes}`, 'memory', 'predicted')), ...(natPort !== undefined && {natPort})};
    apps.push(predicted);
    const question = lineQuestion(`touch ${workingSetBytes}`);
    for (const {name, mode, port} of [eager, onDemand, predicted]) cases.push({name: memoryCase(workingSetBytes, mode), app: name, port, question});
    if (natPort !== undefined) cases.push({name: memoryCase(workingSetBytes, 'predicted', 'nat'), app: predicted.name, port: natPort, question});
  }
  for (const {name, mode, port} of webApps) cases.push({name: webCase(mode), app: name, port, question: httpQuestion});
  return {apps, cases, workingSetsBytes, deltaApp, webApp};
}

export async function measureWakes({rounds, signal, gateway, record, progress}: WakeBench, {apps, cases}: WakePlan): Promise<void> {
  progress(`${apps.length} servers are started and put to sleep`);
  for (const app of apps) {
    await timedAnswer(app.port, app.kind === 'memory' ? lineQuestion('count') : httpQuestion);
    await gateway.hibernate(app.name);
  }
  progress(`${trainingWakes} wakes of each of ${cases.length} cases are not measured`);
  for (let wake = 0; wake < trainingWakes; wake++) {
    for (const wakeCase of cases) {
      signal.throwIfAborted();
      await measureWake(gateway, wakeCase);
    }
  }
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    for (let turn = 0; turn < cases.length; turn++) {
      signal.throwIfAborted();
      // Each round begins with another case: what one leaves behind (caches, a warm processor) is not always the same one's gain.
      const wakeCase = cases[(turn + round * modes.length + round) % cases.length];
      if (wakeCase === undefined) continue;
      await sleep(restMs, undefined, {signal});
      record({case: wakeCase.name, round, values: await measureWake(gateway, wakeCase)});
    }
  }
}

async function measureWake(gateway: BenchGateway, {app, port, question}: WakeCase): Promise<Record<string, number>> {
  await gateway.untilQuiet();
  const {firstByteMs, answerMs} = await timedAnswer(port, question);
  const {lastWake, lastHibernate} = await gateway.hibernate(app);
  if (lastWake === null || lastHibernate === null) throw new Error(`${app} has no record of its wake`);
  return {
    firstByteMs,
    answerMs,
    gatewayMs: lastWake.ms,
    ...(typeof lastWake.phases?.criuMs === 'number' && {ownMs: lastWake.ms - lastWake.phases.criuMs}),
    predictedPages: lastWake.predictedPages,
    faults: lastWake.faults,
    hibernateMs: lastHibernate.ms,
    frozenMs: lastHibernate.frozenMs,
    bytesWritten: lastHibernate.bytesWritten,
  };
}
