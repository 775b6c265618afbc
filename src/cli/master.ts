/**
 * The life of a gateway that runs: opens it, reads the configuration again when it is told to, and ends as the signals say, as HAProxy's
 * master does. There is one process: a reload opens another generation of the edge inside it (docs/decisions.md).
 */
import {writeFile} from 'node:fs/promises';
import {Dashboard} from '../admin/dashboard/dashboard.ts';
import {renderDiagnostic} from '../config/diagnostic.ts';
import type {SourceFile} from '../config/parse.ts';
import type {Config} from '../config/value.ts';
import {systemClock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {lowerHelperThreads} from '../core/helper-threads.ts';
import {trimMemory} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import type {StatsAnswer} from '../edge/http/stats-answer.ts';
import {takeOldSockets} from '../edge/old-sockets.ts';
import {type GivenSocket, takeGivenSockets, withGivenSockets} from './activation.ts';
import {AddedAppsControl} from './added-apps.ts';
import {load} from './configuration.ts';
import {dashboardWithoutApps} from './dashboard-source.ts';
import {applyEnvironment} from './environment.ts';
import {type Gateway, hardStopAfterMs, openGateway} from './gateway.ts';
import type {HaproxyArguments} from './haproxy-arguments.ts';
import {gatewayMetrics} from './metrics.ts';
import {openNotifier} from './notify.ts';
import {allowOpenFiles} from './open-files.ts';
import {dropPrivileges} from './privileges.ts';
import {type Role, roleConfig} from './role.ts';
import {runtimeControl} from './runtime-control.ts';
import {statsAnswer} from './stats-answer.ts';
import {openStatsSockets, parseMasterSocket} from './stats-sockets.ts';
import {listenToSignals, type MasterSignal} from './stop-signal.ts';

/** Files that were read, and what they say. */
export interface ValidConfiguration {
  readonly config: Config;
  readonly sources: readonly SourceFile[];
}

export interface MasterOptions extends Pick<HaproxyArguments, 'masterSocket' | 'pidFile' | 'replaced' | 'oldSocket' | 'maxconn'> {
  readonly files: readonly string[] | undefined;
  readonly log: Log;
  /** Default: all of it. */
  readonly role?: Role;
  /** Called when everything is open. */
  readonly onReady: () => void;
}

/** Beside apps that are put to sleep and brought to the store: the pager, Redis, the network. */
const partsStopMs = 20_000;

/** What a reload is told of, and does not change: what was given on the command line. */
function withArguments(loaded: Config, {maxconn, role = 'all', log}: MasterOptions, given: readonly GivenSocket[]): Config {
  const config = withGivenSockets(roleConfig(loaded, role), given, log);
  return maxconn === null ? config : {...config, global: {...config.global, maxconn}};
}

/**
 * Runs until a signal ends it.
 * @param loaded what was loaded from `files`, and is valid
 * @returns the signal
 * @throws CodedError when something cannot be opened; nothing is left open then
 */
export async function runMaster(loaded: ValidConfiguration, options: MasterOptions): Promise<MasterSignal> {
  const {log} = options;
  const given = takeGivenSockets(process.env);
  const prepare = (config: Config): Config => withArguments(config, options, given);
  const startedAtMs = Date.now();
  // First of all, so that a signal that comes meanwhile is not lost.
  using signals = listenToSignals();
  lowerHelperThreads();
  const master = options.masterSocket === null ? null : parseMasterSocket(options.masterSocket);
  using notifier = openNotifier(process.env, systemClock);
  applyEnvironment(loaded.config.environment);
  await allowOpenFiles(loaded.config.global.process.openFiles);
  const added = await AddedAppsControl.open(loaded.config, loaded.sources, {log, prepare, remembers: options.role !== 'edge'});
  // What the page shows is known when the gateway runs.
  const statistics: {answer: StatsAnswer} = {answer: () => null};
  await using gateway = await openWithAdded(loaded.config, added, {...options, prepare, stats: (page, transaction) => statistics.answer(page, transaction)});
  const {config} = gateway;
  const reloads = {done: 0, failed: 0};
  const state = {stopping: false};

  const reload = async (): Promise<string | null> => {
    notifier.reloading();
    const configureSockets = (next: Config): Promise<void> => sockets.configure(next.global.process);
    const problem = await added.alone(() => takeOver({gateway, added}, {files: options.files, prepare, configureSockets}));
    notifier.ready(problem === null ? statusOf(gateway) : `Reload refused, everything stays as it was: ${problem.split('\n', 1)[0] ?? ''}`);
    // They hold on to the configuration of before.
    dashboard.endStreams();
    if (problem === null) reloads.done++;
    else reloads.failed++;
    if (problem !== null) log.error({reason: problem}, 'reload refused; everything stays as it was');
    return problem;
  };
  const control = runtimeControl({gateway, startedAtMs, stopping: () => state.stopping, reloads: () => reloads, reload});
  using dashboard = new Dashboard({source: () => gateway.dashboard ?? dashboardWithoutApps, control, clock: systemClock, log});
  const metrics = async (): Promise<string> => {
    await control.synchronize({sessions: false});
    return gatewayMetrics(gateway.apps?.commands, {traffic: control, holds: gateway.holds});
  };
  statistics.answer = statsAnswer({dashboard, control, config: () => gateway.config, metrics});
  await using sockets = openStatsSockets(control, master);
  await sockets.configure(config.global.process);
  const pidFile = options.pidFile ?? config.global.process.pidFile;
  if (pidFile !== null) await writeFile(pidFile, `${process.pid}\n`);
  dropPrivileges(config.global.process, {hasApps: gateway.apps !== null, log});
  await using _following = await added.begin(gateway);
  // Now, when nobody is served yet: V8 collects when it needs room, so an idle process would keep what starting has left (bin/picogate has the option).
  globalThis.gc?.({type: 'major', execution: 'sync', flavor: 'last-resort'});
  trimMemory();
  notifier.ready(statusOf(gateway));
  log.info({apps: gateway.config.apps.length, frontends: config.frontends.length}, 'ready');
  options.onReady();
  tellReplaced(options);

  for await (const signal of signals.received()) {
    if (signal === 'SIGUSR2' || (signal === 'SIGHUP' && gateway.config.global.process.masterWorker)) await reload();
    else if (signal === 'SIGHUP') logServers(gateway, log);
    else {
      state.stopping = true;
      notifier.stopping(2 * gateway.config.global.stopTimeoutMs + partsStopMs);
      dashboard[Symbol.dispose]();
      log.info({signal}, 'stopping');
      if (signal === 'SIGUSR1') await softStop(gateway, signals.hardStop);
      return signal;
    }
  }
  throw new CodedError('ERR_ASSERTION', 'Signals have come to an end', {source: 'bug'});
}

/** What `systemctl status` shows. */
function statusOf({config: {apps, frontends}}: Gateway): string {
  return `Ready: apps ${apps.length}, frontends ${frontends.length}.`;
}

interface OpenOptions extends Pick<MasterOptions, 'log' | 'role' | 'oldSocket'> {
  readonly stats: StatsAnswer;
  readonly prepare: (config: Config) => Config;
}

/** Apps that were added must not keep the others from running. */
async function openWithAdded(loaded: Config, added: AddedAppsControl, {log, role = 'all', oldSocket, stats, prepare}: OpenOptions): Promise<Gateway> {
  using oldSockets = oldSocket === null ? null : takeOldSockets(oldSocket);
  const open = (config: Config): Promise<Gateway> => openGateway(prepare(config), {role, log, stats, changes: added.handlers, oldSockets});
  const combined = (await added.combined(loaded)) ?? loaded;
  try {
    return await open(combined);
  } catch (error) {
    if (combined.apps.length === loaded.apps.length) throw error;
    log.error({error: errorMessage(error)}, 'the gateway cannot be opened with the apps that were added, and is without them');
    return await open(loaded);
  }
}

/** @returns what was wrong, or null */
async function takeOver(
  {gateway, added}: {readonly gateway: Gateway; readonly added: AddedAppsControl},
  options: Pick<MasterOptions, 'files'> & {
    readonly prepare: (config: Config) => Config;
    readonly configureSockets: (config: Config) => Promise<void>;
  },
): Promise<string | null> {
  const {files, prepare, configureSockets} = options;
  try {
    const {config, diagnostics, sources} = await load(files);
    const messages = diagnostics.map((diagnostic) => renderDiagnostic(diagnostic)).join('\n');
    if (messages !== '') process.stderr.write(`${messages}\n`);
    if (config === null) return messages;
    const next = prepare((await added.combined(config, sources)) ?? config);
    await configureSockets(next);
    applyEnvironment(next.environment, gateway.config.environment);
    try {
      await gateway.configure(next);
    } catch (error) {
      applyEnvironment(gateway.config.environment, next.environment);
      await configureSockets(gateway.config);
      throw error;
    }
    await added.reloaded(sources);
    return null;
  } catch (error) {
    return errorMessage(error);
  }
}

/** `-sf` and `-st`: whoever was to be replaced is told when we listen; both listened until now. */
function tellReplaced({replaced, log}: MasterOptions): void {
  if (replaced === null) return;
  for (const pid of replaced.pids) {
    try {
      process.kill(pid, replaced.how === 'finish' ? 'SIGUSR1' : 'SIGTERM');
    } catch (error) {
      // It has ended by itself.
      if (errorCode(error) !== 'ESRCH') log.warn({pid, reason: errorMessage(error)}, 'a process could not be told to end');
    }
  }
}

/** No new sessions; those that are there end by themselves, or after `hard-stop-after`, or at the next signal to stop. */
async function softStop({edge, config}: Gateway, hardStop: Promise<unknown>): Promise<void> {
  edge.stopAccepting();
  await Promise.race([edge.drain(hardStopAfterMs(config)), hardStop]);
}

/** What HAProxy writes to its logs on SIGHUP. */
function logServers({config: {backends}, edge}: Gateway, log: Log): void {
  for (const {name, servers} of backends) log.info({backend: name, servers: servers.map((server) => server.name)}, 'servers');
  for (const [frontend, counters] of edge.current.counters()) log.info({frontend, ...counters}, 'counters');
}
