/** A day of many mostly idle apps in compressed time: who waits, what memory that takes against running all of them, what is written. */
import {setTimeout as sleep} from 'node:timers/promises';
import {errorMessage} from '../../src/core/errors.ts';
import {limited} from '../../src/core/limited.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {timedAnswer} from '../client.ts';
import type {PartContext} from '../parts.ts';
import {gatewayPattern} from '../process-tree.ts';
import {appAt} from '../scale/scale-apps.ts';
import type {ScaleGateway} from '../scale/scale-gateway.ts';
import {hibernatedHost, question} from '../scale/scale-host.ts';
import {spread} from '../spread.ts';
import {median} from '../statistics.ts';
import {appMemory} from './app-memory.ts';
import {AwakeTimes} from './awake-times.ts';
import {dayCases} from './day-cases.ts';
import {dayMs, traceOfDay} from './trace.ts';

const sizes = {quick: {apps: 200, minutes: 6}, usual: {apps: 1000, minutes: 20}} as const;
/** As of the day, before it is compressed. */
const hibernateAfterMs = 5 * 60_000;
const settled = {share: 0.05, timeoutMs: 60_000} as const;
const answerTimeoutMs = 60_000;
const memoryEveryMs = 15_000;
const measuredApps = 5;
const sleepsAtATime = 2;
/** Events are on their way so long at most. */
const eventsMs = 2000;

export async function runDay(context: PartContext): Promise<void> {
  const {quick, dayMinutes, rounds, progress, signal} = context;
  const {apps, minutes} = sizes[quick ? 'quick' : 'usual'];
  const factor = dayMs / ((dayMinutes ?? minutes) * 60_000);
  const ports: number[] = [];
  while (ports.length < apps) ports.push(await freePort());
  for (let round = 1; round <= rounds; round++) {
    progress(`${apps} apps: preparation`);
    await using host = await hibernatedHost(signal, {count: apps, ports, hibernateAfter: `${Math.round(hibernateAfterMs / factor)}ms`});
    await using gateway = await host.start();
    await gateway.untilSettled(settled);
    const eachBytes = await awakeBytes(gateway, ports);
    await putAllToSleep(gateway, apps);
    progress(`a day in ${(dayMs / factor / 60_000).toFixed(1)} minutes (factor ${factor.toFixed(0)})`);
    await oneDay(context, {gateway, ports, factor, round, eachBytes});
  }
}

/** Of an app that was woken, in its control group. */
async function awakeBytes(gateway: ScaleGateway, ports: readonly number[]): Promise<number> {
  const found: number[] = [];
  for (const [app, port] of ports.slice(0, measuredApps).entries()) {
    await timedAnswer(port, question, answerTimeoutMs);
    found.push((await appMemory(await gateway.control('show', {name: appAt(app)}))).groupBytes);
  }
  return median(found);
}

/** Redis knows all that was used then. */
async function putAllToSleep(gateway: ScaleGateway, apps: number): Promise<void> {
  await limited(
    Array.from({length: apps}, (_, app) => appAt(app)),
    sleepsAtATime,
    async (name) => {
      if ((await gateway.record(name))?.state === 'running') await gateway.hibernate(name);
    },
  );
}

interface Day {
  readonly gateway: ScaleGateway;
  readonly ports: readonly number[];
  readonly factor: number;
  readonly round: number;
  readonly eachBytes: number;
}

