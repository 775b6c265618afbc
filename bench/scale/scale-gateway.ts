/** A gateway on a state directory that outlives it: `bin/picogate run`, timed from its start to its readiness. */
import {once} from 'node:events';
import {open, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {run, startDaemon} from '../../src/core/command.ts';
import {appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import type {AppRecord} from '../../src/store/app-record.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {callControl} from '../../src/store/control.ts';
import {openEvents, type StoredEvent} from '../../src/store/events.ts';
import type {Json} from '../../src/store/json.ts';
import {embeddedRedisPath} from '../../src/store/redis-server.ts';
import {openState} from '../../src/store/state.ts';
import {programPath} from '../bench-gateway.ts';
import {type ProcessMemory, treeMemory, treeTimeMs} from '../process-tree.ts';

const readyDescriptor = 3;
const stopTimeoutMs = 120_000;
const controlTimeoutMs = 60_000;
const hibernateTimeoutMs = 60_000;
const hibernateRetryMs = 500;

export interface ScaleGateway extends AsyncDisposable {
  /** From the start of the program. */
  readonly readyMs: number;
  /** Resolves when less than this share of a core was used for some seconds. @returns when that was, from the start on; null when it never was */
  untilSettled(options: {readonly share: number; readonly timeoutMs: number}): Promise<number | null>;
  /** Share of a core that all its processes use meanwhile. */
  cpuShare(durationMs: number): Promise<number>;
  memory(): Promise<ProcessMemory[]>;
  record(app: string): Promise<AppRecord | null>;
  hibernate(app: string): Promise<void>;
  /** A command of `picogate`, as the program itself gives it to a running gateway. */
  control(command: string, args: Json): Promise<Json>;
  /** What happens to apps from now on, until `signal` aborts. */
  events(signal: AbortSignal): AsyncGenerator<StoredEvent, void, void>;
  usage(): Promise<Usage>;
}

/** Of all apps together. */
export interface Usage {
  readonly activeGbSeconds: number;
  readonly wakes: number;
}

const settleWindowMs = 2000;

export async function startScaleGateway(stateDir: string, signal: AbortSignal): Promise<ScaleGateway> {
  await using scope = new AsyncDisposableStack();
  const configFile = join(stateDir, 'picogate.cfg');
  const logFile = join(stateDir, 'gateway.log');
  // After the gateway's end: harmless if it left nothing.
  scope.defer(() => run([programPath, 'cleanup', '-f', configFile], {timeoutMs: stopTimeoutMs}).then(() => undefined));
  await using log = await open(logFile, 'a');
  const startedMs = performance.now();
  const daemon = scope.use(
    await startDaemon([programPath, 'run', '-f', configFile, '--ready-fd', String(readyDescriptor)], {
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
      stopTimeoutMs,
    }),
  );
  const ready = daemon.child.stdio[readyDescriptor];
  const first = await Promise.race([ready === null || ready === undefined ? daemon.exited : once(ready, 'data').then(() => null), daemon.exited]);
  const readyMs = performance.now() - startedMs;
  if (first !== null) throw new Error(`the gateway ended at once: ${(await readFile(logFile, 'utf8')).slice(-2000)}`);
  const connection = scope.use(await connectRedis({url: `unix:${embeddedRedisPath(join(stateDir, 'run'))}`, log: createLog('silent')}));
  const state = openState(connection);
  const control = (command: string, args: Json): Promise<Json> => callControl(connection, command, args, {timeoutMs: controlTimeoutMs, signal});
  const cpuShare = async (durationMs: number): Promise<number> => {
    const before = await treeTimeMs(daemon.pid);
    const sinceMs = performance.now();
    await sleep(durationMs, undefined, {signal});
    // Less than before when a process has ended meanwhile, which counts as work.
    const usedMs = (await treeTimeMs(daemon.pid)) - before;
    return usedMs < 0 ? 1 : usedMs / (performance.now() - sinceMs);
  };
  const owned = scope.move();
  return {
    readyMs,
    cpuShare,
    control,
    events: (until) => openEvents(connection).follow({signal: until}),
    async usage() {
      const {stdout} = await run([programPath, 'usage', '-f', configFile, '--json'], {timeoutMs: controlTimeoutMs});
      return (JSON.parse(stdout) as {readonly total: Usage}).total;
    },
    memory: () => treeMemory(daemon.pid),
    record: (app) => state.readApp(appName(app)),
    async hibernate(app) {
      for (const deadlineMs = performance.now() + hibernateTimeoutMs; ; ) {
        // An app that still closes its last connection is not put to sleep.
        const result = await control('hibernate', {name: app});
        if (result === 'hibernated') return;
        if (performance.now() > deadlineMs) throw new Error(`${app} was not put to sleep: ${JSON.stringify(result)}`);
        await sleep(hibernateRetryMs, undefined, {signal});
      }
    },
    async untilSettled({share, timeoutMs}) {
      while (performance.now() - startedMs < timeoutMs) {
        if ((await cpuShare(settleWindowMs)) < share) return performance.now() - startedMs - settleWindowMs;
      }
      return null;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
