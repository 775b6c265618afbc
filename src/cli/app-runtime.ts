/** What apps need, and only they: Redis, the pager, the kernel's networks, CRIU. A gateway without apps runs without all of it, and without root. */
import {mkdir, rm} from 'node:fs/promises';
import {hostname} from 'node:os';
import {join} from 'node:path';
import type {DashboardSource} from '../admin/dashboard/dashboard-source.ts';
import type {AppConfig, Config} from '../config/value.ts';
import type {WorkerConfig} from '../config/worker-shape.ts';
import {systemClock} from '../core/clock.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {type AppName, appName, gatewayIdentity} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {criuCommand} from '../core/tools.ts';
import type {AppAccess, AppWatch} from '../edge/app-access.ts';
import type {AppNetwork} from '../nat/app-network.ts';
import {type Nat, openNat} from '../nat/nat.ts';
import {type Pager, type PagerOptions, startPager} from '../pager/client.ts';
import type {Placement} from '../pager/protocol.ts';
import {openBusyClients} from '../store/busy-clients.ts';
import {type Connection, connectRedis} from '../store/connection.ts';
import {serveControl} from '../store/control.ts';
import type {ControlHandler} from '../store/control-message.ts';
import {lockFile} from '../store/directory-lock.ts';
import {type Events, openEvents} from '../store/events.ts';
import {openLeases} from '../store/lease.ts';
import {startEmbeddedRedis} from '../store/redis-server.ts';
import {openState} from '../store/state.ts';
import {openUsage} from '../store/usage.ts';
import {findRunning, openContainers} from '../supervisor/containers.ts';
import {openCriu} from '../supervisor/criu.ts';
import {guardOrphans} from '../supervisor/orphan-guard.ts';
import {RunningInstances} from '../supervisor/running-instances.ts';
import {openSupervisor, type Supervisor} from '../supervisor/supervisor.ts';
import type {SupervisorOptions} from '../supervisor/supervisor-options.ts';
import type {UsageMeter} from '../supervisor/usage-meter.ts';
import {AnsweredChecks} from './answered-checks.ts';
import {Cluster, type ClusterOptions} from './cluster.ts';
import {type ControlSources, controlHandlers} from './control-handlers.ts';
import {type DashboardParts, dashboardSource} from './dashboard-source.ts';
import {edgeSide} from './edge-access.ts';
import {readEncryptionKeys} from './encryption-keys.ts';
import {EventCounts} from './event-counts.ts';
import {HoldTimes} from './hold-times.ts';
import {takeLeftovers} from './host-leftovers.ts';
import {MemoryHistory} from './memory-history.ts';
import {type NatEntry, natApps, natEntries} from './nat-entries.ts';
import {NatPlaces} from './nat-places.ts';
import {onlyWorkerHandlers} from './only-worker.ts';
import {placementReports} from './placement-reports.ts';
import {rangesInStore, withPrivateRange} from './private-range.ts';
import {dashboardHandlers} from './remote-dashboard.ts';
import {sharedHandlers} from './shared-handlers.ts';
import {meterUsage} from './usage-metering.ts';
import {tracingWakes} from './wake-traces.ts';

export interface AppRuntime extends AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly events: Events;
  readonly access: AppAccess;
  readonly watch: AppWatch;
  /** What the admin commands do, each for the app that it names, at whichever worker has it. */
  readonly commands: Readonly<Record<string, ControlHandler>>;
  readonly dashboard: DashboardSource;
  /** Opens new apps and gives changed ones their settings; those that are gone stay for the sessions of the old configuration. @throws CodedError */
  addApps(apps: readonly AppConfig[]): Promise<void>;
  /** Hibernates and forgets the apps that the configuration does not name any more. */
  retireApps(apps: readonly AppConfig[]): Promise<void>;
  /** Makes these the frontends of mode nat, all at once. @throws CodedError; those that were there stay then */
  setFrontends(config: Config): Promise<void>;
  /** Removes everything that is kept of an app which is retired: checkpoints, files, and what Redis knows of it. @throws CodedError */
  purge(app: string): Promise<void>;
  readonly connection: Connection;
}

/** Whether a configuration has anything that needs root and the kernel. */
export function needsAppRuntime({apps, frontends, global}: Config): boolean {
  return global.dynamicApps || apps.length > 0 || frontends.some(({mode}) => mode === 'nat');
}

function storeOf({global: {store, stateDir, cacheBytes}}: Config): Pick<PagerOptions, 'storeDir' | 'appsDir' | 'images' | 'remote'> {
  const appsDir = join(stateDir, 'apps');
  const images = {cacheDir: join(stateDir, 'images'), cacheBytes};
  if (store.kind === 'directory') return {storeDir: store.path, appsDir, images, remote: null};
  const {bucket, prefix, endpoint, region, pathStyle} = store;
  const remote = {bucket, prefix, endpoint, region, pathStyle, cacheDir: join(stateDir, 'cache'), cacheBytes};
  // Where a store in a directory is by default: what such a gateway had is uploaded by one with a store on S3.
  return {storeDir: join(stateDir, 'store'), appsDir, images, remote};
}

