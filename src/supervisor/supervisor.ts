/** All apps of one worker: recovers them from Redis and the store, and answers for them by name. */

import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {MemoryMarks} from '../config/memory-marks.ts';
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, CodedError, errorMessage} from '../core/errors.ts';
import type {AppName, FencingToken, Generation, InstanceId} from '../core/ids.ts';
import {keptPath} from '../core/kept-path.ts';
import {limited} from '../core/limited.ts';
import type {Log} from '../core/log.ts';
import {describeTrigger, type Trigger} from '../core/trigger.ts';
import type {Events} from '../store/events.ts';
import type {Leases} from '../store/lease.ts';
import type {State as Store} from '../store/state.ts';
import {App} from './app.ts';
import type {Loss} from './app-errors.ts';
import {AppSet} from './app-set.ts';
import {AwakeApps} from './awake-apps.ts';
import type {Containers} from './containers.ts';
import type {CheckpointDriver} from './criu.ts';
import type {Shortage} from './eviction.ts';
import type {GenerationMeta, Network, Rest} from './instance.ts';
import type {Origin} from './late-rest.ts';
import {dropLayers, tidyLayers} from './layer-chain.ts';
import {LayerLimit} from './layer-limit.ts';
import {setLayersAside} from './layers-aside.ts';
import {MemoryLimit} from './memory-limit.ts';
import {RecordWatch, type RecordWatchOptions} from './record-watch.ts';
import {OwnRecords, pastOf, recordFields} from './records.ts';
import {type Findings, findApps, type GenerationStore, readMeta, recover, surveyedMeta} from './recover.ts';
import {originNow, recoverOwn, type SharedApps} from './recover-shared.ts';
import {RegularCheckpoints} from './regular-checkpoints.ts';
import type {RunningInstances} from './running-instances.ts';
import {Settling} from './settling.ts';
import {StandbyLimit, standbyLimits} from './standby-limit.ts';
import {WakeTurns} from './wake-turns.ts';

/** What is at the disk and in Redis while another app is opened. */
const opensAtATime = 32;

