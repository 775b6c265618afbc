/** All apps of one worker: recovers them from Redis and the store, and answers for them by name. */

import {mkdir, rm} from 'node:fs/promises';
import {hostname} from 'node:os';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, fencingToken, type Generation, type InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Events} from '../store/events.ts';
import type {Leases} from '../store/lease.ts';
import type {State as Store} from '../store/state.ts';
import {App} from './app.ts';
import type {Containers} from './container.ts';
import type {CheckpointDriver} from './criu.ts';
import {type GenerationMeta, type Network, type Pager, type Rest, restLayers} from './instance.ts';
import {dropLayers, setLostLayersAside, tidyLayers} from './layer-chain.ts';
import {appRecords, parseDetails, recordFields} from './records.ts';
import {StandbyLimit} from './standby-limit.ts';

/** A waiting CRIU and its keeper are processes; its images stay in memory. */
const standbyLimits = {count: 64, bytes: 64 * 1024 * 1024} as const;

/** What the supervisor needs of the store of generations, besides what one instance needs. */
export interface GenerationStore extends Pager {
  /** @throws CodedError for a manifest that is damaged or missing */
  meta(app: string, generation: Generation): Promise<{readonly meta: unknown; readonly token: number}>;
  /** Removes what an interrupted commit left. */
  sweep(app: string): Promise<void>;
}