/** By its host's name, where it is the only one. */
function workerName({worker}: Config['global']): string {
  return worker?.name ?? hostname();
}

type SupervisorSettings = Pick<
  SupervisorOptions,
  'worker' | 'leaseMs' | 'apps' | 'stateDir' | 'runtimeDir' | 'keepGenerations' | 'stopTimeoutMs' | 'memoryMarks' | 'cacheBytes'
>;

function settingsOf({apps, global}: Config): SupervisorSettings {
  const {stateDir, runtimeDir, keepGenerations, stopTimeoutMs, memory, store, cacheBytes, leaseMs} = global;
  const worker = workerName(global);
  return {
    worker,
    leaseMs,
    apps,
    stateDir,
    runtimeDir,
    keepGenerations,
    stopTimeoutMs,
    memoryMarks: memory,
    cacheBytes: store.kind === 's3' ? cacheBytes : null,
  };
}

/** What the pager says goes to Redis, and to the apps once they are opened. */
function pagerEvents(
  opened: Promise<Supervisor>,
  parts: {readonly connection: Connection; readonly events: Events; readonly placements: Map<string, Placement>; readonly meter: UsageMeter; readonly log: Log},
): Pick<PagerOptions, 'onPlacement' | 'onTierEvent' | 'onInstanceLost' | 'onRestarted'> {
  const {connection, events, placements, meter, log} = parts;
  const reports = placementReports(connection, events, {log, onStored: () => void opened.then((apps) => apps.stored())});
  return {
    ...reports,
    onPlacement(app, placement) {
      placements.set(app, placement);
      reports.onPlacement(app, placement);
      if (placement.stored) meter.storedChanged(appName(app));
    },
    onInstanceLost: (instance, reason, damaged) => void opened.then((apps) => apps.instanceLost(instance, {reason, damaged})),
    onRestarted: () => void opened.then((apps) => apps.pagerRestarted()),
  };
}

async function pagerSettings(config: Config): Promise<Omit<PagerOptions, 'log' | 'onInstanceLost'>> {
  const {runtimeDir, encryptionKeys} = config.global;
  return {...storeOf(config), encryptionKeys: await readEncryptionKeys(encryptionKeys), runtimeDir};
}

/** @throws CodedError when the store cannot be used as it is configured; one that only cannot be reached is no reason not to start */
async function openPager(scope: AsyncDisposableStack, options: PagerOptions, isLeft: () => boolean): Promise<Pager> {
  const pager = await startPager(options);
  scope.defer(() => (isLeft() ? pager.leave() : pager[Symbol.asyncDispose]()));
  await pager.checkStore();
  return pager;
}

function appNetworks(nat: Nat): Pick<SupervisorOptions, 'addNetwork' | 'removeNetwork'> {
  const networks = new Map<string, AppNetwork>();
  return {
    addNetwork(app, index) {
      const network = nat.addApp({name: app.name, index, expose: app.expose});
      networks.set(app.name, network);
      return network;
    },
    async removeNetwork(app) {
      await networks.get(app)?.[Symbol.asyncDispose]();
      networks.delete(app);
    },
  };
}

function sharedState(connection: Connection, worker: WorkerConfig | null): Pick<SupervisorOptions, 'store' | 'leases' | 'isBusyElsewhere' | 'onRedisBack'> {
  const busyClients = openBusyClients(connection);
  return {
    store: openState(connection),
    leases: openLeases(connection),
    async isBusyElsewhere(app) {
      // A worker that is the only one goes on without Redis, and whom an edge serves then cannot be known.
      if (worker === null) return busyClients.isBusyElsewhere(app, hostname()).catch(() => false);
      return busyClients.isBusyElsewhere(app, worker.name);
    },
    onRedisBack: (callback) => connection.onReconnect(callback),
  };
}

/** When this worker has stopped, others can wake only what is in the store. Never throws: what is not stays here, and they wait for it. */
async function finishUploads(
  apps: readonly string[],
  {stopTimeoutMs, pager, log}: {stopTimeoutMs: number; pager: Pick<Pager, 'finishUpload'>; log: Log},
): Promise<void> {
  const deadlineMs = performance.now() + stopTimeoutMs;
  for (const app of apps) {
    if (performance.now() > deadlineMs) return log.error({from: app}, 'the time to stop is over, and not all apps are in the store');
    await pager.finishUpload(app).catch((error: unknown) => log.error({app, error: errorMessage(error)}, 'not all of the app is in the store'));
  }
}

