/**
 * Mounts images of root file systems, each once, and brings what is read. The mounts outlive this process when it is killed: the next one takes the
 * devices from their keeper and goes on, and whoever reads meanwhile waits.
 */
import {mkdirSync, readFileSync, realpathSync, rmdirSync, rmSync, writeFileSync} from 'node:fs';
import {hostname} from 'node:os';
import {join} from 'node:path';
import {assert, CodedError, errorMessage} from '../../core/errors.ts';
import {close} from '../../core/libc.ts';
import type {Log} from '../../core/log.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {detachFuse, fuseMountsBelow, mountFuse} from '../fuse/fuse-mount.ts';
import type {ImageConfig} from './archives/image-config.ts';
import {DeviceKeeper, stopDeviceKeepers} from './fuse-image-keeper.ts';
import type {ImageReport, RequestCounts} from './fuse-image-messages.ts';
import {ImageMountFiles, type MountRecord} from './fuse-image-records.ts';
import {ImageThreadClient} from './fuse-image-thread.ts';
import {ImageCache} from './rootfs-image-cache.ts';
import {ImageFetcher} from './rootfs-image-fetch.ts';
import {imageKeys, imagePrefix} from './rootfs-image-keys.ts';
import {getName, type Image, parseImage} from './rootfs-image-object.ts';
import {sha256} from './rootfs-image-tree.ts';

const keeperCheckMs = 5000;

export interface ImageMountsOptions {
  /** The gateway's. */
  readonly runtimeDir: string;
  /** The images' alone, below it. */
  readonly directory: string;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly objects: ObjectStore;
  /** Images that checkpoints need which only this host has yet: they stay in use when they are not mounted. Default none. */
  readonly needed?: (() => Promise<ReadonlySet<string>>) | undefined;
  readonly log: Log;
  /** The serving thread has ended: only a new process helps. */
  readonly onBroken: (reason: string) => void;
  /** False: reads are served by us even where the kernel could. Default true. */
  readonly passthrough?: boolean;
}

export interface MountedImage {
  readonly path: string;
  readonly digest: string;
  /** Of what was asked for by its name, if it is known how it is run. */
  readonly config?: ImageConfig | undefined;
}

interface Mount {
  readonly record: MountRecord;
  readonly image: Image;
  readonly device: number;
  readonly fetcher: ImageFetcher;
  readonly ready: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
  /** Its last app has gone: it is detached, and nobody gets it any more. */
  readonly leaving: boolean;
}

