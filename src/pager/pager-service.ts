/** The pager's main thread: checkpoints in and out, images through FUSE, and instances handed to the fault worker. */
import {CodedError} from '../core/errors.ts';
import {type AppName, appName, type Generation, type InstanceId} from '../core/ids.ts';
import {trimMemory} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {openDirectoryStore} from '../store/directory-store.ts';
import {checkKeepers} from './check-keepers.ts';
import {keysOf} from './checkpoints/checkpoint-keys.ts';
import {openCheckpointStore} from './checkpoints/checkpoint-store.ts';
import {type Keyring, openKeyring} from './checkpoints/keyring.ts';
import type {PageTable} from './checkpoints/page-table.ts';
import {decodePageTable} from './checkpoints/page-table-codec.ts';
import {FaultClient, type FaultClientOptions, type WantedPart} from './faults/fault-client.ts';
import type {FaultReport} from './faults/fault-messages.ts';
import {KeeperPool} from './faults/keeper-pool.ts';
import {takeOverLater} from './faults/late-takeovers.ts';
import {openFuse} from './fuse/fuse.ts';
import {imagesIn} from './images/rootfs-image-uses.ts';
import {openRootfsImages} from './images/rootfs-images.ts';
import {expectationOf} from './loaded-restore.ts';
import {memoryReport} from './memory-report.ts';
import type {Parts} from './pager-parts.ts';
import {pagerStatus} from './pager-status.ts';
import {EndedInstances} from './paging-totals.ts';
import {expectedPages} from './prediction/expected-pages.ts';
import {reportOf} from './prediction/predicted-report.ts';
import {openPredictedSets} from './prediction/predicted-set.ts';
import {prepareRestore} from './prepare-restore.ts';
import type {CommitOptions, Committed, Compacted, CompactOptions, PagerSecrets, PagerService, PagerSettings, Placement, TierEvent} from './protocol.ts';
import {appOf, release, statsOf} from './release-instance.ts';
import {Tiering} from './remote/tiering.ts';
import {openRuntimeFiles} from './runtime-files.ts';
import {recoverInstances, ServedInstances} from './served-instances.ts';
import {surveyApps} from './survey.ts';

const keeperCheckMs = 5000;

export interface PagerEvents {
  readonly log: Log;
  /** `damaged`: what is stored of its memory is not what was written. */
  readonly onLost: (instance: InstanceId, reason: string, damaged?: boolean) => void;
  readonly onPlacement?: (app: string, placement: Placement) => void;
  readonly onTierEvent?: (app: string, event: TierEvent, message: string) => void;
  /** The fault worker has ended: only a new process helps. */
  readonly onBroken: (reason: string) => void;
}

