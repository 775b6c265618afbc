/**
 * The remote store behind the local one, as the pager uses it: what is committed is uploaded, what a wake needs is fetched, and what an awake app
 * may still touch is brought here in the background.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import {type CachedStore, openCachedStore} from '../../store/cached-store.ts';
import {type ByteRange, isUnreachable} from '../../store/object-store.ts';
import type {S3Store} from '../../store/s3-options.ts';
import {AppsInUse} from '../apps-in-use.ts';
import {openAppKeys} from '../checkpoints/app-keys.ts';
import type {Checkpoint} from '../checkpoints/checkpoint.ts';
import {keysOf, numberInKey} from '../checkpoints/checkpoint-keys.ts';
import type {Keyring} from '../checkpoints/keyring.ts';
import {LayerStore} from '../checkpoints/layer-store.ts';
import {type Manifest, parseManifest} from '../checkpoints/manifest.ts';
import type {PageRun} from '../checkpoints/page-table.ts';
import {expectedPages} from '../prediction/expected-pages.ts';
import type {PredictedSets} from '../prediction/predicted-set.ts';
import type {Placement, RemoteSettings, RemoteStatus, TierEvent} from '../protocol.ts';
import {coldSegmentNumber} from './cold-object.ts';
import {type ColdExpected, type ColdFetch, type ColdRequest, fetchCold, keepCold} from './cold-reader.ts';
import {coldObject} from './cold-writer.ts';
import {pendingGenerations} from './upload-generation.ts';
import {Uploads} from './uploads.ts';

/** What a gateway that was killed may have to say about its last generation, it says before. */
const firstUploadMs = 30_000;
/** So much of one app at a time, and a pause after it: whoever waits for a page goes first. */
const backgroundBytes = 1024 * 1024;
const backgroundPauseMs = 100;
const backgroundRetryMs = 5000;
/** Until then the wake has all of the line, the processors and the disk. */
const afterWakeMs = 1000;
/** How soon whoever asks how the store is makes one that did not answer be asked again. */
const askAgainMs = 5000;
/** The indexes of all but very large segments are in this end of them. */
const indexBytes = 256 * 1024;

export interface TieringOptions {
  readonly remote: RemoteSettings;
  readonly pendingDir: string;
  /** See `PagerSettings`. */
  readonly appsDir: string | undefined;
  readonly keyring: Keyring | null;
  readonly log: Log;
  /** Checkpoints that instances run from, or are prepared from. */
  readonly served: () => readonly {readonly checkpoint: Checkpoint}[];
  readonly onPlacement: (app: AppName, placement: Placement) => void;
  readonly onEvent: (app: AppName, event: TierEvent, message: string) => void;
}

export class Tiering implements AsyncDisposable {
  readonly objects: CachedStore;
  readonly #options: TieringOptions;
  readonly #uploads: Uploads;
  readonly #inUse: AppsInUse;
  readonly #stop = new AbortController();
  readonly #layers: LayerStore | null;
  #layerBytes = 0;
  /** Copies of parts of cold objects that nobody lists. */
  readonly #coldCopies = new Map<string, ColdExpected>();

