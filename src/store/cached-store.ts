/**
 * A remote object store behind a local disk. What is written goes to a directory of its own, `pending`, and is durable there; `upload()` brings
 * one object to the remote store and only then moves it into the cache, which may be emptied at any time. So what lies in `pending` is exactly
 * what is not stored yet, whoever was killed when.
 * Objects outside `apps/` are written to the remote store at once: nothing waits for them in a frozen state.
 */
import {type FileHandle, mkdir, open, rename, stat} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {errorCode} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {full, part, truncated} from './cached-errors.ts';
import {openDirectoryStore} from './directory-store.ts';
import {HeldCopies, type HeldCopy} from './held-copies.ts';
import {KeyLocks} from './key-locks.ts';
import {copyOf, type KeysInUse, LocalCache, type Opened} from './local-cache.ts';
import {
  type ByteRange,
  checkKey,
  isUnreachable,
  type KnownObjects,
  type ListedObject,
  type LocalCopy,
  type ObjectBody,
  type ObjectStore,
  ObjectStoreError,
  type PutOptions,
} from './object-store.ts';
import type {Arrives, FetchPart} from './partial-file.ts';
import type {Received} from './receive-memory.ts';
import {merged, RemoteIndex} from './remote-index.ts';
import {isUploadedLater, uploadFile} from './upload-file.ts';
import {WholeObjects, wholeBytesMax} from './whole-objects.ts';

/** Of one object under way at a time. */
const windowBytes = 16 * 1024 * 1024;
/** Freed at a time when the disk is full. */
const roomBytes = 64 * 1024 * 1024;

export interface CachedStoreOptions {
  readonly remote: ObjectStore;
  /** What is not in the remote store yet: never removed. */
  readonly pendingDir: string;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly log: Log;
  /** Keys that an instance reads from: not evicted. */
  readonly inUse?: () => KeysInUse;
}

/** Opens the directories; the remote store is not asked anything. */
export async function openCachedStore(options: CachedStoreOptions): Promise<CachedStore> {
  const {pendingDir, cacheDir, cacheBytes, log} = options;
  const cache = await LocalCache.open({directory: cacheDir, limitBytes: cacheBytes, log, inUse: options.inUse ?? (() => new Set<string>())});
  // A disk that is full of copies is not full.
  const pending = await openDirectoryStore(pendingDir, {makeRoom: () => cache.freeAtOnce(roomBytes)});
  return new CachedStore(options, pending, cache);
}

export class CachedStore implements ObjectStore, AsyncDisposable {
  readonly #options: CachedStoreOptions;
  readonly #remote: ObjectStore;
  readonly #pending: ObjectStore;
  readonly #cache: LocalCache;
  readonly #index: RemoteIndex;
  readonly #held = new HeldCopies();
  readonly #locks = new KeyLocks();
  readonly #wholes: WholeObjects;
  /** Uploads under way; what they have written by the time they are stopped is not known. */
  readonly #uploading = new Map<string, AbortController>();
  readonly #maybeStored = new Set<string>();
  /** Pending objects that no process before this one can have begun to upload. */
  readonly #written = new Set<string>();

  /** See `openCachedStore()`. */
  constructor(options: CachedStoreOptions, pending: ObjectStore, cache: LocalCache) {
    this.#options = options;
    this.#remote = options.remote;
    this.#pending = pending;
    this.#cache = cache;
    this.#index = new RemoteIndex(options.remote);
    this.#wholes = new WholeObjects(options, cache);
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<number> {
    checkKey(key);
    if (!isUploadedLater(key)) return this.#putThrough(key, body, options);
    // What another worker has written meanwhile is met by the upload, at the latest.
    if (options.ifAbsent === true && (await this.#index.sizeIfReachable(key)) !== undefined) {
      throw new ObjectStoreError('ERR_OBJECT_EXISTS', `Cannot write object "${key}": it exists already`, {key});
    }
    return this.#locks.run(key, async () => {
      const sizeBytes = await this.#pending.put(key, body, options);
      this.#written.add(key);
      // Of an older version.
      await this.#cache.remove(key);
      return sizeBytes;
    });
  }

