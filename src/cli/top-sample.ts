/** What `picogate top` shows at one moment: records of all apps from Redis, and what the workers tell of those that run. */
import type {Config} from '../config/value.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Connection} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {openState} from '../store/state.ts';
import {openWorkers} from '../store/workers.ts';

export interface TopApp {
  readonly record: AppRecord;
  readonly isPinned: boolean;
  readonly memoryBytes: number | null;
  /** Null before the second look. */
  readonly bytesPerSecond: number | null;
  /** Of all time, as its namespace counts; null when it sleeps. */
  readonly trafficBytes: number | null;
}

export interface TopSample {
  readonly atMs: number;
  readonly apps: readonly TopApp[];
  readonly workers: number;
}

interface Running {
  readonly memoryBytes: number | null;
  readonly trafficBytes: number;
}

const workerAnswerMs = 2000;

function runningOf(answer: Json): readonly (readonly [string, Running])[] {
  if (!Array.isArray(answer)) return [];
  return (answer as readonly Json[]).flatMap((one) => {
    if (typeof one !== 'object' || one === null || !('name' in one)) return [];
    const {name, memoryBytes, receivedBytes, sentBytes} = one;
    const trafficBytes = Number(receivedBytes) + Number(sentBytes);
    return typeof name !== 'string' ? [] : [[name, {memoryBytes: typeof memoryBytes === 'number' ? memoryBytes : null, trafficBytes}] as const];
  });
}

/** A worker that does not answer in time is left out of it: what only it knows is missing then. @param before the sample before, for rates */
export async function takeSample({config, connection}: {config: Config; connection: Connection}, before: TopSample | null): Promise<TopSample> {
  const [records, workers] = await Promise.all([openState(connection).listApps(), openWorkers(connection).list()]);
  const alive = workers.filter(({state}) => state === 'alive').map(({name}) => name);
  const asked = alive.length === 0 ? [undefined] : alive;
  const answers = await Promise.all(
    asked.map((worker) => callControl(connection, 'top', null, {timeoutMs: workerAnswerMs, worker}).catch((): Json => [])), // Left out, see above.
  );
  const running = new Map(answers.flatMap(runningOf));
  const pinned = new Set<string>(config.apps.filter(({pin}) => pin).map(({name}) => name));
  const atMs = Date.now();
  const apps = [...records.values()].flatMap((record): TopApp[] => {
    if (record instanceof Error) return [];
    const now = running.get(record.name);
    const last = before?.apps.find((app) => app.record.name === record.name)?.trafficBytes ?? null;
    const trafficBytes = now?.trafficBytes ?? null;
    // A wake begins to count anew, in a new namespace.
    const grown = trafficBytes === null || last === null || before === null || trafficBytes < last ? null : trafficBytes - last;
    const bytesPerSecond = grown === null || before === null ? null : (grown / Math.max(1, atMs - before.atMs)) * 1000;
    const isPinned = pinned.has(record.name) || (record.pin !== null && (record.pin.until ?? Number.POSITIVE_INFINITY) > atMs);
    return [{record, isPinned, memoryBytes: now?.memoryBytes ?? null, bytesPerSecond, trafficBytes}];
  });
  return {atMs, apps, workers: Math.max(1, alive.length)};
}
