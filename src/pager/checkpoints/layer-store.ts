/**
 * The layers of apps' files in the remote store. Each is stored once, under a name that tells its content: that of the instance that wrote it,
 * or of the oldest and the newest of those it was merged from.
 */
import {existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {open, readdir, readFile, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {syncFileSystem} from '../../core/file-metadata.ts';
import type {AppName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {CachedStore} from '../../store/cached-store.ts';
import type {AppKeys} from './app-keys.ts';
import {keysOf} from './checkpoint-keys.ts';
import {LayerReader, layerBody} from './layer-object.ts';
import {scanLayer} from './layer-scan.ts';
import {unpackLayer} from './layer-unpack.ts';

/** Of an app, fetched at a time. */
const concurrency = 2;
/** Of an object, asked for at a time, and how much in each request. */
const aheadRequests = 4;
const rangeBytes = 2 * 1024 * 1024;
/**
 * In a layer that was fetched and may not be on the disk yet: a wake does not wait for that. Its content is the boot after which it was made; after
 * another one, what is in the layer is uncertain, and it is fetched again. It is there before the layer has its name, and file systems keep that order.
 */
const unsyncedName = 'unsynced';
/** Until then the wake has all of the disk. */
const syncDelayMs = 1000;
const layerPattern = /^[0-9A-Za-z][0-9A-Za-z_+-]*$/;

export interface LayerStoreOptions {
  readonly objects: CachedStore;
  readonly keys: AppKeys;
  /** `<appsDir>/<app>/layers/<layer>/upper` */
  readonly appsDir: string;
  readonly log: Log;
}

export class LayerStore {
  readonly #options: LayerStoreOptions;
  readonly #fetching = new Map<string, Promise<void>>();

  constructor(options: LayerStoreOptions) {
    this.#options = options;
  }

  /** Removes the layers that had been fetched shortly before the system went down. To be called before anybody uses one. */
  async removeUncertain(): Promise<void> {
    const boot = bootId();
    const {appsDir, log} = this.#options;
    for (const app of await namesIn(appsDir)) {
      for (const layer of await namesIn(join(appsDir, app, 'layers'))) {
        const directory = join(appsDir, app, 'layers', layer);
        const marked = await readFile(join(directory, unsyncedName), 'utf8').catch(() => boot); // Without a mark it is certain.
        if (marked === boot) continue;
        log.info({app, layer}, 'a layer of files that may not have reached the disk is removed; it is in the store');
        await rm(directory, {recursive: true, force: true});
      }
    }
  }

  /** Whether all of these are on this host. */
  areLocal(app: AppName, layers: readonly string[]): boolean {
    return this.#missing(app, layers).length === 0;
  }

  /** Stores a frozen layer, unless it is stored. @throws ObjectStoreError; errors of the file system */
  async upload(app: AppName, layer: string, signal: AbortSignal): Promise<void> {
    const {objects, keys} = this.#options;
    const key = layerKey(app, layer);
    if (await objects.isStored(key)) return;
    const records = scanLayer(join(this.#directory(app), layer, 'upper'), signal);
    try {
      await objects.putRemote(key, layerBody({app, layer, key}, records, await keys.forWriting(app)), {ifAbsent: true, signal});
    } catch (error) {
      if (errorCode(error) !== 'ERR_OBJECT_EXISTS') throw error;
      // By another worker, or by this one without having heard of it: the name says that it is the same.
      objects.refresh(key);
    }
  }

  /**
   * Brings those of the layers here that are missing. Each appears whole or not at all, and is brought to disk later.
   * @throws DamagedCheckpointError; CodedError ERR_WRONG_KEY, ERR_STORE_FULL; ObjectStoreError
   */
  async fetch(app: AppName, layers: readonly string[]): Promise<void> {
    const rest = this.#missing(app, layers).values();
    const worker = async (): Promise<void> => {
      for (const layer of rest) await this.#fetchOnce(app, layer);
    };
    const results = await Promise.allSettled(Array.from({length: concurrency}, worker));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #fetchOnce(app: AppName, layer: string): Promise<void> {
    const name = `${app}/${layer}`;
    const known = this.#fetching.get(name);
    // Somebody else may have just brought it.
    if (known === undefined && existsSync(join(this.#directory(app), layer, 'upper'))) return;
    const running = known ?? this.#fetchWithRoom(app, layer).finally(() => this.#fetching.delete(name));
    this.#fetching.set(name, running);
    return running;
  }

  async #fetchWithRoom(app: AppName, layer: string): Promise<void> {
    try {
      await this.#fetch(app, layer);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      const freed = await this.#options.objects.freeAtOnce();
      if (!freed) throw full(app, layer, error);
      await this.#fetch(app, layer).catch((cause: unknown) => {
        throw errorCode(cause) === 'ENOSPC' ? full(app, layer, cause) : cause;
      });
    }
  }

  async #fetch(app: AppName, layer: string): Promise<void> {
    const {objects, keys, log} = this.#options;
    const key = layerKey(app, layer);
    const startedMs = performance.now();
    const sizeBytes = await objects.size(key);
    const directory = this.#directory(app);
    const unfinished = join(directory, `.unfinished-fetched-${layer}`);
    // A wake may wait for it: all is done at once here, as in layer-unpack.ts.
    rmSync(unfinished, {recursive: true, force: true});
    try {
      mkdirSync(join(unfinished, 'work'), {recursive: true, mode: 0o700});
      const dataKey = async (wanted: {object: string; keyId: string}): Promise<Uint8Array> => keys.forReading(app, wanted);
      await using reader = new LayerReader({name: {app, layer, key}, pieces: inRanges(objects, key, sizeBytes), dataKey});
      await unpackLayer(reader, join(unfinished, 'upper'));
      await reader.end();
      writeFileSync(join(unfinished, unsyncedName), bootId());
      renameSync(unfinished, join(directory, layer));
    } catch (error) {
      await rm(unfinished, {recursive: true, force: true});
      throw error;
    }
    setTimeout(() => void this.#sync(app, layer), syncDelayMs).unref();
    log.debug({app, layer, sizeBytes, ms: Math.round(performance.now() - startedMs)}, 'a layer of files was fetched');
  }

  /** Never throws: a layer that stays uncertain is fetched once more after the next boot. */
  async #sync(app: AppName, layer: string): Promise<void> {
    try {
      await using directory = await open(join(this.#directory(app), layer));
      await syncFileSystem(directory.fd);
      await rm(join(this.#directory(app), layer, unsyncedName));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') this.#options.log.warn({app, layer, error: errorMessage(error)}, 'a layer of files cannot be brought to disk');
    }
  }

  #missing(app: AppName, layers: readonly string[]): readonly string[] {
    return layers.filter((layer) => !existsSync(join(this.#directory(app), layer, 'upper')));
  }

  #directory(app: AppName): string {
    return join(this.#options.appsDir, app, 'layers');
  }
}

/** Of this run of the system, boot_id in random(4). */
function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** None when there is no such directory. */
async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw error;
  });
}

function layerKey(app: AppName, layer: string): string {
  if (!layerPattern.test(layer)) throw new CodedError('ERR_LAYER', `Cannot use "${layer}" as the name of a layer of app "${app}"`, {source: 'bug'});
  return keysOf(app).layer(layer);
}

function full(app: AppName, layer: string, cause: unknown): CodedError {
  return new CodedError('ERR_STORE_FULL', `Cannot fetch layer "${layer}" of app "${app}": the disk is full`, {source: 'host', retryable: true, cause});
}

/** An object from its beginning to its end; some ranges are on their way while the first one is looked at. */
async function* inRanges(objects: CachedStore, key: string, sizeBytes: number): AsyncGenerator<Buffer, undefined> {
  const arrivals: Promise<Buffer>[] = [];
  let asked = 0;
  const ask = (): void => {
    if (asked >= sizeBytes) return;
    const length = Math.min(rangeBytes, sizeBytes - asked);
    const arrival = objects.getHeld(key, {position: asked, length});
    // Whoever reads on hears of it; nobody may read on.
    arrival.catch(() => undefined);
    arrivals.push(arrival);
    asked += length;
  };
  for (let count = 0; count < aheadRequests; count++) ask();
  for (let arrival = arrivals.shift(); arrival !== undefined; arrival = arrivals.shift()) {
    const data = await arrival;
    ask();
    yield data;
  }
  return undefined;
}