  async get(key: string, range?: ByteRange): Promise<Buffer> {
    checkKey(key);
    const held = this.#held.read(key, range);
    if (held !== undefined) return held;
    if ((await this.#pending.localFile(key)) !== undefined) {
      try {
        return await this.#pending.get(key, range);
      } catch (error) {
        // It was moved into the cache at this moment.
        if (errorCode(error) !== 'ERR_NO_OBJECT') throw error;
      }
    }
    const cached = await this.#cache.read(key, range);
    if (cached !== undefined) return cached;
    const known = await this.#index.knownSize(key);
    if (known === undefined ? range === undefined : known <= wholeBytesMax) return part(key, await this.#wholes.fetch(key), range);
    const sizeBytes = known ?? (await this.#remote.size(key));
    const wanted = range ?? {position: 0, length: sizeBytes};
    if (wanted.position + wanted.length > sizeBytes) throw truncated(key, sizeBytes, wanted);
    const opened = await this.#ensure(key, sizeBytes, wanted);
    if (opened.kind === 'partial') return opened.file.read(wanted);
    return (await this.#cache.read(key, wanted)) ?? this.#remote.get(key, wanted);
  }

  async size(key: string): Promise<number> {
    const local = this.#held.sizeOf(key) ?? (await this.#localSize(key)) ?? (await this.#index.knownSize(key));
    return local ?? this.#remote.size(key);
  }

  async list(prefix: string): Promise<readonly ListedObject[]> {
    const [pending, remote] = await Promise.all([this.#pending.list(prefix), this.#index.list(prefix)]);
    return merged(remote, pending);
  }

  async listKnown(prefix: string): Promise<KnownObjects> {
    try {
      return {objects: await this.list(prefix), isComplete: true};
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      const cached = [...this.#cache.list(prefix)].map(([key, sizeBytes]) => ({key, sizeBytes}));
      return {objects: merged(cached, await this.#pending.list(prefix)), isComplete: false};
    }
  }

  /** The remote store has not answered: it is not asked for a while where that can wait. */
  unreachable(error: unknown): void {
    this.#index.failed(error);
  }

  /** In the remote store first: what is gone here but not there would come back. */
  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#uploading.get(key)?.abort();
    await this.#locks.run(key, async () => {
      // What was never on its way can be taken back also while the remote store cannot be reached.
      const isOwn = this.#written.delete(key);
      if (this.#maybeStored.has(key) || (await (isOwn ? this.#index.sizeIfReachable(key) : this.#index.size(key))) !== undefined) {
        await this.#remote.delete(key);
        await this.#index.removed(key);
        this.#maybeStored.delete(key);
      }
      await this.#pending.delete(key);
      await this.#cache.remove(key);
    });
  }

  /** Of a complete copy; it stays good when the file is moved or removed. */
  async localFile(key: string): Promise<string | undefined> {
    const opened = await this.#find(key);
    const copy = opened === undefined ? undefined : copyOf(opened);
    return copy?.presence === undefined ? copy?.path : undefined;
  }

  /** The local copy of an object, complete or in part, made if need be: `ensureLocal()` fills it. @throws ObjectStoreError ERR_NO_OBJECT */
  async openLocal(key: string, sizeBytes?: number): Promise<LocalCopy> {
    const opened = await this.#find(key);
    if (opened !== undefined) return copyOf(opened);
    return copyOf(await this.#create(key, sizeBytes ?? (await this.size(key))));
  }

  /** Brings a range (or all) of an object into its local copy. @throws ObjectStoreError, as the remote store does; ERR_STORE_FULL */
  async ensureLocal(key: string, range?: ByteRange): Promise<void> {
    const opened = await this.#find(key);
    if (opened?.kind === 'complete') return;
    const sizeBytes = opened?.file.sizeBytes ?? (await this.size(key));
    const {position, length} = range ?? {position: 0, length: sizeBytes};
    const end = Math.min(sizeBytes, position + length);
    for (let at = position; at < end; at += windowBytes) await this.#ensure(key, sizeBytes, {position: at, length: Math.min(windowBytes, end - at)});
  }

  /** Takes in a range of an object that comes from elsewhere, or is on its way; what is there already stays. */
  async take(key: string, sizeBytes: number, {position, length}: ByteRange, arrival: Promise<Buffer>): Promise<void> {
    if ((await this.#localSize(key)) !== undefined) {
      await arrival;
      return;
    }
    if (length === sizeBytes && sizeBytes <= wholeBytesMax) return this.#cache.add(key, await arrival);
    await this.#arrives(key, await this.#create(key, sizeBytes), {position, length}, arrival);
  }

  /** `get()` and `size()` answer from these as long as they are held: nothing needs to be on the disk before it is used. */
  hold(copies: readonly HeldCopy[]): Disposable {
    return this.#held.hold(copies);
  }

  /** A local copy, under a key of its own, of a part of a remote object, until `removeLocal()`. `arrives()` and `ensureLocal()` fill it. */
  async openPart(key: string, of: {readonly key: string} & ByteRange): Promise<LocalCopy & {readonly arrives: Arrives}> {
    const fetch: FetchPart = (range, into) => this.#remote.get(of.key, {...range, position: of.position + range.position}, into);
    const opened = await this.#cache.findOrCreate(key, of.length, fetch, {isLasting: false});
    return {...copyOf(opened), arrives: (range, arrival) => this.#arrives(key, opened, range, arrival)};
  }

  /** Removes a local copy; what is pending stays. */
  async removeLocal(key: string): Promise<void> {
    await this.#cache.remove(key);
  }

  /** What the local copies take, those of pending objects not counted. */
  get cachedBytes(): number {
    return this.#cache.usedBytes;
  }

  /** Evicts until the limit is kept, of which something else takes a part. Happens by itself whenever something is added. */
  async share(otherBytes: number): Promise<void> {
    await this.#cache.share(otherBytes);
  }

  /** What has yet to be brought to the remote store. */
  async pendingObjects(prefix: string): Promise<readonly ListedObject[]> {
    return this.#pending.list(prefix);
  }

  async isPending(key: string): Promise<boolean> {
    return (await this.#pending.localFile(key)) !== undefined;
  }

  async isStored(key: string): Promise<boolean> {
    return !(await this.isPending(key)) && (await this.#index.size(key)) !== undefined;
  }

  /** How much of an object is on this host. */
  async localBytes(key: string): Promise<number> {
    return (await this.#localSize(key)) ?? this.#cache.list(key).get(key) ?? 0;
  }

  /**
   * Brings one pending object to the remote store, and makes its file part of the cache when it is there in full. Harmless to repeat.
   * @throws CodedError ERR_UPLOAD_CONFLICT when another object of this name is there; ObjectStoreError
   */
  async upload(key: string, options: {readonly ifAbsent: boolean; readonly signal?: AbortSignal}): Promise<void> {
    await this.#locks.run(key, async () => {
      const path = await this.#pending.localFile(key);
      if (path === undefined) return;
      const own = new AbortController();
      const signal = options.signal === undefined ? own.signal : AbortSignal.any([own.signal, options.signal]);
      this.#uploading.set(key, own);
      this.#written.delete(key);
      try {
        await using file = await open(path, 'r');
        const {size, ino} = await file.stat();
        this.#maybeStored.add(key);
        await this.#store(key, {file, sizeBytes: size}, {ifAbsent: options.ifAbsent, signal});
        // A newer version may lie there by now.
        if ((await stat(path)).ino === ino) await this.#cache.adopt(key, path, size);
      } finally {
        this.#uploading.delete(key);
      }
    });
  }

  /** The next question about objects that start so is put to the remote store: another worker may have been there. */
  refresh(prefix: string): void {
    this.#index.refresh(prefix);
  }

  /** Of an object of which nothing lies here, unless it is held. */
  async getHeld(key: string, range: ByteRange): Promise<Buffer> {
    return this.#held.read(key, range) ?? this.#remote.get(key, range);
  }

  /** An object as the remote store has it, whatever lies here. */
  async getRemote(key: string, range?: ByteRange, into?: Buffer): Promise<Buffer> {
    return this.#remote.get(key, range, into);
  }

  /** The same of a range, for somebody who soon has done with it, and disposes the memory then. */
  receive(key: string, range: ByteRange): {readonly memory: Received; readonly data: Promise<Buffer>} {
    const memory = this.#cache.memory.take(range.length);
    return {memory, data: this.#remote.get(key, range, memory.bytes)};
  }

  /** Writes to the remote store directly; by default over what is there. */
  async putRemote(key: string, body: ObjectBody, options: PutOptions = {}): Promise<void> {
    await this.#index.stored(key, await this.#remote.put(key, body, options));
  }

  /** The disk is full, and copies take room on it. @returns whether some of them went */
  async freeAtOnce(): Promise<boolean> {
    return this.#cache.freeAtOnce(roomBytes);
  }

  /** Gives a pending object another name, under which it is not uploaded. */
  async setAside(key: string, asideKey: string): Promise<void> {
    checkKey(asideKey);
    await this.#locks.run(key, async () => {
      const path = await this.#pending.localFile(key);
      if (path === undefined) return;
      const to = join(this.#options.pendingDir, asideKey);
      await mkdir(dirname(to), {recursive: true, mode: 0o700});
      await rename(path, to);
      await this.#cache.remove(key);
      this.#maybeStored.delete(key);
    });
  }

  /** Removes the local copies of stored objects, as long as `goesOn`. What is pending stays. @returns how many bytes were removed */
  async dropLocal(prefix: string, goesOn: () => boolean = () => true): Promise<number> {
    let dropped = 0;
    for (const [key, bytes] of this.#cache.list(prefix)) {
      if (!goesOn()) break;
      await this.#cache.remove(key);
      dropped += bytes;
    }
    return dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const upload of this.#uploading.values()) upload.abort();
    await this.#cache[Symbol.asyncDispose]();
  }

  async #putThrough(key: string, body: ObjectBody, options: PutOptions): Promise<number> {
    const sizeBytes = await this.#remote.put(key, body, options);
    await this.#index.stored(key, sizeBytes);
    await this.#cache.remove(key);
    return sizeBytes;
  }

  async #find(key: string): Promise<Opened | undefined> {
    const path = await this.#pending.localFile(key);
    if (path !== undefined) {
      try {
        return await this.#cache.findAt(key, path);
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
    return this.#cache.find(key);
  }

  #create(key: string, sizeBytes: number): Promise<Opened> {
    return this.#cache.findOrCreate(key, sizeBytes, (range, into) => this.#remote.get(key, range, into));
  }

  async #arrives(key: string, opened: Opened, range: ByteRange, arrival: Promise<Buffer>): Promise<void> {
    await (opened.kind === 'complete' ? arrival : opened.file.expect(range, arrival));
    if (opened.kind === 'partial') await this.#cache.grown(key);
  }

  async #ensure(key: string, sizeBytes: number, range: ByteRange): Promise<Opened> {
    const opened = await this.#create(key, sizeBytes);
    if (opened.kind === 'complete') return opened;
    const {file} = opened;
    try {
      await file.ensure(range);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      if (!(await this.#cache.freeAtOnce(2 * range.length))) throw full(key, error);
      await file.ensure(range).catch((cause: unknown) => {
        throw errorCode(cause) === 'ENOSPC' ? full(key, cause) : cause;
      });
    }
    await this.#cache.grown(key);
    return opened;
  }

  async #store(key: string, from: {readonly file: FileHandle; readonly sizeBytes: number}, options: PutOptions): Promise<void> {
    try {
      await uploadFile(this.#remote, key, from, options);
      await this.#index.stored(key, from.sizeBytes);
    } catch (error) {
      if (errorCode(error) === 'ERR_UPLOAD_CONFLICT') {
        this.#maybeStored.delete(key);
        this.#index.refresh(key);
      }
      throw error;
    }
  }

  async #localSize(key: string): Promise<number | undefined> {
    try {
      return await this.#pending.size(key);
    } catch (error) {
      // Not there, or moved into the cache at this moment: in this order it is met in one of the two.
      if (errorCode(error) !== 'ERR_NO_OBJECT') throw error;
      return this.#cache.completeBytes(key);
    }
  }
}
