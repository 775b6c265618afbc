/**
 * The edge through changes of the configuration: a new generation opens beside the old one, with the same listening sockets where addresses
 * stay, and the old one keeps its sessions, on its configuration, until they end.
 */
import {randomBytes} from 'node:crypto';
import type {AppConfig, Config} from '../config/value.ts';
import {systemClock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {AppAccess, AppWatch} from '../edge/app-access.ts';
import {type Edge, type EdgeOptions, openEdge} from '../edge/edge.ts';
import type {StatsAnswer} from '../edge/http/stats-answer.ts';
import {type HandedOverSocket, type ListeningSockets, openListeningSockets} from '../edge/listening-sockets.ts';
import type {OldSockets} from '../edge/old-sockets.ts';
import {KnownAnswers} from '../edge/probes/known-answers.ts';
import {SessionLimit} from '../edge/session-limit.ts';
import {EdgeThreads} from './threads/edge-threads.ts';
import type {ThreadedGeneration} from './threads/threaded-generation.ts';

/** Who runs the apps; there is no watch without apps. */
export interface AppParts {
  readonly access: AppAccess;
  readonly watch: AppWatch | null;
}

export interface EdgeGenerations extends AsyncDisposable {
  readonly current: Edge;
  /** Of all generations together: `maxconn` of the section `global`, or what an operator has set. */
  readonly limit: SessionLimit;
  /** What still has sessions: the present configuration, and those before it that drain. */
  configs(): readonly Config[];
  /** All edges that have sessions; the present one is the last. They are the first thread's. */
  edges(): readonly Edge[];
  readonly threads: EdgeThreads;
  /** What threads do of the present configuration. */
  readonly threaded: ThreadedGeneration;
  /**
   * Opens an edge for another configuration and lets the present one drain. Resolves when the new one listens.
   * @param options.drainMs how long old sessions may last; null: as long as they want
   * @param options.onDrained called when the old generation has ended
   * @throws CodedError; the present one goes on then
   */
  replace(config: Config, options: AppParts & {readonly drainMs: number | null; readonly onDrained: () => void}): Promise<void>;
  /** No listener stays open; sessions go on. */
  stopAccepting(): void;
  /** Another process may listen on the sockets beside this one from now on. */
  handOverListeners(): readonly HandedOverSocket[];
  /** Waits until all sessions of all generations have ended. */
  drain(deadlineMs: number | null): Promise<void>;
}

/** By lower-case name, as names of DNS are; one object for each app, by which the zones know it again. */
function findAppAmong(apps: readonly AppConfig[]): NonNullable<EdgeOptions['findApp']> {
  const byName = new Map(apps.map(({name, expose}) => [name.toLowerCase(), {name, expose}]));
  return (name) => byName.get(name) ?? null;
}

function wakeRatesOf({apps, global}: Config): NonNullable<EdgeOptions['wakeRates']> {
  return {perApp: new Map(apps.flatMap(({name, wakeRate}) => (wakeRate === null ? [] : [[name, wakeRate]]))), perSource: global.wakeRatePerSource};
}

/** Longer timers do not exist in Node. */
const foreverMs = 2 ** 31 - 1;

/** Of one configuration. */
interface Generation extends AsyncDisposable {
  readonly config: Config;
  readonly edge: Edge;
  readonly threaded: ThreadedGeneration;
  /** In all threads, as the other methods. */
  stopAccepting(): void;
  drain(deadlineMs: number): Promise<void>;
}

/** What outlives all generations. */
interface Shared {
  readonly log: Log;
  readonly stats: StatsAnswer;
  readonly sockets: ListeningSockets;
  readonly ticketKeys: Buffer;
  readonly limit: SessionLimit;
  readonly knownAnswers: KnownAnswers;
  readonly threads: EdgeThreads;
}

/** In all threads. @throws CodedError */
async function openGeneration(config: Config, apps: AppParts, {threads, ...shared}: Shared): Promise<Generation> {
  const threaded = threads.begin(config);
  const edge = await openEdge({
    ...shared,
    frontends: threaded.frontends.filter((frontend) => frontend.mode !== 'nat'),
    backends: config.backends,
    userlists: config.userlists,
    resolvers: config.resolvers,
    process: config.global.process,
    apps: apps.access,
    watch: apps.watch,
    clock: systemClock,
    wakeRates: wakeRatesOf(config),
    findApp: findAppAmong(config.apps),
    onServers: threaded.watcher,
    threads: threaded.count,
  });
  try {
    await threads.open(threaded, edge, {apps, config});
  } catch (error) {
    await edge[Symbol.asyncDispose]();
    throw error;
  }
  return generationOf(config, edge, {threads, threaded});
}

/** @throws CodedError ERR_BIND */
export async function openEdgeGenerations(
  first: Config,
  {log, stats, oldSockets, ...apps}: AppParts & {readonly log: Log; readonly stats: StatsAnswer; readonly oldSockets: OldSockets | null},
): Promise<EdgeGenerations> {
  const sockets = openListeningSockets(oldSockets);
  // Clients come back with the tickets of before a reload.
  const ticketKeys = randomBytes(48);
  const limit = new SessionLimit(first.global.maxconn);
  const threads = new EdgeThreads({sockets, limit, ticketKeys, log, form: first.global.gatewayLog.form});
  const shared: Shared = {log, stats, sockets, ticketKeys, limit, knownAnswers: new KnownAnswers(), threads};
  const open = (config: Config, parts: AppParts): Promise<Generation> => openGeneration(config, parts, shared);
  let current = await open(first, apps);
  const draining = new Set<Generation>();
  const everyone = (): readonly Generation[] => [...draining, current];

  const retire = async (generation: Generation, drainMs: number | null, onDrained: () => void): Promise<void> => {
    try {
      await generation.drain(drainMs ?? foreverMs);
      await generation[Symbol.asyncDispose]();
    } catch (error) {
      log.error({error: errorMessage(error)}, 'an old generation of the edge did not end well');
    }
    draining.delete(generation);
    onDrained();
  };

  return {
    get current() {
      return current.edge;
    },
    limit,
    threads,
    get threaded() {
      return current.threaded;
    },
    configs: () => everyone().map(({config}) => config),
    edges: () => everyone().map(({edge}) => edge),
    async replace(config, {drainMs, onDrained, ...apps}) {
      const next = await open(config, apps);
      const old = current;
      draining.add(old);
      current = next;
      threads.setMaxconn(config.global.maxconn);
      void retire(old, drainMs, onDrained);
    },
    stopAccepting: () => current.stopAccepting(),
    handOverListeners: () => sockets.handOver(),
    async drain(deadlineMs) {
      await Promise.all(everyone().map((generation) => generation.drain(deadlineMs ?? foreverMs)));
    },
    async [Symbol.asyncDispose]() {
      // The other threads first: what they have is told to the apps of this one.
      await threads[Symbol.asyncDispose]();
      await Promise.all(everyone().map(({edge}) => edge[Symbol.asyncDispose]()));
    },
  };
}

function generationOf(config: Config, edge: Edge, {threads, threaded}: {readonly threads: EdgeThreads; readonly threaded: ThreadedGeneration}): Generation {
  return {
    config,
    edge,
    threaded,
    stopAccepting() {
      edge.stopAccepting();
      threaded.stopAccepting();
    },
    async drain(deadlineMs) {
      await Promise.all([edge.drain(deadlineMs), threaded.drain(deadlineMs)]);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([edge[Symbol.asyncDispose](), threads.close(threaded)]);
    },
  };
}
