/** A gateway started as an operator starts it, `bin/picogate run -f FILE`, with a state directory of its own, and controlled through Redis. */
import {once} from 'node:events';
import {cp, mkdtemp, open, readdir, readFile, rm, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {run, startDaemon} from '../src/core/command.ts';
import {appName} from '../src/core/ids.ts';
import {createLog} from '../src/core/log.ts';
import type {AppRecord, Residency} from '../src/store/app-record.ts';
import {connectRedis} from '../src/store/connection.ts';
import {callControl} from '../src/store/control.ts';
import type {Json} from '../src/store/json.ts';
import {openPlacements, residencyOf} from '../src/store/placements.ts';
import {embeddedRedisPath} from '../src/store/redis-server.ts';
import {openState} from '../src/store/state.ts';
import {until} from '../test/helpers/until.ts';
import {type ProcessMemory, treeMemory, treeTimeMs} from './process-tree.ts';

export const programPath = fileURLToPath(new URL('../bin/picogate', import.meta.url));
const fixtures = fileURLToPath(new URL('../test/fixtures', import.meta.url));
const readyDescriptor = 3;
const controlTimeoutMs = 180_000;
const stopTimeoutMs = 60_000;
const hibernateTimeoutMs = 60_000;
const hibernateRetryMs = 1000;
/** It is said soon after it is so. */
const coldTimeoutMs = 5000;

/** The gateway is quiet when it has worked less than this in a window. What Redis and timers need is far less. */
const quiet = {windowMs: 50, workMs: 2, timeoutMs: 20_000} as const;

/** What the pager has done for a running app so far. */
export interface PagingFacts {
  /** Null when the app was not restored, or had no faults. */
  readonly medianFaultMicros: number | null;
  readonly installedPages: number | null;
}

export interface BenchGateway extends AsyncDisposable {
  /** Puts a running app to sleep when what it was asked is over; resolves to its record when that is done. `cold`: nothing of it stays on this host. */
  hibernate(name: string, options?: {readonly cold: boolean}): Promise<AppRecord>;
  record(name: string): Promise<AppRecord>;
  paging(name: string): Promise<PagingFacts>;
  /** What is stored of the apps on this host. */
  readonly storeDir: string;
  /** Space on the disk of all that is in the local store. */
  storeBytes(): Promise<number>;
  /** The app's private address. */
  address(name: string): Promise<string>;
  /** A command of `picogate`, as the program itself gives it to a running gateway. */
  control(command: string, args: Json): Promise<Json>;
  /** Resolves when no process of the gateway works any more: all that follows a wake or a sleep is done. */
  untilQuiet(): Promise<void>;
  memory(): Promise<ProcessMemory[]>;
}

export interface BenchGatewayOptions {
  /** Renders apps, frontends and backends; `programs` is a directory with copies of the tests' fixtures. `global` and `defaults` are added. */
  readonly configure: (programs: string) => string;
  /** More lines for `global`, and more of the environment. */
  readonly globals?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Puts before the command line what starts it: `taskset -c 1`. */
  readonly startedBy?: (argv: readonly [string, ...string[]]) => readonly [string, ...string[]];
  readonly signal: AbortSignal;
}

/** Resolves when the gateway is ready. The caller disposes it: then nothing of it is left. */
export async function startBenchGateway(options: BenchGatewayOptions): Promise<BenchGateway> {
  await using scope = new AsyncDisposableStack();
  const stateDir = await mkdtemp('/var/tmp/picogate-bench-');
  scope.defer(() => rm(stateDir, {recursive: true, force: true}));
  const programs = join(stateDir, 'programs');
  await cp(fixtures, programs, {recursive: true});
  const configFile = join(stateDir, 'picogate.cfg');
  const logFile = join(stateDir, 'gateway.log');
  await writeFile(configFile, configuration(stateDir, options.globals ?? [], options.configure(programs)));
  // After the gateway's end: harmless if it left nothing.
  scope.defer(() => run([programPath, 'cleanup', '-f', configFile], {timeoutMs: stopTimeoutMs}).then(() => undefined));

  await using log = await open(logFile, 'a');
  const argv = [programPath, 'run', '-f', configFile, '--ready-fd', String(readyDescriptor)] as const;
  const daemon = scope.use(
    await startDaemon(options.startedBy?.(argv) ?? argv, {
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
      env: {...process.env, ...options.env},
      stopTimeoutMs,
    }),
  );
  const ready = daemon.child.stdio[readyDescriptor];
  const first = await Promise.race([ready === null || ready === undefined ? daemon.exited : once(ready, 'data').then(() => null), daemon.exited]);
  if (first !== null) throw new Error(`the gateway ended at once: ${(await readFile(logFile, 'utf8')).slice(-2000)}`);

  const connection = scope.use(await connectRedis({url: `unix:${embeddedRedisPath(join(stateDir, 'run'))}`, log: createLog('silent')}));
  const state = openState(connection);
  const control = async (command: string, args: Json): Promise<Json> =>
    callControl(connection, command, args, {timeoutMs: controlTimeoutMs, signal: options.signal});
  const record = async (name: string): Promise<AppRecord> => {
    const found = await state.readApp(appName(name));
    if (found === null) throw new Error(`no app ${name}`);
    return found;
  };
  const placements = openPlacements(connection);
  const residency = async (name: string): Promise<Residency> => residencyOf(await record(name), (await placements.read()).get(name)).residency;
  const storeDir = join(stateDir, 'store');
  const owned = scope.move();
  return {
    storeDir,
    record,
    control,
    async hibernate(name, {cold} = {cold: false}) {
      await untilQuiet(daemon.pid, options.signal);
      const deadlineMs = performance.now() + hibernateTimeoutMs;
      for (;;) {
        const result = await control('hibernate', {name, ...(cold && {cold})});
        if (result === 'hibernated') {
          if (cold) await until(async () => (await residency(name)) === 'cold', {timeoutMs: coldTimeoutMs, what: `${name} to be cold`});
          return record(name);
        }
        // An app that still closes its last connection, or that a busy machine has not let run yet, is not put to sleep. Its address has no
        // route during an attempt, so the end of a connection needs the time between two.
        if (performance.now() > deadlineMs) throw new Error(`${name} was not hibernated within ${hibernateTimeoutMs} ms: ${JSON.stringify(result)}`);
        await sleep(hibernateRetryMs, undefined, {signal: options.signal});
      }
    },
    async address(name) {
      const shown = await control('show', {name});
      if (typeof shown === 'object' && shown !== null && 'address' in shown && typeof shown.address === 'string') return shown.address;
      throw new Error(`${name} has no address`);
    },
    async paging(name) {
      const shown = await control('show', {name});
      const paging = typeof shown === 'object' && shown !== null && 'paging' in shown ? shown.paging : null;
      const fact = (field: string): number | null => {
        const value = typeof paging === 'object' && paging !== null ? new Map(Object.entries(paging)).get(field) : null;
        return typeof value === 'number' ? value : null;
      };
      return {medianFaultMicros: fact('medianFaultMicros'), installedPages: fact('prefetched')};
    },
    storeBytes: () => diskBytes(storeDir),
    untilQuiet: () => untilQuiet(daemon.pid, options.signal),
    memory: () => treeMemory(daemon.pid),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function diskBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, {recursive: true, withFileTypes: true});
  const sizes = await Promise.all(
    entries.map(async (entry) => {
      if (!entry.isFile()) return 0;
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => null); // It may have been removed meanwhile.
      return found === null ? 0 : found.blocks * 512;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function configuration(stateDir: string, globals: readonly string[], sections: string): string {
  return `global
    state-dir ${stateDir}
${globals.map((line) => `    ${line}\n`).join('')}defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout wake 2m
    hibernate-after never
${sections}`;
}

/** Resolves when neither the process nor its descendants work any more. @throws Error when that takes too long */
export async function untilQuiet(pid: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + quiet.timeoutMs;
  for (let before = await treeTimeMs(pid); ; ) {
    await sleep(quiet.windowMs, undefined, {signal});
    const now = await treeTimeMs(pid);
    // Less than before: a process has ended, so something went on.
    if (now >= before && now - before < quiet.workMs) return;
    if (performance.now() > deadlineMs) throw new Error(`the gateway still works after ${quiet.timeoutMs} ms`);
    before = now;
  }
}
