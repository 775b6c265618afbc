/** Wakes of sleeping apps as a client sees them: every case once per round, each round beginning with another one. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {BenchGateway} from '../bench-gateway.ts';
import {lineQuestion, timedAnswer} from '../client.ts';
import {phaseValues} from '../wake-phases.ts';
import {Attempts} from './attempts.ts';
import {learns, type Mode, type PagingApp} from './paging-apps.ts';
import type {PagingBench} from './paging-bench.ts';

/** Wakes before the first measured one: the predicted set is then settled. */
const trainingWakes = 4;
/** An app that has slept for long finds nothing that CRIU's last work has left warm in the kernel. */
const restMs = 500;
/** The first answer of a large app comes when its memory is filled. */
const answerTimeoutMs = 180_000;

export interface WakeCase {
  readonly name: string;
  readonly app: PagingApp;
  /** A line of the memory server's protocol: what the client asks. */
  readonly request: string;
  /** What was asked in the runs before, when that is something else. */
  readonly lesson?: string;
}

/** Bytes and requests of a store over a slow line, so far. */
export interface Traffic {
  readonly requests: number;
  readonly bytesDown: number;
  /** Requests that the S3 server itself had to answer, in its own time. */
  readonly passedOn: number;
}

/** Where sleeping apps are. */
export type Residence = {readonly kind: 'warm'} | {readonly kind: 'cold'; readonly traffic: () => Traffic};

export async function ask(app: PagingApp, request: string): Promise<{readonly firstByteMs: number; readonly answerMs: number; readonly text: string}> {
  const answer = await timedAnswer(app.port, lineQuestion(request), answerTimeoutMs);
  if (/differs|unknown|out of range/.test(answer.text)) throw new Error(`${app.name} answered "${answer.text.trim()}" to "${request}"`);
  return answer;
}

export interface WakeRun {
  readonly bench: PagingBench;
  readonly gateway: BenchGateway;
  readonly residence: Residence;
}

export async function fallAsleep({gateway, residence}: WakeRun, app: PagingApp): Promise<void> {
  await gateway.hibernate(app.name, {cold: residence.kind === 'cold'});
}

/** After a failure: an app that runs is put to sleep, one that does not is left as it is. */
export async function recover(run: WakeRun, app: PagingApp): Promise<void> {
  if ((await run.gateway.record(app.name)).state === 'running') await fallAsleep(run, app);
}

/** The app sleeps before and after. `afterwards` is asked too before it is put to sleep again, and is not part of the time. */
export async function measureWake(
  run: WakeRun,
  app: PagingApp,
  {request, afterwards}: {readonly request: string; readonly afterwards?: string},
): Promise<Record<string, number>> {
  const {gateway, residence, bench} = run;
  await gateway.untilQuiet();
  await sleep(restMs, undefined, {signal: bench.signal});
  const before = residence.kind === 'cold' ? residence.traffic() : null;
  const {firstByteMs, answerMs} = await ask(app, request);
  const after = residence.kind === 'cold' ? residence.traffic() : null;
  const {medianFaultMicros, installedPages} = await gateway.paging(app.name);
  if (afterwards !== undefined) await ask(app, afterwards);
  await fallAsleep(run, app);
  const {lastWake, lastHibernate} = await gateway.record(app.name);
  if (lastWake === null || lastHibernate === null) throw new Error(`${app.name} has no record of its wake`);
  return {
    firstByteMs,
    answerMs,
    gatewayMs: lastWake.ms,
    ...phaseValues(lastWake),
    predictedPages: lastWake.predictedPages,
    installedPages: installedPages ?? lastWake.installedPages ?? lastWake.predictedPages,
    faults: lastWake.faults,
    ...(medianFaultMicros !== null && lastWake.faults > 0 && {faultMicros: medianFaultMicros}),
    ...(before !== null && after !== null && trafficBetween(before, after)),
    hibernateMs: lastHibernate.ms,
    frozenMs: lastHibernate.frozenMs,
    bytesWritten: lastHibernate.bytesWritten,
  };
}

function trafficBetween(before: Traffic, after: Traffic): Record<string, number> {
  return {
    requests: after.requests - before.requests,
    fetchedBytes: after.bytesDown - before.bytesDown,
    requestsPassedOn: after.passedOn - before.passedOn,
  };
}

/** Starts the apps and puts them to sleep. */
export async function startApps(run: WakeRun, apps: readonly PagingApp[], attempts: Attempts): Promise<void> {
  run.bench.progress(`${apps.length} apps are started and put to sleep`);
  for (const app of apps) {
    await attempts.run({case: `start of ${app.name}`, round: 0, subject: app.name, recover: () => recover(run, app)}, async () => {
      await ask(app, 'count');
      await fallAsleep(run, app);
      return null;
    });
  }
}

async function lessons(run: WakeRun, {app, lesson, request}: WakeCase, count: number): Promise<null> {
  for (let wake = 0; wake < count; wake++) {
    await run.gateway.untilQuiet();
    await ask(app, lesson ?? request);
    await fallAsleep(run, app);
  }
  return null;
}

/** What an app that was taught something else by another case has to be told again. */
function lessonsBefore({app, lesson}: WakeCase): number {
  const needed: Record<Mode, number> = {'whole image': 0, 'on demand': 0, 'read ahead': 0, 'last run': 1, predicted: trainingWakes};
  return lesson === undefined ? 0 : needed[app.mode];
}

/** Apps of the cases are started, taught, and woken once per case and round. */
export async function measureWakes(run: WakeRun, cases: readonly WakeCase[]): Promise<void> {
  const {bench} = run;
  const attempts = new Attempts(bench);
  const attempt = async (wakeCase: WakeCase, round: number, measure: () => Promise<Record<string, number> | null>): Promise<boolean> =>
    attempts.run({case: wakeCase.name, round, subject: wakeCase.app.name, recover: () => recover(run, wakeCase.app)}, measure);
  const apps = [...new Map(cases.map(({app}) => [app.name, app])).values()];
  await startApps(run, apps, attempts);
  bench.progress('wakes that are not measured');
  for (const app of apps) {
    const first = cases.find((candidate) => candidate.app === app);
    if (first !== undefined) await attempt(first, 0, async () => lessons(run, first, learns(app.mode) ? trainingWakes : 1));
  }
  const startedMs = performance.now();
  for (let round = 1; round <= bench.rounds; round++) {
    const leftMinutes =
      round === 1 ? '' : `, about ${Math.ceil((((performance.now() - startedMs) / (round - 1)) * (bench.rounds - round + 1)) / 60_000)} minutes left`;
    bench.progress(`round ${round} of ${bench.rounds}${leftMinutes}`);
    for (let turn = 0; turn < cases.length; turn++) {
      // Each round begins with another case: what one leaves behind (caches, a warm processor) is not always the same one's gain.
      const wakeCase = cases[(turn + round * 5) % cases.length];
      if (wakeCase === undefined) continue;
      await attempt(wakeCase, round, async () => {
        await lessons(run, wakeCase, lessonsBefore(wakeCase));
        return measureWake(run, wakeCase.app, wakeCase);
      });
    }
  }
  bench.progress('every byte is compared with what it was');
  for (const app of apps) {
    await attempts.run({case: `every byte of ${app.name}`, round: bench.rounds, subject: app.name, recover: () => recover(run, app)}, async () => {
      await ask(app, 'verify');
      await fallAsleep(run, app);
      return null;
    });
  }
}
