/** All apps of one worker: recovers them from Redis and the store, and answers for them by name. */

import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {assert, errorMessage} from '../core/errors.ts';
import type {AppName, FencingToken, Generation, InstanceId} from '../core/ids.ts';
import {keptPath} from '../core/kept-path.ts';
import {limited} from '../core/limited.ts';
import {describeTrigger, type Trigger} from '../core/trigger.ts';
import {App} from './app.ts';
import type {Loss} from './app-errors.ts';
import {AppSet} from './app-set.ts';
import {AwakeApps} from './awake-apps.ts';
import type {Shortage} from './eviction.ts';
import type {GenerationMeta, Network, Rest} from './instance.ts';
import type {Origin} from './late-rest.ts';
import {dropLayers, tidyLayers} from './layer-chain.ts';
import {setLayersAside} from './layers-aside.ts';
import {RecordWatch} from './record-watch.ts';
import {OwnRecords, pastOf, recordFields} from './records.ts';
import {type Findings, findApps, findOrigin, type Recovered, readMeta, recover, surveyedMeta} from './recover.ts';
import {originNow, recoverOwn} from './recover-shared.ts';
import {Settling} from './settling.ts';
import {StandbyLimit, standbyLimits} from './standby-limit.ts';
import type {SupervisorOptions} from './supervisor-options.ts';
import {layerLimit, layersDirOf, memoryLimit, regularCheckpoints} from './upkeep.ts';
import {WakeTurns} from './wake-turns.ts';

/** What is at the disk and in Redis while another app is opened. */
const opensAtATime = 32;

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
    // Some may run, because they were taken over.
    const deadlineMs = options.clock.monotonicMs() + options.stopTimeoutMs;
    for (const [name, app] of opened) {
      await app.stop(deadlineMs);
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
  const {recovered, token, previous} =
    others === null ? {recovered: await recover(options, config, found), token: null, previous: null} : await recoverOwn(options, config, found);
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
  const findLate = async (): Promise<Origin> => {
    const origin = await findOrigin(options, config);
    watchRecord();
    return origin;
  };
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
    find: outage?.isUnknown === true ? findLate : null,
    admit: () => others?.admit(),
    refresh: others === null ? null : () => originNow({...options, shared: others}, config),
  });
  await begin(options, {app, config, network, found, recovered, isKnown, previous, watchRecord, keptMetas: others === null ? foundMetas : keptMetas, settling});
  return app;
}

interface Opened extends Pick<Shared, 'settling'> {
  readonly app: App;
  readonly config: AppConfig;
  readonly network: Network;
  readonly found: Findings;
  readonly recovered: Recovered;
  /** What the app starts from was found out under its lease, or nobody else can have it. */
  readonly isKnown: boolean;
  /** The newest token of the app before this worker began; null where that is not known. */
  readonly previous: number | null;
  readonly watchRecord: () => void;
  readonly keptMetas: () => Promise<readonly GenerationMeta[]>;
}

/** An app that was opened goes on as the last gateway has left it: running, or at rest. */
async function begin(options: SupervisorOptions, opened: Opened): Promise<void> {
  const {app, config, network, found, isKnown, previous, watchRecord, keptMetas, settling} = opened;
  const {record, rest, outage} = opened.recovered;
  const layersDir = layersDirOf(options, config.name);
  const left = options.running.take(config.name);
  if (left !== undefined) await app.takeOver(left, options.shared === null ? left.token : previous);
  // What is not known of the store now may say whose a layer is.
  if (outage === null && isKnown) await setLayersAside(options.log, {name: config.name, layersDir, used: app.layers(), keptMetas});
  if (!isKnown) {
    watchRecord();
    return app.settle();
  }
  if (outage?.isUnknown === true) {
    options.log.warn({app: config.name, error: outage.message}, 'nothing is known of the app while the store cannot be reached; it is tried again');
    return;
  }
  watchRecord();
  if (app.isHere) return;
  if (rest.kind === 'checkpoint') network.setFlows(rest.meta.flows);
  await app.recorder.correct(record.state);
  const hasRun = record.lastWake !== null || found.survey.generations.length > 0 || existsSync(layersDir);
  settling.add(app, {isUntidy: outage !== null || hasRun});
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

interface First {
  readonly apps: AppSet;
  readonly addApps: (apps: readonly AppConfig[]) => Promise<void>;
  readonly stopAll: () => Promise<void>;
}

/** @throws CodedError when one cannot be prepared; all are stopped then */
async function openFirst({running, apps: configs}: SupervisorOptions, {apps, addApps, stopAll}: First): Promise<void> {
  try {
    // With the settings with which they run; they get others as with a reload.
    await apps.add(running.leftApps());
    await addApps(configs);
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** @throws CodedError when an app cannot be prepared; what was opened is closed then, and what was taken over sleeps */
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
  const stopAll = async (): Promise<void> => {
    settling.stop();
    recordWatch[Symbol.dispose]();
    const deadlineMs = stopDeadlineMs();
    memory?.stop();
    regular[Symbol.dispose]();
    await Promise.all([...apps.values()].map((app) => app.stop(deadlineMs, {isLast: true})));
  };
  await removeOldWork(options);
  await openFirst(options, {apps, addApps, stopAll});
  void apps.retire(options.apps);
  recordWatch.start();
  const limit = layerLimit(options, apps);
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
    [Symbol.asyncDispose]: stopAll,
  };
}