/** What the kernel forwards: frontends of mode nat, and for other workers the ports of the apps. */
function entriesOf(config: Config, {supervisor, cluster}: Pick<NatSide, 'supervisor' | 'cluster'>, places: NatPlaces | null): NatEntry[] {
  const addressOf = (app: string): string => supervisor.app(app).address;
  return [...natEntries(config, addressOf, (app) => places?.of(app)), ...(cluster?.published.entries(config.apps, addressOf) ?? [])];
}

interface NatSide {
  readonly nat: Nat;
  readonly supervisor: Supervisor;
  readonly cluster: Cluster | null;
  readonly log: Log;
}

/** @returns what makes the frontends of mode nat those of a configuration; they follow their apps from worker to worker from then on */
function natFrontends(scope: AsyncDisposableStack, side: NatSide): AppRuntime['setFrontends'] {
  const {nat, cluster, log} = side;
  let current: Config | null = null;
  let places: NatPlaces | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  // One after the other: none brings back what another one has just replaced.
  const apply = (wanted: () => Config | null): Promise<void> => {
    const applied = turn.then(async () => {
      const config = wanted();
      if (config === null) return;
      await nat.setFrontends(entriesOf(config, side, places));
      current = config;
    });
    turn = applied.catch(() => undefined);
    return applied;
  };
  const applyAgain = (): Promise<void> => apply(() => current);
  if (cluster !== null) {
    const followed = new NatPlaces({
      apps: () => (current === null ? [] : natApps(current)),
      elsewhere: (app) => cluster.endpointElsewhere(app),
      changed: applyAgain,
      clock: systemClock,
      log,
    });
    places = scope.use(followed);
    scope.defer(cluster.onAwakeElsewhere(() => followed.look()));
    cluster.published.onChange(applyAgain);
  }
  return (config) => apply(() => config);
}

function handlersOf(
  sources: Omit<ControlSources, 'workers'>,
  {cluster, nat}: {readonly cluster: Cluster | null; readonly nat: Nat},
): Readonly<Record<string, ControlHandler>> {
  if (cluster === null) return {...controlHandlers({...sources, workers: null}), ...onlyWorkerHandlers(sources.supervisor, nat)};
  return sharedHandlers(controlHandlers({...sources, workers: () => cluster.workers()}), cluster, (app) => sources.pager.finishUpload(app));
}

function openDashboard(
  scope: AsyncDisposableStack,
  parts: Omit<DashboardParts, 'memory' | 'shared'>,
  {cluster, connection}: {readonly cluster: Cluster | null; readonly connection: Connection},
): DashboardSource {
  const memory = scope.use(new MemoryHistory(parts.supervisor, systemClock));
  const shared = cluster === null ? null : {workers: () => cluster.workers(), records: () => openState(connection).listApps()};
  return dashboardSource({...parts, memory, shared});
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new CodedError('ERR_NOT_ROOT', 'Cannot run a gateway with apps or mode nat: root is needed for namespaces, CRIU and nftables', {source: 'host'});
}

/** The directories, which are this gateway's alone. @throws CodedError ERR_LOCKED */
async function takeDirectories({global: {stateDir, runtimeDir}}: Config, {storeDir}: Pick<PagerOptions, 'storeDir'>): Promise<Disposable> {
  for (const directory of [stateDir, runtimeDir, storeDir]) await mkdir(directory, {recursive: true, mode: 0o700});
  return lockFile(join(stateDir, 'lock'), `state directory "${stateDir}"`);
}

/** Joins the other workers, and leaves when this one's apps are in the store. Null: there are none. @throws CodedError as `Cluster.join()` */
async function joinOthers(
  scope: AsyncDisposableStack,
  config: Config,
  {
    pager,
    cgroupDirectory,
    opened,
    ...parts
  }: Omit<ClusterOptions, 'worker' | 'config'> & {readonly pager: Pager; readonly cgroupDirectory: string; readonly opened: Promise<Supervisor>},
): Promise<Cluster | null> {
  const {worker, leaseMs} = config.global;
  if (worker === null) return null;
  const onSilence = (): void => void opened.then((supervisor) => supervisor.afterSilence());
  scope.use(await guardOrphans({cgroupDirectory, leaseMs, onSilence, clock: systemClock}));
  const cluster = scope.use(await Cluster.join({...parts, worker, config}));
  scope.defer(() => finishUploads(cluster.names(), {stopTimeoutMs: config.global.stopTimeoutMs, pager, log: parts.log}));
  return cluster;
}

function appChanges(supervisor: Supervisor, cluster: Cluster | null): Pick<AppRuntime, 'addApps' | 'retireApps'> {
  return {
    async addApps(apps) {
      await supervisor.addApps(apps);
      cluster?.add(apps);
    },
    async retireApps(apps) {
      cluster?.retain(apps);
      await supervisor.retireApps(apps);
    },
  };
}