  /** Opens the directories; the remote store is not asked anything yet. @throws CodedError for settings that cannot be used */
  static async open(options: TieringOptions, predicted: (objects: CachedStore) => PredictedSets): Promise<Tiering> {
    const {openS3Store} = await import('../../store/s3-store.ts');
    const {cacheDir, cacheBytes, ...s3} = options.remote;
    const remote = await openS3Store({...s3, log: options.log});
    try {
      const {pendingDir, log, served} = options;
      const inUse = new AppsInUse(served);
      const objects = await openCachedStore({remote, pendingDir, cacheDir, cacheBytes, log, inUse: () => inUse.keys()});
      const tiering = new Tiering(options, objects, {remote, inUse, predicted: predicted(objects)});
      await tiering.#layers?.removeUncertain();
      return tiering;
    } catch (error) {
      await remote[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** For what has local copies of its own. */
  readonly remote: S3Store;

  private constructor(
    options: TieringOptions,
    objects: CachedStore,
    parts: {readonly remote: S3Store; readonly inUse: AppsInUse; readonly predicted: PredictedSets},
  ) {
    this.#options = options;
    this.objects = objects;
    this.remote = parts.remote;
    this.#inUse = parts.inUse;
    const {appsDir, keyring, log, onEvent} = options;
    const layers = appsDir === undefined ? null : new LayerStore({objects, keys: openAppKeys(objects, keyring), appsDir, log});
    this.#layers = layers;
    const expected = async (checkpoint: Checkpoint): Promise<ReadonlyMap<number, readonly PageRun[]>> => expectedPages(parts.predicted, checkpoint);
    this.#uploads = new Uploads({
      objects,
      log,
      cold: async (app, generation) => coldObject({objects, keyring, expected}, app, generation),
      layer: layers === null ? null : async (app, layer, signal) => layers.upload(app, layer, signal),
      onChange: (app) => this.tell(app),
      onEvent,
    });
  }

  /** To be called when all instances of a pager before this one are known. */
  begin(): void {
    void this.objects.share(this.#layerBytes);
    setTimeout(() => void this.#uploads.kickAll(), firstUploadMs).unref();
  }

  /** @returns false when the remote store cannot be reached now. @throws ObjectStoreError when it cannot be used as it is configured */
  async check(): Promise<boolean> {
    try {
      await this.remote.check();
      return true;
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      this.objects.unreachable(error);
      this.#options.log.warn({error: error.message}, 'the store cannot be reached; what is on this host has to be enough');
      return false;
    }
  }

  /** What is known of the remote store. After a while in which nobody has asked one that did not answer, it is asked again, without waiting for it. */
  async status(): Promise<RemoteStatus> {
    const {remote, objects} = this;
    const outage = remote.outage();
    if (outage !== null && Date.now() - outage.askedAt > askAgainMs) void this.check().catch(() => undefined); // The outage tells of it.
    const pending = await objects.pendingObjects('apps/');
    return {
      place: remote.place,
      requests: remote.stats(),
      outage,
      cacheBytes: objects.cachedBytes,
      layerBytes: this.#layerBytes,
      cacheLimitBytes: this.#options.remote.cacheBytes,
      pendingObjects: pending.length,
      pendingBytes: pending.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0),
    };
  }

  /** What is committed of an app is certain to stay. */
  upload(app: AppName): void {
    this.#uploads.kick(app);
  }

  /** The newest generation may still be taken back, and the app go on to change its files: nothing of it is uploaded until `settle()`. */
  unsettle(app: AppName): void {
    this.#uploads.hold(app, 'uncertain');
  }

  /** The newest generation was taken back or is certain to stay, and no process of the app is left that could change its files. */
  settle(app: AppName): void {
    this.#uploads.release(app, 'uncertain');
  }

  /** What is newer than a generation may be a copy of it at which nothing points: it is not uploaded until `settleCopies()`. */
  unsettleCopies(app: AppName, generation: number): void {
    this.#uploads.hold(app, 'copy', generation);
  }

  /** Copies were removed, or one of them is certain to stay. */
  settleCopies(app: AppName): void {
    this.#uploads.release(app, 'copy');
  }

  /** Says in the background where the newest generation of an app is. */
  tell(app: AppName): void {
    this.placement(app).then(
      (placement) => this.#options.onPlacement(app, placement),
      (error: unknown) => this.#options.log.debug({app, error: errorMessage(error)}, 'where the app is kept is not known'),
    );
  }

  async placement(app: AppName): Promise<Placement> {
    const progress = await this.#uploads.progress(app);
    const generation = await this.#newest(app);
    if (generation === null) return {generation, local: false, stored: false, ...progress};
    const stored = await this.objects.isStored(keysOf(app).manifest(generation)).catch(() => false);
    return {generation, local: await this.isLocal(app, generation), stored, ...progress};
  }

  /** Whether a restore finds something of everything here, and all files. */
  async isLocal(app: AppName, generation: number): Promise<boolean> {
    if (!(await this.#isMemoryLocal(app, generation))) return false;
    const {layers} = await this.#manifest(app, generation);
    return this.#layers === null || this.#layers.areLocal(app, layers);
  }

  /**
   * Whether a generation may be written again, though some of what it is made of may have to be fetched for that: it was made here, so that its
   * chain does not grow for ever when the app is woken in part only. What is kept in the store only stays there as it is.
   */
  async mayCompact(app: AppName, generation: number): Promise<boolean> {
    if (await this.#isMemoryLocal(app, generation)) return true;
    if (this.remote.outage() !== null || !(await this.#isManifestLocal(app, generation))) return false;
    const {bundle} = await this.#manifest(app, generation);
    return (await this.objects.localBytes(bundle.key)) > 0;
  }

  async #isMemoryLocal(app: AppName, generation: number): Promise<boolean> {
    return (await this.#isManifestLocal(app, generation)) && this.#arePartsLocal(app, generation);
  }

  async #isManifestLocal(app: AppName, generation: number): Promise<boolean> {
    return (await this.objects.localBytes(keysOf(app).manifest(generation))) > 0;
  }

  async #arePartsLocal(app: AppName, generation: number): Promise<boolean> {
    const keys = keysOf(app);
    const {bundle, segments} = await this.#manifest(app, generation);
    for (const key of [bundle.key, ...segments.map(({segment}) => keys.segment(segment))]) if ((await this.objects.localBytes(key)) === 0) return false;
    return true;
  }

  /**
   * Another worker may have had the app: what is known here of the store does not count any more, nor do copies of what may have been written over.
   * Where both have written a generation, the newer token decides before anything is read. @throws CodedError ERR_NOT_STORED; ObjectStoreError
   */
  async refresh(app: AppName): Promise<void> {
    const keys = keysOf(app);
    this.objects.refresh(`apps/${app}/`);
    await this.objects.dropLocal(keys.manifests);
    await this.objects.removeLocal(keys.predicted);
    const pending = await pendingGenerations(this.objects, app);
    if (pending.length === 0) return;
    const stored = new Set((await this.remote.list(keys.manifests)).map(({key}) => key));
    if (!pending.some((generation) => stored.has(keys.manifest(generation)))) return;
    // The first attempt ends when ours is set aside.
    await this.#uploads.finish(app).catch(() => this.#uploads.finish(app));
  }

  /** No local copy of the app gives way until this is disposed: a restore of it is being prepared. */
  prepare(app: AppName): Disposable {
    return this.#inUse.prepare(app);
  }

  /** Brings what a wake reads first, all at once, when something of it is not here; everything for one that is not lazy. */
  async fetchForWake(request: Omit<ColdRequest, 'manifestIsLocal'>, mode: 'lazy' | 'eager'): Promise<ColdFetch | undefined> {
    const {app, generation} = request;
    if (mode === 'eager') await this.fetchAll(await this.#manifest(app, generation));
    const manifestIsLocal = await this.#isManifestLocal(app, generation);
    if (manifestIsLocal && (await this.#arePartsLocal(app, generation))) return undefined;
    const fetched = await fetchCold(this.objects, {...request, manifestIsLocal}, this.#options.log);
    const expected = fetched?.expected;
    if (expected !== undefined) this.#coldCopies.set(`${app}/${expected.local.segment}`, expected);
    return fetched;
  }

  /** Makes the local copies of a generation's memory complete. */
  async fetchAll({app, bundle, segments}: Pick<Manifest, 'app' | 'bundle' | 'segments'>): Promise<void> {
    const keys = keysOf(app);
    await Promise.all([bundle.key, ...segments.map(({segment}) => keys.segment(segment))].map(async (key) => this.objects.ensureLocal(key)));
  }

  /** Brings all files of a generation here. @throws as `LayerStore.fetch()` */
  async fetchFiles(app: AppName, generation: number): Promise<void> {
    await this.#layers?.fetch(app, (await this.#manifest(app, generation)).layers);
  }

  /** @throws as `LayerStore.fetch()` */
  async fetchLayers(app: AppName, layers: readonly string[]): Promise<void> {
    await this.#layers?.fetch(app, layers);
  }

  /** The copy of a segment gets a range. */
  async fetch(app: AppName, segment: number, range: ByteRange): Promise<void> {
    const cold = this.#coldCopies.get(`${app}/${segment}`);
    try {
      await this.objects.ensureLocal(cold?.local.object ?? keysOf(app).segment(segment), range);
    } catch (error) {
      // Its pages are in the ordinary segments too.
      if (cold !== undefined) new Uint8Array(cold.usable).fill(0);
      throw error;
    }
  }

  /**
   * What is left to do when an app has woken: local copies of what it woke from, the indexes of its segments, which its next checkpoint needs, and
   * slowly, with `all`, the rest of what it may touch, as long as `goesOn`. Never throws.
   */
  async afterWake({checkpoint, cold, all}: {checkpoint: Checkpoint; cold: ColdFetch | undefined; all: boolean}, goesOn: () => boolean): Promise<void> {
    const {app, manifest} = checkpoint;
    await this.#pause(afterWakeMs);
    if (!goesOn()) return;
    try {
      if (cold !== undefined) await keepCold(this.objects, cold);
      for (const {segment, sizeBytes} of manifest.segments) {
        if (!goesOn() || this.#stop.signal.aborted) return;
        const length = Math.min(sizeBytes, indexBytes);
        if (cold !== undefined) await this.objects.ensureLocal(keysOf(app).segment(segment), {position: sizeBytes - length, length});
      }
    } catch (error) {
      this.#options.log.debug({app, error: errorMessage(error)}, 'local copies cannot be made now');
    }
    if (all) await this.#fetchInBackground(checkpoint, goesOn);
  }

  async #fetchInBackground({app, manifest}: Checkpoint, goesOn: () => boolean): Promise<void> {
    for (const {segment, sizeBytes} of manifest.segments) {
      for (let position = 0; position < sizeBytes; ) {
        if (!goesOn() || this.#stop.signal.aborted) return;
        const key = keysOf(app).segment(segment);
        try {
          const before = await this.objects.localBytes(key);
          if (before >= sizeBytes) break;
          await this.objects.ensureLocal(key, {position, length: Math.min(backgroundBytes, sizeBytes - position)});
          position += backgroundBytes;
          if ((await this.objects.localBytes(key)) > before) await this.#pause(backgroundPauseMs);
        } catch (error) {
          this.#options.log.debug({app, segment, error: errorMessage(error)}, 'a part cannot be fetched beforehand now');
          await this.#pause(backgroundRetryMs);
        }
      }
    }
  }

  /** See `PagerService`. */
  async share(layerBytes: number, dropped: readonly AppName[]): Promise<number> {
    this.#layerBytes = layerBytes;
    await this.objects.share(layerBytes);
    for (const app of dropped) this.tell(app);
    return this.objects.cachedBytes;
  }

  /** For an app that sleeps. Resolves when everything of it is in the remote store. @throws CodedError ERR_NOT_STORED */
  async finishUpload(app: AppName): Promise<void> {
    await this.#uploads.finish(app);
  }

  /** @throws CodedError ERR_STILL_USED while an instance reads from it, ERR_NOT_STORED when something is not uploaded */
  async dropLocal(app: AppName): Promise<void> {
    const refuse = (code: string, found: string): CodedError =>
      new CodedError(code, `Cannot drop the local copy of app "${app}": ${found}`, {source: 'host', retryable: true});
    const refuseUsed = (): void => {
      if (this.#inUse.has(app)) throw refuse('ERR_STILL_USED', 'it is in use');
    };
    refuseUsed();
    const {pendingObjects, stored} = await this.placement(app);
    if (pendingObjects > 0 || !stored) throw refuse('ERR_NOT_STORED', `${pendingObjects} objects are not in the store yet`);
    await this.objects.dropLocal(`apps/${app}/`, () => !this.#inUse.has(app));
    refuseUsed();
    this.tell(app);
  }

  /** An instance of a generation is gone, and with it who read the copy of its cold segment. */
  async forgetCold(app: AppName, generation: number): Promise<void> {
    const name = `${app}/${coldSegmentNumber(generation)}`;
    const cold = this.#coldCopies.get(name);
    this.#coldCopies.delete(name);
    if (cold !== undefined) await this.objects.removeLocal(cold.local.object);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#uploads[Symbol.asyncDispose]();
    await this.objects[Symbol.asyncDispose]();
    await this.remote[Symbol.asyncDispose]();
  }

  async #manifest(app: AppName, generation: number): Promise<Manifest> {
    const object = keysOf(app).manifest(generation);
    return parseManifest(await this.objects.get(object), {object, app, generation});
  }

  async #newest(app: AppName): Promise<number | null> {
    const listed = await this.objects.list(keysOf(app).manifests);
    return listed.reduce<number | null>((highest, {key}) => Math.max(highest ?? 0, numberInKey(key) ?? 0), null);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, {signal: this.#stop.signal, ref: false}).catch(() => undefined); // Only cut short by the stop.
  }
}