export interface SupervisorOptions {
  /** The name of this worker. */
  readonly worker: string;
  /** How long a worker may be silent before another one may take its apps. */
  readonly leaseMs: number;
  /** Null: this is the only worker. */
  readonly shared: SharedApps | null;
  /** A client of the app waits for an answer at another process' edge. @throws CodedError */
  readonly isBusyElsewhere: (app: AppName) => Promise<boolean>;
  readonly apps: readonly AppConfig[];
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly keepGenerations: number;
  readonly stopTimeoutMs: number;
  /** Null: apps may use what memory there is. */
  readonly memoryMarks: MemoryMarks | null;
  /** What layers and local copies of objects may take together; null without a remote store, when layers are nowhere else. */
  readonly cacheBytes: number | null;
  readonly store: Store;
  readonly leases: Leases;
  readonly events: Events;
  readonly pager: GenerationStore;
  readonly containers: Containers;
  /** Null: apps that run when this process is killed go back to their checkpoints. */
  readonly running: RunningInstances | null;
  readonly criu: CheckpointDriver;
  readonly addNetwork: (app: AppConfig, index: number) => Network;
  /** For an app that is closed before the supervisor is. */
  readonly removeNetwork: (app: string) => Promise<void>;
  /** Calls back when Redis was lost and is back. */
  readonly onRedisBack: RecordWatchOptions['onRedisBack'];
  /** The index that gives this address; undefined for one that no app can have here. */
  readonly indexOf: (address: string) => number | undefined;
  /** What is stored of an app may be another amount. */
  readonly onTidied: (app: AppName) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Supervisor extends AsyncDisposable {
  /** @throws CodedError ERR_UNKNOWN_APP */
  app(name: string): App;
  /** The app with the newest settings that were asked for, unless it runs with others. @throws CodedError */
  ready(name: string): Promise<App>;
  apps(): Iterable<App>;
  /** Null: it does not run, or is on its way to sleep. */
  awakeAddress(name: AppName): string | null;
  names(): Iterable<string>;
  /** Calls back when an app has begun to run, or does not run any more, until the returned function is called. */
  onAwakeChange(listener: (app: AppName, awake: boolean) => void): () => void;
  /** Opens new apps; others get changed settings before their next wake. @throws CodedError; no new one is open then */
  addApps(apps: readonly AppConfig[]): Promise<void>;
  /** Hibernates and forgets the apps that are not among these. Never throws. */
  retireApps(apps: readonly AppConfig[]): Promise<void>;
  /** A packet for a sleeping app is held. */
  packetWanted(name: AppName, trigger: Trigger): void;
  /** The pager gave up an instance. */
  instanceLost(instance: InstanceId, loss: Loss): void;
  /** Another pager serves: it knows nothing of restores that were only prepared, and could not take over every mount. */
  pagerRestarted(): void;
  /** This process did not get to run for so long that the apps may have been stopped: those whose leases are held go on. */
  afterSilence(): void;
  /** More of the apps is in the remote store than was: what is here may be too much. */
  stored(): void;
  /** What apps use of memory, and may; null without a limit. @throws Error when it cannot be read */
  memory(): Promise<Shortage | null>;
  /** Wakes the apps with `start eager`; failures are logged. */
  startEager(): void;
}

/** What all apps share. */
interface Shared {
  readonly standbys: StandbyLimit;
  readonly turns: WakeTurns;
  readonly awake: AwakeApps;
  readonly settling: Settling;
  readonly recordWatch: RecordWatch;
  /** An app with the newest settings. @throws CodedError */
  readonly ready: (name: string) => Promise<App>;
  /** Told when an app has gone to rest. */
  readonly rests: (name: string) => void;
}

function layersDirOf({stateDir}: SupervisorOptions, app: string): string {
  return keptPath(stateDir, 'apps', app, 'layers');
}

/** What belongs to no app that runs: the gateway has just started. */
async function removeOldWork({stateDir}: SupervisorOptions): Promise<void> {
  await rm(join(stateDir, 'dumps'), {recursive: true, force: true});
}

/** In the order of the settings. @throws CodedError when one cannot be prepared; what was opened is closed then */
async function openApps(options: SupervisorOptions, configs: readonly AppConfig[], shared: Shared): Promise<readonly App[]> {
  const findings = await findApps(options, configs);
  const opened = new Map<string, App>();
  try {
    const apps = await limited(findings, opensAtATime, async (found, at) => {
      const config = configs[at];
      assert(config !== undefined, 'An app was found that nobody asked for');
      const app = await openApp(options, {config, found}, shared);
      opened.set(config.name, app);
      return app;
    });
    shared.settling.begin();
    return apps;
  } catch (error) {
    for (const [name, app] of opened) {
      await app.stop(options.clock.monotonicMs());
      await forgetApp(options, name);
    }
    throw error;
  }
}

/** Frees what an app that does not run has of the host. */
async function forgetApp(options: SupervisorOptions, name: string): Promise<void> {
  await options.containers.remove(name);
  await options.removeNetwork(name);
}

interface RecordsOf {
  readonly index: number;
  readonly token: FencingToken | null;
  readonly app: () => App;
}

/** @param of.app is asked when something has happened to the app. @param of.token see `SharedRecords` */
function recordsOf(options: SupervisorOptions, {name, timers, wakeTimeoutMs}: AppConfig, of: RecordsOf): OwnRecords {
  const {worker, clock, shared} = options;
  const sharedRecords = shared && {
    token: of.token,
    onOverdue: (isOverdue: boolean) => of.app().sharing.standStill(isOverdue),
    isUnfinished: () => shared.isUnfinished(name),
  };
  return new OwnRecords({
    common: options,
    app: name,
    timers,
    shared: sharedRecords,
    wakeTimeoutMs,
    onLost: (reason) => void of.app().lost({reason, damaged: false}),
    record() {
      const app = of.app();
      return {...recordFields(app.status(), {worker, timers}, clock.nowMs()), name, index: of.index, generation: app.pointer, pin: app.wakefulness.operatorPin};
    },
  });
}

async function openApp(options: SupervisorOptions, {config, found}: {config: AppConfig; found: Findings}, shared: Shared): Promise<App> {
  const {standbys, turns, awake, ready, rests, settling, recordWatch} = shared;
  const others = options.shared;
  const {recovered, token} = others === null ? {recovered: await recover(options, config, found), token: null} : await recoverOwn(options, config, found);
  const {record, rest, outage} = recovered;
  const isKnown = others === null || token !== null;
  const network = options.addNetwork(config, record.index);
  const layersDir = layersDirOf(options, config.name);
  const metaOf = async (generation: Generation): Promise<GenerationMeta> => (await readMeta(options, config.name, generation)).meta;
  const keptMetas = async (): Promise<GenerationMeta[]> => Promise.all((await options.pager.generations(config.name)).map(metaOf));
  const tidy = async (current: Rest): Promise<Rest> =>
    tidyLayers({layersDir, rest: current, kept: await keptMetas(), inUse: () => [...app.layers(), ...app.standby.layers]});
  const {survey} = found;
  const foundMetas = (): Promise<GenerationMeta[]> =>
    Promise.all(survey.generations.map((generation) => surveyedMeta(options, config.name, {survey, generation})));
  const records = recordsOf(options, config, {index: record.index, token, app: () => app});
  const watchRecord = (): void => recordWatch.add(config.name, async () => !records.isStale() && records.restate(app.status().token));
  const app: App = new App({
    config,
    network,
    pager: options.pager,
    container: options.containers.add(config, network.netnsPath),
    criu: options.criu,
    running: options.running,
    standbys,
    turns,
    workDir: keptPath(options.containers.directory, '+work', config.name),
    dumpDir: keptPath(options.stateDir, 'dumps', config.name),
    records,
    clock: options.clock,
    log: options.log.child({app: config.name}),
    moved(to) {
      awake.moved(config.name, to);
      if (to === 'hibernated' || to === 'stopped' || to === 'failed') rests(config.name);
    },
    rest,
    pointer: record.generation,
    ...pastOf(record),
    keepGenerations: options.keepGenerations,
    tidy,
    stored: async (current) => (current.kind === 'files' ? current : {...current, meta: await metaOf(current.generation)}),
    metaOf,
    dropLayers: () => dropLayers(layersDir),
    tidied: () => options.onTidied(config.name),
    restart: async () => (await ready(config.name)).wake({kind: 'restart'}),
    async wakeWhenDue(trigger) {
      if (others !== null) await others.reach(config.name, trigger);
      else if ((await ready(config.name)) === app) await app.wake(trigger);
    },
    find: outage?.isUnknown === true ? () => findOrigin(options, config, watchRecord) : null,
    admit: () => others?.admit(),
    refresh: others === null ? null : () => originNow({...options, shared: others}, config),
  });
  const left = options.running?.take(config.name);
  if (left !== undefined) await app.takeOver(left);
  // What is not known of the store now may say whose a layer is.
  const layers = {name: config.name, layersDir, used: app.layers(), keptMetas: others === null ? foundMetas : keptMetas};
  if (outage === null && isKnown) await setLayersAside(options.log, layers);
  if (!isKnown) {
    watchRecord();
    app.settle();
    return app;
  }
  if (outage?.isUnknown === true) {
    options.log.warn({app: config.name, error: outage.message}, 'nothing is known of the app while the store cannot be reached; it is tried again');
    return app;
  }
  watchRecord();
  if (app.isHere) return app;
  if (rest.kind === 'checkpoint') network.setFlows(rest.meta.flows);
  await app.recorder.correct(record.state);
  const hasRun = record.lastWake !== null || survey.generations.length > 0 || existsSync(layersDir);
  settling.add(app, {isUntidy: outage !== null || hasRun});
  return app;
}

/** @throws CodedError while it is still not known */
async function findOrigin(options: SupervisorOptions, config: AppConfig, onKnown: () => void): Promise<Origin> {
  const [found] = await findApps(options, [config]);
  assert(found !== undefined, 'An app that was asked for was not found');
  const {record, rest, outage} = await recover(options, config, found);
  if (outage?.isUnknown === true) throw new CodedError('ERR_STORE_UNREACHABLE', outage.message, {source: 'host', retryable: true});
  onKnown();
  return {rest, pointer: record.generation};
}

function memoryLimit(options: SupervisorOptions, apps: AppSet, awake: AwakeApps): MemoryLimit | undefined {
  if (options.memoryMarks === null) return undefined;
  const limit = new MemoryLimit({...options, apps, marks: options.memoryMarks, totalBytes: () => options.containers.memoryTotal()});
  awake.listen((_app, isAwake) => {
    if (isAwake) limit.woken();
  });
  return limit;
}

function regularCheckpoints({clock, log, shared}: SupervisorOptions, apps: AppSet, awake: AwakeApps): RegularCheckpoints {
  const regular = new RegularCheckpoints({
    everyMs: (name) => apps.settings(name)?.checkpointEveryMs ?? null,
    checkpoint: async (name) => apps.find(name).hibernate({force: true, cause: 'checkpoint'}),
    wake: async (name) => (shared === null ? apps.find(name).wake({kind: 'checkpoint'}) : shared.reach(name, {kind: 'checkpoint'})),
    clock,
    log,
  });
  awake.listen((app, isAwake) => regular.awakeChanged(app, isAwake));
  return regular;
}

function startEager({apps: configs, log, shared}: SupervisorOptions, apps: AppSet): void {
  for (const {name, start} of configs) {
    if (start !== 'eager') continue;
    const started = shared === null ? apps.find(name).wake({kind: 'start'}) : shared.reach(name, {kind: 'start'});
    started.catch((error: unknown) => log.error({app: name, error: errorMessage(error)}, 'the app could not be started'));
  }
}

/** A packet for a sleeping app has come to this worker, which may not be the one to wake it. */
async function wakeForPacket({shared, log}: SupervisorOptions, app: App, {name, trigger}: {readonly name: AppName; readonly trigger: Trigger}): Promise<void> {
  if (shared !== null && !app.isHere && !(await shared.mayWakeHere(name))) return app.sharing.refusePackets();
  app.wake(trigger).catch((error: unknown) => {
    log.warn({app: name, error: errorMessage(error), trigger: describeTrigger(trigger)}, 'packets refused, because the app cannot be woken');
    app.sharing.refusePackets();
  });
}

function afterSilence(apps: AppSet): void {
  for (const app of apps.values()) app.sharing.goOn({isChanging: app.isHere && app.status().state !== 'running'});
}

/** @throws CodedError when an app cannot be prepared; what was opened is closed then */
export async function openSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const {log, clock} = options;
  const awake = new AwakeApps();
  const settling = new Settling({clock, standbyCount: standbyLimits.count});
  const recordWatch = new RecordWatch(options);
  const common = {standbys: new StandbyLimit(standbyLimits), turns: new WakeTurns({clock}), awake, settling, recordWatch};
  const shared: Shared = {...common, ready: (name) => apps.ready(name), rests: (name) => renewTimes(name)};
  const stopDeadlineMs = (): number => clock.monotonicMs() + options.stopTimeoutMs;
  const apps = new AppSet({
    open: (configs) => openApps(options, configs, shared),
    async close(app, name) {
      recordWatch.remove(name);
      await app.stop(stopDeadlineMs());
      await forgetApp(options, name);
    },
  });
  const renewTimes = (name: string): void => {
    apps.renewTimes(name).catch((error: unknown) => log.error({app: name, error: errorMessage(error)}, 'the app does not have its new settings yet'));
  };
  const addApps = async (configs: readonly AppConfig[]): Promise<void> => {
    await apps.add(configs);
    for (const {name} of configs) renewTimes(name);
  };
  const memory = memoryLimit(options, apps, awake);
  const regular = regularCheckpoints(options, apps, awake);
  await removeOldWork(options);
  // With the settings with which they run; they get others as with a reload.
  await apps.add(options.running?.leftApps() ?? []);
  await addApps(options.apps);
  void apps.retire(options.apps);
  recordWatch.start();
  const limit =
    options.cacheBytes === null
      ? undefined
      : new LayerLimit({...options, apps, limitBytes: options.cacheBytes, layersDirOf: (app) => layersDirOf(options, app)});
  limit?.check();
  return {
    app: (name) => apps.find(name),
    ready: (name) => apps.ready(name),
    apps: () => apps.values(),
    awakeAddress: (name) => (awake.has(name) ? apps.find(name).address : null),
    onAwakeChange: (listener) => awake.listen(listener),
    names: () => apps.names(),
    addApps,
    retireApps: (configs) => apps.retire(configs),
    packetWanted(name, trigger) {
      apps
        .ready(name)
        .then((app) => wakeForPacket(options, app, {name, trigger}))
        .catch((error: unknown) => log.error({app: name, error: errorMessage(error)}, 'a packet could not wake the app'));
    },
    instanceLost(instance, loss) {
      for (const app of apps.values()) if (app.instance === instance) void app.lost(loss);
    },
    pagerRestarted() {
      options.containers.forgetImages();
      settling.prepareWakes([...apps.values()]);
    },
    afterSilence: () => afterSilence(apps),
    stored: () => limit?.check(),
    memory: async () => (await memory?.measure()) ?? null,
    startEager: () => startEager(options, apps),
    async [Symbol.asyncDispose]() {
      settling.stop();
      recordWatch[Symbol.dispose]();
      const deadlineMs = stopDeadlineMs();
      memory?.stop();
      regular[Symbol.dispose]();
      await Promise.all([...apps.values()].map((app) => app.stop(deadlineMs)));
    },
  };
}