async function purgeApp(name: AppName, {stateDir, connection, pager}: {stateDir: string; connection: Connection; pager: Pager}): Promise<void> {
  await pager.purge(name);
  await rm(join(stateDir, 'apps', name), {recursive: true, force: true});
  await openState(connection).forgetApp(name);
}

/**
 * Starts what apps need, and the apps themselves. Disposing hibernates what runs; what cannot be hibernated is left to the next gateway.
 * @throws CodedError naming what could not be opened; everything else is closed again then
 */
export async function openAppRuntime(config: Config, log: Log, changes: Readonly<Record<string, ControlHandler>> = {}): Promise<AppRuntime> {
  await using scope = new AsyncDisposableStack();
  const {global} = config;
  const {stateDir, runtimeDir} = global;
  requireRoot();
  const criuArgv = criuCommand(global.criu ?? undefined);
  const storage = await pagerSettings(config);
  scope.use(await takeDirectories(config, storage));
  const redis = global.redis.kind === 'url' ? global.redis : scope.use(await startEmbeddedRedis({stateDir, runtimeDir, log}));
  const connection = scope.use(await connectRedis({url: redis.url, log}));
  const left = await takeLeftovers(config, openState(connection));
  const [counts, holds, placements] = [new EventCounts(), new HoldTimes(systemClock), new Map<string, Placement>()];

  // The parts call each other; a packet that comes while the apps are being opened is reported when they are.
  const [opened, pagerOpened] = [Promise.withResolvers<Supervisor>(), Promise.withResolvers<Pager>()];
  const identity = gatewayIdentity(stateDir);
  const meter = meterUsage(config, {connection, pager: pagerOpened.promise, supervisor: opened.promise, log});
  const events = meter.counting(counts.counting(scope.use(tracingWakes(openEvents(connection), global, {env: process.env, log}))));
  const reports = pagerEvents(opened.promise, {connection, events, placements, meter, log});
  // What runs and cannot be taken over, because something cannot be opened, or put to sleep at the end, is the next gateway's.
  const isLeft = (): boolean => findRunning({identity, runtimeDir}).length > 0;
  const pager = await openPager(scope, {...storage, ...reports, log}, isLeft);
  pagerOpened.resolve(pager);
  // Told of the last sleeps: after the supervisor has ended, before the pager and Redis do.
  scope.use(meter);
  const nat = scope.use(
    await withPrivateRange({configured: global.privateRange, stateDir, wanted: () => rangesInStore(config, pager)}, (range) =>
      openNat({identity, range, log, isLeft, onWanted: (app, trigger) => void opened.promise.then((apps) => apps.packetWanted(app, trigger))}),
    ),
  );
  const containers = scope.use(await openContainers({identity, stateDir, runtimeDir, mountImage: (request) => pager.mountImage(request), log}));
  const running = new RunningInstances({containersDirectory: containers.directory, left, log});
  const cluster = await joinOthers(scope, config, {connection, events, log, pager, cgroupDirectory: containers.cgroupDirectory, opened: opened.promise});
  const supervisor = scope.use(
    await openSupervisor({
      ...settingsOf(config),
      shared: cluster?.shared ?? null,
      ...sharedState(connection, global.worker),
      events,
      pager,
      containers,
      running,
      criu: scope.use(openCriu({argv: criuArgv, runtimeDir: containers.directory, log})),
      indexOf: (address) => nat.indexOf(address),
      ...appNetworks(nat),
      onTidied: (app) => meter.storedChanged(app),
      clock: systemClock,
      log,
    }),
  );
  opened.resolve(supervisor);
  const setFrontends = natFrontends(scope, {nat, supervisor, cluster, log});
  await setFrontends(config);
  const answered = new AnsweredChecks(supervisor);
  const handlers = {...handlersOf({supervisor, pager, placements, counts, holds, answered, usage: openUsage(connection)}, {cluster, nat}), ...changes};
  const dashboard = openDashboard(scope, {supervisor, pager, placements, commands: handlers, events}, {cluster, connection});
  cluster?.begin(supervisor);
  scope.use(await serveControl({connection, handlers: {...handlers, ...dashboardHandlers(dashboard)}, worker: workerName(global), log}));
  if (cluster !== null) scope.defer(() => cluster.stopping());
  const owned = scope.move();
  return {
    supervisor,
    events,
    ...edgeSide(supervisor, {answered, cluster, holds}),
    commands: handlers,
    dashboard,
    ...appChanges(supervisor, cluster),
    setFrontends,
    purge: (app) => purgeApp(appName(app), {stateDir, connection, pager}),
    connection,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