async function oneDay(context: PartContext, {gateway, ports, factor, round, eachBytes}: Day): Promise<void> {
  const {signal, record, progress} = context;
  const times = new AwakeTimes();
  const over = new AbortController();
  const following = (async () => {
    for await (const {event} of gateway.events(over.signal)) times.add(event);
  })();
  const usedBefore = await gateway.usage();
  const startedMs = Date.now();
  const memory = watchMemory(gateway, over.signal);
  try {
    const visits = await playTrace({ports, factor, signal, progress});
    const endedMs = Date.now();
    await putAllToSleep(gateway, ports.length);
    const used = await gateway.usage();
    await sleep(eventsMs, undefined, {signal});
    over.abort();
    const [, gatewayBytes] = await Promise.all([following, memory]);
    const waited = visits.filter(({app, ...between}) => times.wasWoken(appAt(app), between));
    const answered = (of: readonly Answer[]): number[] => of.flatMap(({answerMs}) => answerMs ?? []);
    const seconds = (endedMs - startedMs) / 1000;
    const activeGbSeconds = (used.activeGbSeconds - usedBefore.activeGbSeconds) * factor;
    const totals = {
      apps: ports.length,
      factor,
      visits: visits.length,
      failed: visits.filter(({answerMs}) => answerMs === null).length,
      waited: waited.length,
      wakes: times.wakes,
      hibernations: times.hibernations,
      errors: times.errors,
      bytesWritten: times.bytesWritten,
      activeGbSeconds,
      alwaysOnGbSeconds: ((eachBytes * ports.length) / 2 ** 30) * seconds * factor,
      gatewayGbSeconds: (gatewayBytes / 2 ** 30) * seconds * factor,
      eachBytes,
    };
    record({case: dayCases.totals, round, values: totals});
    record({case: dayCases.waiting, round, values: spread(answered(waited))});
    record({case: dayCases.others, round, values: spread(answered(visits.filter((visit) => !waited.includes(visit))))});
    const hourMs = 3_600_000 / factor;
    for (let hour = 0; hour < 24; hour++) {
      const fromMs = startedMs + hour * hourMs;
      record({case: dayCases.hour(hour), round, values: {awake: times.meanAwake({fromMs, untilMs: fromMs + hourMs})}});
    }
  } finally {
    over.abort();
    await Promise.allSettled([following, memory]);
  }
}

interface Answer {
  readonly app: number;
  /** Milliseconds since 1970. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** Null: it had none. */
  readonly answerMs: number | null;
}

interface Play extends Pick<PartContext, 'signal' | 'progress'> {
  readonly ports: readonly number[];
  readonly factor: number;
}

/** Each visitor comes at his time, whether or not those before him were answered. */
async function playTrace({ports, factor, signal, progress}: Play): Promise<Answer[]> {
  const startedMs = performance.now();
  const answers: Promise<Answer>[] = [];
  for (const {atMs, app} of traceOfDay(ports.length)) {
    const waitMs = startedMs + atMs / factor - performance.now();
    if (waitMs > 1) await sleep(waitMs, undefined, {signal});
    signal.throwIfAborted();
    answers.push(visit(app, ports[app] ?? 0, progress));
  }
  const restMs = startedMs + dayMs / factor - performance.now();
  if (restMs > 0) await sleep(restMs, undefined, {signal});
  return Promise.all(answers);
}

async function visit(app: number, port: number, progress: PartContext['progress']): Promise<Answer> {
  const fromMs = Date.now();
  try {
    const {answerMs} = await timedAnswer(port, question, answerTimeoutMs);
    return {app, fromMs, untilMs: Date.now(), answerMs};
  } catch (error) {
    progress(`${appAt(app)}: ${errorMessage(error)}`);
    return {app, fromMs, untilMs: Date.now(), answerMs: null};
  }
}

/** @returns the mean memory of gateway, pager, Redis and restores that are prepared; apps that are awake are not in it */
async function watchMemory(gateway: ScaleGateway, signal: AbortSignal): Promise<number> {
  const found: number[] = [];
  const prepared = /\bswrk\b|\bcriu\b|\bsleep\b/;
  while (!signal.aborted) {
    const processes = (await gateway.memory()).filter(({name}) => gatewayPattern.test(name) || prepared.test(name));
    found.push(processes.reduce((sum, process) => sum + process.proportionalBytes, 0));
    await sleep(memoryEveryMs, undefined, {signal}).catch(() => undefined); // The day is over.
  }
  return found.reduce((sum, bytes) => sum + bytes, 0) / found.length;
}