export interface SupervisorOptions {
  readonly apps: readonly AppConfig[];
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly keepGenerations: number;
  readonly stopTimeoutMs: number;
  readonly store: Store;
  readonly leases: Leases;
  readonly events: Events;
  readonly pager: GenerationStore;
  readonly containers: Containers;
  readonly criu: CheckpointDriver;
  readonly addNetwork: (app: AppConfig, index: number) => Promise<Network>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Supervisor extends AsyncDisposable {
  /** @throws CodedError ERR_UNKNOWN_APP */
  app(name: string): App;
  /** A packet for a sleeping app is held. */
  packetWanted(name: AppName, trigger: Trigger): void;
  /** The pager gave up an instance. */
  instanceLost(instance: InstanceId, reason: string): void;
  /** Another pager serves: it knows nothing of restores that were only prepared. */
  pagerRestarted(): void;
  /** Wakes the apps with `start eager`; failures are logged. */
  startEager(): void;
}

function parseMeta(value: unknown): GenerationMeta {
  if (typeof value === 'object' && value !== null && 'layers' in value && 'flows' in value && Array.isArray(value.layers) && Array.isArray(value.flows)) {
    return value as GenerationMeta;
  }
  throw new CodedError('ERR_DAMAGED_CHECKPOINT', 'Cannot read the layers and connections of a generation', {source: 'host'});
}

async function readMeta(options: SupervisorOptions, name: AppName, generation: Generation): Promise<{meta: GenerationMeta; token: number}> {
  const {meta, token} = await options.pager.meta(name, generation);
  return {meta: parseMeta(meta), token};
}

/**
 * Makes the newest generation of the store the app's own, where Redis does not know of it: it was emptied, or has lost its
 * last second, or the gateway was killed at that moment. The app has not run since the generation was made.
 */
async function adopt(options: SupervisorOptions, record: AppRecord, generation: Generation): Promise<AppRecord> {
  let token: number;
  try {
    ({token} = await readMeta(options, record.name, generation));
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    options.log.error({app: record.name, generation, error: errorMessage(error)}, 'a checkpoint that Redis does not know cannot be read; it is kept');
    return record;
  }
  const details = {startsFromFiles: false, layers: []};
  const adopted: AppRecord = {...record, generation, state: 'hibernated', residency: 'warm', worker: null, details};
  await options.store.restoreApp(adopted, fencingToken(token));
  options.log.warn({app: record.name, generation, recorded: record.generation}, 'the newest checkpoint was not recorded in Redis; now it is');
  return adopted;
}

/**
 * A copy of the generation at which Redis points was being made when the gateway was killed. The app may have run since, and ended by itself: what
 * it left must not be put aside for a copy of what was before.
 */
async function generationsThatCount({pager, log}: SupervisorOptions, app: AppName, pointer: Generation | null): Promise<readonly Generation[]> {
  const generations = await pager.generations(app);
  if (pointer === null || pointer === generations.at(-1) || !generations.includes(pointer)) return generations;
  try {
    await pager.discardCopies(app, pointer);
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    log.error({app, generation: pointer, error: errorMessage(error)}, 'the generation at which Redis points is damaged, and has a copy');
  }
  return pager.generations(app);
}

/** What the next wake starts from, after whatever the last gateway did. */
async function recover(options: SupervisorOptions, app: AppConfig): Promise<{record: AppRecord; rest: Rest}> {
  const {pager, store, clock, log} = options;
  const fresh = recordFields(
    {state: 'stopped', rest: {kind: 'files', layers: []}, fileLayers: [], token: null, lastWake: null, lastHibernate: null, lastError: null},
    hostname(),
    clock.nowMs(),
  );
  let record = await store.ensureApp(app.name, fresh);
  await pager.sweep(app.name);
  const generations = await generationsThatCount(options, app.name, record.generation);
  const newest = generations.at(-1);
  if (newest !== undefined && newest > (record.generation ?? 0)) record = await adopt(options, record, newest);
  const details = parseDetails(record.details);
  if (record.generation === null || (details.startsFromFiles && details.layers.length > 0)) return {record, rest: {kind: 'files', layers: details.layers}};
  const generation = storedGeneration(options, app.name, record.generation, generations);
  try {
    const {meta} = await readMeta(options, app.name, generation);
    return {record, rest: {kind: 'checkpoint', generation, meta}};
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT' && errorCode(error) !== 'ERR_NO_CHECKPOINT') throw error;
    log.error({app: app.name, generation, error: errorMessage(error)}, 'the newest checkpoint cannot be read; it is kept');
    return {record, rest: {kind: 'checkpoint', generation, meta: {layers: [], flows: []}}};
  }
}

/**
 * Redis may point at a generation that was taken back: when it was lost at the moment of the commit, and the app went on.
 * The one before it is the last that counts then.
 */
function storedGeneration({log}: SupervisorOptions, app: AppName, pointer: Generation, generations: readonly Generation[]): Generation {
  const newest = generations.filter((generation) => generation <= pointer).at(-1);
  if (newest === undefined || newest === pointer) return pointer;
  log.error({app, generation: pointer, instead: newest}, 'the newest checkpoint was taken back or is gone; the one before it counts');
  return newest;
}

/** Only when every kept generation says which layers are its own can the others be told from them. */
async function setLayersAside(
  {log}: SupervisorOptions,
  app: {name: AppName; layersDir: string; rest: Rest; keptMetas: () => Promise<readonly GenerationMeta[]>},
): Promise<void> {
  const {name, layersDir, rest, keptMetas} = app;
  try {
    const known = new Set([...(await keptMetas()).flatMap((meta) => meta.layers), ...restLayers(rest)]);
    const aside = await setLostLayersAside(layersDir, known);
    if (aside.length > 0) log.warn({app: name, layersDir, aside}, 'files written after the last checkpoint were put aside');
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    log.error({app: name, error: errorMessage(error)}, 'no file-system layer is removed, since a damaged checkpoint may need it');
  }
}

async function openApp(options: SupervisorOptions, config: AppConfig, standbys: StandbyLimit): Promise<App> {
  const {record, rest} = await recover(options, config);
  const network = await options.addNetwork(config, record.index);
  const workDir = join(options.runtimeDir, 'work', config.name);
  const dumpDir = join(options.stateDir, 'dumps', config.name);
  for (const directory of [workDir, dumpDir]) {
    await rm(directory, {recursive: true, force: true});
    await mkdir(directory, {recursive: true, mode: 0o700});
  }
  const layersDir = join(options.stateDir, 'apps', config.name, 'layers');
  const keptMetas = async (): Promise<GenerationMeta[]> => {
    const generations = await options.pager.generations(config.name);
    return Promise.all(generations.map(async (generation) => (await readMeta(options, config.name, generation)).meta));
  };
  const tidy = async (current: Rest): Promise<Rest> => tidyLayers({layersDir, rest: current, kept: await keptMetas(), inUse: () => app.layers()});
  await setLayersAside(options, {name: config.name, layersDir, rest, keptMetas});
  const app: App = new App({
    config,
    network,
    pager: options.pager,
    container: await options.containers.prepare(config, network.netnsPath),
    criu: options.criu,
    standbys,
    workDir,
    dumpDir,
    records: appRecords({
      app: config.name,
      worker: hostname(),
      store: options.store,
      leases: options.leases,
      events: options.events,
      clock: options.clock,
      log: options.log,
      onLost: (reason) => void app.lost(reason),
      record: () => ({...recordFields(app.status(), hostname(), options.clock.nowMs()), name: config.name, index: record.index, generation: app.pointer}),
    }),
    clock: options.clock,
    log: options.log,
    rest,
    pointer: record.generation,
    lastWake: record.lastWake,
    lastHibernate: record.lastHibernate,
    keepGenerations: options.keepGenerations,
    tidy,
    stored: async (current) => (current.kind === 'files' ? current : {...current, meta: (await readMeta(options, config.name, current.generation)).meta}),
    dropLayers: () => dropLayers(layersDir),
  });
  if (rest.kind === 'checkpoint') network.setFlows(rest.meta.flows);
  await app.correctRecord(record.state);
  app.settle();
  return app;
}

/** @throws CodedError when an app cannot be prepared; what was opened is closed then */
export async function openSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const {log, clock} = options;
  const apps = new Map<string, App>();
  const standbys = new StandbyLimit(standbyLimits);
  for (const config of options.apps) apps.set(config.name, await openApp(options, config, standbys));
  const find = (name: string): App => {
    const app = apps.get(name);
    if (app === undefined)
      throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}": the gateway has ${[...apps.keys()].join(', ') || 'none'}`, {source: 'client'});
    return app;
  };
  return {
    app: find,
    packetWanted: (name, trigger) => find(name).wakeForPacket(trigger),
    instanceLost(instance, reason) {
      const app = [...apps.values()].find((candidate) => candidate.instance === instance);
      if (app !== undefined) void app.lost(reason);
    },
    pagerRestarted() {
      for (const app of apps.values()) app.prepareWake();
    },
    startEager() {
      for (const config of options.apps) {
        if (config.start !== 'eager') continue;
        find(config.name)
          .wake({kind: 'start'})
          .catch((error: unknown) => log.error({app: config.name, error: errorMessage(error)}, 'the app could not be started'));
      }
    },
    async [Symbol.asyncDispose]() {
      const deadlineMs = clock.monotonicMs() + options.stopTimeoutMs;
      await Promise.all([...apps.values()].map((app) => app.stop(deadlineMs)));
    },
  };
}