/** Opens the store, mounts FUSE, and takes over what a killed pager served before it resolves. */
export async function openPagerService(settings: PagerSettings & PagerSecrets, events: PagerEvents): Promise<PagerService & AsyncDisposable> {
  const {log} = events;
  await using scope = new AsyncDisposableStack();
  const files = openRuntimeFiles(settings.runtimeDir);
  const served = new ServedInstances();
  const keyring = keyringOf(settings);
  const tiering = await openTiering(settings, keyring, events, served);
  if (tiering !== null) scope.use(tiering);
  const objects = tiering?.objects ?? (await openDirectoryStore(settings.storeDir));
  const store = openCheckpointStore({objects, log, keyring});
  const recovered = await recoverInstances(files, store, settings.runtimeDir);
  for (const instance of recovered.served) served.add(instance);
  for (const {record} of recovered.later) served.wait(record);
  const onReport: FaultClientOptions['onReport'] = (report) => tell(report, events);
  const faults = scope.use(
    new FaultClient({
      windowPath: files.windowPath,
      takeovers: recovered.plans,
      laterSpaces: recovered.later.flatMap(({spaces}) => spaces),
      onReport,
      onWanted: wantedFrom(tiering, served),
      onEnd: events.onBroken,
    }),
  );
  const [fuse] = await Promise.all([
    openFuse({mountPoint: files.fuseMount, log, onError: (error) => log.error({error: error.message}, 'images')}),
    faults.ready,
  ]);
  scope.use(fuse);
  const keepers = scope.use(new KeeperPool(settings.runtimeDir));
  const {runtimeDir, images: imageSettings} = settings;
  const images = scope.use(
    await openRootfsImages({
      runtimeDir,
      root: files.root,
      settings: imageSettings,
      objects: tiering?.remote ?? objects,
      needed: tiering === null ? undefined : async () => imagesIn(tiering.objects, await tiering.objects.pendingObjects('apps/')),
      log,
      onBroken: events.onBroken,
    }),
  );
  for (const {instance, reason} of recovered.lost) events.onLost(instance, reason);
  const predicted = openPredictedSets({objects, log});
  const parts: Parts = {
    objects,
    tiering,
    store,
    predicted,
    readyDir: settings.storeDir,
    log,
    files,
    fuse,
    faults,
    keepers,
    images,
    served,
    ended: new EndedInstances(),
    unsettled: new Map(),
  };
  const timer = setInterval(() => void checkKeepers(parts, settings.runtimeDir, events.onLost), keeperCheckMs).unref();
  scope.defer(() => clearInterval(timer));
  const stop = new AbortController();
  scope.defer(() => stop.abort());
  for (const late of recovered.later) void takeOverLater(parts, late, {log, onLost: events.onLost, signal: stop.signal});
  tiering?.begin();
  const owned = scope.move();
  return {...methods(parts), stop: async () => owned.disposeAsync(), [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

function tell(report: Exclude<FaultReport, {kind: 'wanted'}>, {log, onLost, onTierEvent}: PagerEvents): void {
  const {instance} = report;
  switch (report.kind) {
    case 'lost':
      onLost(instance, report.reason, report.damaged);
      return;
    case 'restored':
      log.debug({instance}, 'all processes are restored');
      return;
    case 'aborted':
      // Whoever runs CRIU says why; and one that was only prepared may be given up.
      log.debug({instance}, 'CRIU gave up a lazy restore');
      return;
    case 'waiting':
      log.warn({instance, reason: report.reason}, 'a page cannot be read; its fault waits and is tried again');
      onTierEvent?.(appOf(instance), 'page-waits', report.reason);
      return;
    case 'resumed':
      log.info({instance}, 'no fault waits for the store any more');
      onTierEvent?.(appOf(instance), 'page-waits-no-more', instance);
      return;
    case 'unjournalled':
      log.error({instance}, 'the journal cannot be written; the instance would not survive a restart of the pager');
      return;
    default:
      report satisfies never;
  }
}

function keyringOf({encryptionKeys}: PagerSecrets): Keyring | null {
  return encryptionKeys.length === 0 ? null : openKeyring({keys: encryptionKeys.map((key) => Buffer.from(key, 'hex'))});
}

async function openTiering(
  {remote, storeDir, appsDir}: PagerSettings,
  keyring: Keyring | null,
  events: PagerEvents,
  served: ServedInstances,
): Promise<Tiering | null> {
  if (remote === undefined || remote === null) return null;
  const {log, onPlacement, onTierEvent} = events;
  return Tiering.open(
    {
      remote,
      pendingDir: storeDir,
      appsDir,
      keyring,
      log,
      served: () => served.all(),
      onPlacement: (app, placement) => onPlacement?.(app, placement),
      onEvent: (app, event, message) => onTierEvent?.(app, event, message),
    },
    (objects) => openPredictedSets({objects, log}),
  );
}

function wantedFrom(tiering: Tiering | null, served: ServedInstances): FaultClientOptions['onWanted'] {
  return async ({instance, segment, position, length}: WantedPart) => {
    if (tiering !== null) return tiering.fetch(served.get(instance).checkpoint.app, segment, {position, length});
    // Every segment is a complete local file then.
    throw new CodedError('ERR_NO_CACHE', `Cannot fetch a part of segment ${segment} for "${instance}": there is no other store`, {source: 'bug'});
  };
}

function methods(parts: Parts): Omit<PagerService, 'stop'> {
  const {objects, store, served, log} = parts;
  return {
    prepareRestore: async (request) => prepareRestore(parts, request),
    expect: async (request) => expect(parts, request),
    commit: async (request) => commit(parts, request),
    mountImage: async (request) => parts.images.mount(request),
    async purge({app}) {
      // Manifests first: what is left when this is interrupted is nobody's.
      const listed = await objects.list(`apps/${appName(app)}/`);
      const isManifest = ({key}: {readonly key: string}): boolean => key.includes('/manifests/');
      for (const {key} of [...listed.filter(isManifest), ...listed.filter((object) => !isManifest(object))]) await objects.delete(key);
    },
    async discard({app, generation}) {
      await objects.delete(keysOf(appName(app)).manifest(generation));
      try {
        await store.sweep(appName(app));
      } finally {
        // What was uncertain is gone with its manifest, whatever is left over: older generations may be uploaded again.
        parts.tiering?.settle(appName(app));
      }
    },
    stats: async ({instance}) => statsOf(parts, served.get(instance)),
    release: async ({instance}) => release(parts, instance, log),
    predicted: async ({app}) => reportOf(await parts.predicted.show(appName(app))),
    memory: async ({app}) => memoryReport(parts, appName(app)),
    generations: async ({app}) => store.generations(appName(app)),
    latest: async ({app}) => (await store.latestComplete(appName(app)))?.generation ?? null,
    async meta({app, generation}) {
      // Of what is kept elsewhere only so much is fetched as is asked for.
      const isCold = parts.tiering !== null && !(await parts.tiering.isLocal(appName(app), generation));
      const {meta, token} = await (isCold ? store.meta(appName(app), generation) : store.load(appName(app), generation));
      return {meta, token};
    },
    async compactionDue({app, generation}) {
      if (parts.tiering !== null && !(await parts.tiering.mayCompact(appName(app), generation))) return false;
      return store.compactionDue(appName(app), generation);
    },
    compact: async (request) => compact(parts, request),
    stopCompacting: async ({app}) => Promise.resolve(store.stopCompacting(appName(app))),
    async discardCopies({app, generation}) {
      await store.discardCopies(appName(app), generation);
      parts.tiering?.settleCopies(appName(app));
    },
    async keep({app}) {
      parts.tiering?.settleCopies(appName(app));
      parts.tiering?.upload(appName(app));
      return Promise.resolve();
    },
    async prune({app, keep}) {
      await store.prune(appName(app), keep, served.generationsOf(appName(app)));
    },
    async survey({apps}) {
      const found = await surveyApps(parts, apps.map(appName), log);
      // The first thing that a gateway asks for, and of many apps the largest.
      trimMemory();
      return found;
    },
    checkStore: async () => (await parts.tiering?.check()) ?? true,
    status: async () => pagerStatus(parts),
    storedBytes: async ({app}) => (await objects.list(`apps/${appName(app)}/`)).reduce((sum, {sizeBytes}) => sum + sizeBytes, 0),
    placement: async ({app}) => (await parts.tiering?.placement(appName(app))) ?? null,
    shareCache: async ({layerBytes, dropped}) => (await parts.tiering?.share(layerBytes, dropped.map(appName))) ?? 0,
    finishUpload: async ({app}) => required(parts).finishUpload(appName(app)),
    dropLocal: async ({app}) => required(parts).dropLocal(appName(app)),
    refresh: async ({app}) => parts.tiering?.refresh(appName(app)),
    foresee: async ({app}) => foresee(parts, appName(app)),
    fetchLayers: async ({app, layers}) => (parts.tiering ?? lostLayers(app, layers)).fetchLayers(appName(app), layers),
  };
}

async function foresee({tiering, store}: Parts, app: AppName): Promise<Generation | null> {
  if (tiering === null) return null;
  await tiering.refresh(app);
  const checkpoint = await store.latestComplete(app);
  if (checkpoint === null) return null;
  await Promise.all([tiering.fetchAll(checkpoint.manifest), tiering.fetchFiles(app, checkpoint.generation)]);
  return checkpoint.generation;
}

function lostLayers(app: string, layers: readonly string[]): never {
  throw new CodedError('ERR_LAYERS_LOST', `Cannot find all files of app "${app}": its layers ${layers.join(', ')} are not on this host`, {source: 'host'});
}

/** @throws CodedError ERR_NO_REMOTE_STORE */
function required({tiering}: Parts): Tiering {
  if (tiering !== null) return tiering;
  throw new CodedError('ERR_NO_REMOTE_STORE', 'Cannot keep an app in the store only: the store is a directory of this host', {source: 'client'});
}

async function expect({faults, served}: Parts, request: {readonly instance: InstanceId; readonly trigger: Trigger}): Promise<{predictedPages: number}> {
  const {instance, trigger} = request;
  const known = served.get(instance);
  const {checkpoint, loaded} = known;
  if (loaded === null) {
    const found = 'the pager that had prepared it was killed';
    throw new CodedError('ERR_NOT_PREPARED', `Cannot go on with the restore of instance "${instance}": ${found}`, {source: 'host', retryable: true});
  }
  const forecast = await known.forecast;
  if (forecast === null) return {predictedPages: 0};
  const plan = forecast.prediction.plan({mode: forecast.mode, processes: checkpoint.tables, trigger});
  await faults.ask({kind: 'expect', instance, expectation: expectationOf(plan)});
  known.prefetch = plan;
  return {predictedPages: plan.installPages};
}

async function commit(parts: Parts, request: CommitOptions): Promise<Committed> {
  const app = appName(request.app);
  // Until the instance is released, or the generation is discarded.
  parts.tiering?.unsettle(app);
  parts.unsettled.set(app, request.instance);
  try {
    return await commitOnly(parts, request);
  } catch (error) {
    parts.tiering?.settle(app);
    throw error;
  }
}

async function commitOnly(parts: Parts, request: CommitOptions): Promise<Committed> {
  const {faults, served, store} = parts;
  const parent = request.instance === null ? null : served.get(request.instance);
  const missing = new Map<number, PageTable>();
  if (parent !== null && parent.keeper !== null) {
    const {tables} = await faults.ask({kind: 'missing', instance: parent.instance, processes: request.processes});
    for (const {vpid, table} of tables) missing.set(vpid, decodePageTable(Buffer.from(table)));
  }
  const {app, token, dumpDir, above, layers, meta} = request;
  const result = await store.commit({app: appName(app), token, dumpDir, parent: parent?.checkpoint ?? null, above, missing, layers, meta});
  return {generation: result.generation, bytesWritten: result.bytesWritten, pageCount: result.pageCount};
}

/** What it writes is not uploaded until it is known to stay or gone. */
async function compact({predicted, store, tiering}: Parts, request: CompactOptions): Promise<Compacted | null> {
  const {generation, token} = request;
  const app = appName(request.app);
  tiering?.unsettleCopies(app, generation);
  let made: Compacted | null = null;
  try {
    made = await store.compact({app, generation, token, expected: async (checkpoint) => expectedPages(predicted, checkpoint)});
    return made;
  } finally {
    if (made === null) tiering?.settleCopies(app);
  }
}