export class ImageMounts implements AsyncDisposable {
  readonly #options: ImageMountsOptions;
  readonly #files: ImageMountFiles;
  readonly #cache: ImageCache;
  readonly #thread: ImageThreadClient;
  readonly #user: string;
  /** By space. */
  readonly #mounts = new Map<number, Mount>();
  readonly #mounting = new Map<string, Promise<Mount>>();
  /** Marks of use that are being removed, by digest. */
  readonly #forgetting = new Map<string, Promise<void>>();
  readonly #counting = new Map<number, PromiseWithResolvers<RequestCounts>>();
  #keeper: DeviceKeeper | undefined;
  #nextSpace = 1;
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: ImageMountsOptions, cache: ImageCache) {
    this.#options = options;
    this.#files = new ImageMountFiles(options.directory);
    this.#cache = cache;
    this.#user = sha256(Buffer.from(`${hostname()}:${options.runtimeDir}`)).slice(0, 16);
    this.#thread = new ImageThreadClient(cache.filesDir, {onReport: (report) => this.#receive(report), onEnd: options.onBroken});
  }

  /** Takes over what a killed pager has mounted, and removes what cannot be taken over. */
  static async open(options: ImageMountsOptions): Promise<ImageMounts> {
    mkdirSync(options.directory, {recursive: true, mode: 0o700});
    let tellDropped: (key: string) => void = () => undefined;
    const cache = await ImageCache.open({directory: options.cacheDir, limitBytes: options.cacheBytes, onDropped: (key) => tellDropped(key)});
    // As the table of mounts has it.
    const mounts = new ImageMounts({...options, directory: realpathSync(options.directory)}, cache);
    tellDropped = (key) => mounts.#thread.tell({kind: 'dropped', key});
    await mounts.#takeOver();
    mounts.#timer = setInterval(() => mounts.#checkKeeper(), keeperCheckMs).unref();
    return mounts;
  }

  async #takeOver(): Promise<void> {
    const {keeper, mounts, nextSpace} = this.#files.read();
    this.#nextSpace = nextSpace;
    const mounted = new Set(await fuseMountsBelow(this.#options.directory));
    const taken = keeper === null ? undefined : DeviceKeeper.takeOver(this.#options.runtimeDir, keeper);
    this.#keeper = taken?.keeper;
    for (const record of mounts) {
      const device = taken?.devices.get(record.space);
      if (device === undefined || !mounted.delete(this.#files.mountPoint(record.space))) continue;
      const image = await parseImage(record.digest, readFileSync(this.#files.imagePath(record.space)));
      this.#serve({record, image, device, takenOver: true});
    }
    for (const path of mounted) detachFuse(path);
    for (const [space, device] of taken?.devices ?? []) if (!this.#mounts.has(space)) this.#letGo(space, device);
    stopDeviceKeepers(this.#options.runtimeDir, taken?.keeper.record);
    // No fault waits for it: the store may not answer.
    this.#forgetUses().catch((error: unknown) => this.#options.log.warn({error: errorMessage(error)}, 'which images are in use is not up to date'));
  }

  /** What the store says of this host's mounts that are no more. */
  async #forgetUses(): Promise<void> {
    for (const {key} of await this.#options.objects.list(imagePrefix.uses)) {
      const [digest = '', user] = key.slice(imagePrefix.uses.length).split('/');
      if (user === this.#user) await this.#forgetUse(digest);
    }
  }

  async #needed(): Promise<ReadonlySet<string>> {
    return (await this.#options.needed?.()) ?? new Set();
  }

  /** This host has not mounted it any more. If a checkpoint needs it that nobody else can see, that is told later. */
  async #forgetUse(digest: string): Promise<void> {
    const forget = async (): Promise<void> => {
      const needed = await this.#needed();
      const isMounted = this.#mounted(digest) !== undefined || this.#mounting.has(digest);
      if (!needed.has(digest) && !isMounted) await this.#options.objects.delete(imageKeys.use(digest, this.#user));
    };
    const forgetting = forget();
    this.#forgetting.set(digest, forgetting);
    try {
      await forgetting;
    } finally {
      if (this.#forgetting.get(digest) === forgetting) this.#forgetting.delete(digest);
    }
  }

  /**
   * Mounts an image as the root of an app, if it is not mounted yet. The app's earlier one goes when it was the last that had it.
   * @param image a digest, or a name for what it means now
   * @throws CodedError ERR_IMAGE_DAMAGED; ObjectStoreError ERR_NO_OBJECT
   */
  async mount(app: string, image: {readonly name: string} | {readonly digest: string}): Promise<MountedImage> {
    const {digest, config} = 'digest' in image ? {...image, config: undefined} : await getName(this.#options.objects, image.name);
    const known = this.#mounted(digest);
    // At once: an app that leaves meanwhile must not be the last one.
    if (known !== undefined) this.#join(known.record.space, app);
    const mounting = known === undefined ? (this.#mounting.get(digest) ?? this.#mountNew(digest)) : Promise.resolve(known);
    this.#mounting.set(digest, mounting);
    try {
      const {record, ready} = await mounting;
      this.#join(record.space, app);
      await this.#thread.waitFor(ready.promise);
      for (const other of [...this.#mounts.values()]) {
        if (other.record.digest !== digest && other.record.apps.includes(app)) await this.#leave(other.record.space, app);
      }
      return {path: this.#files.mountPoint(record.space), digest, config};
    } finally {
      this.#mounting.delete(digest);
    }
  }

  #mounted(digest: string): Mount | undefined {
    return [...this.#mounts.values()].find(({record, leaving}) => record.digest === digest && !leaving);
  }

  #join(space: number, app: string): void {
    this.#setApps(space, (apps) => [...new Set([...apps, app])]);
  }

  async #mountNew(digest: string): Promise<Mount> {
    const {objects, directory} = this.#options;
    await this.#forgetting.get(digest)?.catch(() => undefined); // Reported where it was begun.
    await objects.put(imageKeys.use(digest, this.#user), Buffer.from(JSON.stringify({host: hostname(), at: Date.now()})));
    const data = await objects.get(imageKeys.image(digest));
    const image = await parseImage(digest, data);
    this.#keeper ??= DeviceKeeper.start(this.#options.runtimeDir);
    const space = this.#nextSpace++;
    this.#files.remove(space);
    writeFileSync(this.#files.imagePath(space), data, {mode: 0o600});
    const {device, mountPoint} = await mountFuse(join(directory, String(space)), 'root');
    try {
      this.#keeper.park(space, device);
    } catch (error) {
      detachFuse(mountPoint);
      close(device);
      throw error;
    }
    const mount = this.#serve({record: {space, digest, apps: []}, image, device, takenOver: false});
    this.#write();
    return mount;
  }

  #serve({record, image, device, takenOver}: {record: MountRecord; image: Image; device: number; takenOver: boolean}): Mount {
    const {objects, log} = this.#options;
    const fetcher = new ImageFetcher(image, {
      objects,
      cache: this.#cache,
      onStored: (key, pieces) => this.#thread.tell({kind: 'stored', key, pieces, part: this.#cache.partOf(key)}),
      onRetry: (reason) => log.warn({image: image.digest, reason}, 'an image cannot be read; who waits for it goes on waiting'),
    });
    const mount: Mount = {record, image, device, fetcher, ready: Promise.withResolvers(), ended: Promise.withResolvers(), leaving: false};
    mount.ready.promise.catch(() => undefined); // Who mounts it is told; after a take-over nobody waits.
    this.#mounts.set(record.space, mount);
    const opensPath = this.#files.opensPath(record.space);
    const passthrough = this.#options.passthrough ?? true;
    this.#thread.tell({kind: 'serve', plan: {mount: record.space, device, treeData: image.treeData, opensPath, passthrough, takenOver}});
    return mount;
  }

  #setApps(space: number, change: (apps: readonly string[]) => readonly string[]): void {
    const mount = this.#mounts.get(space);
    if (mount === undefined) return;
    this.#mounts.set(space, {...mount, record: {...mount.record, apps: change(mount.record.apps)}});
    this.#write();
  }

  #write(): void {
    const mounts = [...this.#mounts.values()].map(({record}) => record);
    this.#files.write({keeper: this.#keeper?.record ?? null, nextSpace: this.#nextSpace, mounts});
  }

  async #leave(space: number, app: string): Promise<void> {
    this.#setApps(space, (apps) => apps.filter((other) => other !== app));
    const mount = this.#mounts.get(space);
    if (mount === undefined || mount.record.apps.length > 0) return;
    this.#mounts.set(space, {...mount, leaving: true});
    detachFuse(this.#files.mountPoint(space));
    await this.#forgetUse(mount.record.digest);
  }

  /** How often the kernel has asked for what. */
  async counts(digest: string): Promise<RequestCounts> {
    const mount = this.#mounted(digest);
    assert(mount !== undefined, `Image ${digest} is not mounted`);
    const id = this.#nextId++;
    const counted = Promise.withResolvers<RequestCounts>();
    this.#counting.set(id, counted);
    this.#thread.tell({kind: 'count', id, mount: mount.record.space});
    return this.#thread.waitFor(counted.promise);
  }

  /** Brings all of an image into the cache. */
  async fetchAll(digest: string, signal: AbortSignal): Promise<void> {
    for (const {record, fetcher} of this.#mounts.values()) if (record.digest === digest) await fetcher.fetchAll(signal);
  }

  #receive(report: ImageReport): void {
    const {log} = this.#options;
    switch (report.kind) {
      case 'ready':
        this.#mounts.get(report.mount)?.ready.resolve();
        return;
      case 'wanted':
        void this.#fetch(report);
        return;
      case 'used':
        this.#cache.used(report.key);
        return;
      case 'no-passthrough':
        log.info({reason: report.reason}, 'files of images are read through the pager');
        return;
      case 'error':
        log.error({error: report.message}, 'an image');
        return;
      case 'counted':
        this.#counting.get(report.id)?.resolve(report.counts);
        this.#counting.delete(report.id);
        return;
      case 'ended':
        this.#ended(report.mount);
        return;
      default:
        report satisfies never;
    }
  }

  async #fetch({mount: space, nodeId, key, piece}: Extract<ImageReport, {kind: 'wanted'}>): Promise<void> {
    const mount = this.#mounts.get(space);
    try {
      const wanted = mount?.fetcher.fetch(nodeId - 1, piece);
      void mount?.fetcher.fetchRest(nodeId - 1);
      await wanted;
    } catch (error) {
      if (!(error instanceof Error && error.name === 'AbortError'))
        this.#options.log.error({image: mount?.image.digest, error: errorMessage(error)}, 'a file of an image cannot be read');
      this.#thread.tell({kind: 'failed', key, piece});
    }
  }

  #ended(space: number): void {
    const mount = this.#mounts.get(space);
    if (mount === undefined) return;
    this.#mounts.delete(space);
    mount.fetcher.stop();
    mount.ready.reject(new CodedError('ERR_FUSE_STOPPED', `Cannot mount image ${mount.image.digest}: the kernel ended the connection`, {source: 'host'}));
    this.#letGo(space, mount.device);
    this.#write();
    mount.ended.resolve();
  }

  #letGo(space: number, device: number): void {
    this.#keeper?.forget(space);
    close(device);
    this.#files.remove(space);
    try {
      rmdirSync(this.#files.mountPoint(space));
    } catch {
      // An empty directory that stays harms nobody.
    }
  }

  #checkKeeper(): void {
    if (this.#keeper === undefined || this.#keeper.runs) return;
    try {
      this.#options.log.warn({pid: this.#keeper.record.pid}, 'the keeper of FUSE devices ended; another takes its place');
      this.#keeper.replace();
      this.#write();
    } catch (error) {
      this.#options.log.error({error: errorMessage(error)}, 'the mounts of images would not survive the end of the pager');
    }
  }

  /** Unmounts all. What still has a file open gets errors from then on. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    for (const {fetcher, record} of this.#mounts.values()) {
      fetcher.stop();
      detachFuse(this.#files.mountPoint(record.space));
    }
    await this.#thread[Symbol.asyncDispose]();
    const uses = [...this.#mounts.values()].map(async ({record}) => this.#forgetUse(record.digest));
    for (const {device} of this.#mounts.values()) close(device);
    this.#mounts.clear();
    this.#keeper?.stop();
    this.#keeper?.[Symbol.dispose]();
    rmSync(this.#options.directory, {recursive: true, force: true});
    await this.#cache[Symbol.asyncDispose]();
    await Promise.allSettled(uses);
  }
}
