/**
 * Copies of remote objects in a local directory: complete ones under their keys, partial ones in `.partial`. The least recently used give way
 * when the limit is reached. Everything in it may be removed at any time: what is open is read on through its descriptor, what is not is
 * fetched again. Partial copies are forgotten at the next start.
 */
import {type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink, writeFile} from 'node:fs/promises';
import {dirname, join, relative, sep} from 'node:path';
import {errorCode} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {type ByteRange, checkKey, type LocalCopy} from './object-store.ts';
import {type FetchPart, PartialFile, pathOf} from './partial-file.ts';
import {ReceiveMemory} from './receive-memory.ts';

const partialName = '.partial';
/** What was asked for this recently is about to be used, even if nobody has said so yet. */
const graceMs = {usual: 30_000, diskFull: 3000} as const;
/** Small objects cost a whole round trip each and free next to nothing. */
const smallBytes = 64 * 1024;

export type Opened =
  | {readonly kind: 'complete'; readonly file: FileHandle; readonly sizeBytes: number}
  /** `isLasting`: it becomes a complete one, which the next process finds too. */
  | {readonly kind: 'partial'; readonly file: PartialFile; readonly isLasting: boolean};

export interface KeysInUse {
  has(key: string): boolean;
}

interface Entry {
  bytes: number;
  usedMs: number;
}

export interface LocalCacheOptions {
  readonly directory: string;
  readonly limitBytes: number;
  readonly log: Log;
  /** Keys that an instance reads from; they stay. */
  readonly inUse: () => KeysInUse;
}

export class LocalCache implements AsyncDisposable {
  readonly #options: LocalCacheOptions;
  /** What arrives is written to its file from there. */
  readonly memory = new ReceiveMemory();
  readonly #entries = new Map<string, Entry>();
  readonly #opened = new Map<string, Promise<Opened>>();
  #evicting: Promise<void> | undefined;
  /** What something else takes of the limit. */
  #otherBytes = 0;
  #count = 0;

  static async open(options: LocalCacheOptions): Promise<LocalCache> {
    const cache = new LocalCache(options);
    await rm(join(options.directory, partialName), {recursive: true, force: true});
    await mkdir(options.directory, {recursive: true, mode: 0o700});
    await cache.#scan();
    return cache;
  }

  private constructor(options: LocalCacheOptions) {
    this.#options = options;
  }

  get usedBytes(): number {
    let sum = 0;
    for (const {bytes} of this.#entries.values()) sum += bytes;
    return sum;
  }

  /** Bytes of a complete copy, or of the parts of a partial one that are known to be there; undefined without a complete copy. */
  async read(key: string, range: ByteRange | undefined): Promise<Buffer | undefined> {
    const opened = await this.#opened.get(key)?.catch(() => undefined);
    if (opened?.kind === 'partial') return undefined;
    this.#touch(key);
    if (opened !== undefined) return readRange(opened.file, range);
    try {
      await using file = await open(this.#path(key), 'r');
      return await readRange(file, range);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Size of a complete copy. */
  async completeBytes(key: string): Promise<number | undefined> {
    return (await stat(this.#path(key)).catch(ignoreMissing))?.size;
  }

  /** Opens a complete copy that lies elsewhere; it is not counted, and does not give way. */
  async findAt(key: string, path: string): Promise<Opened> {
    for (let known = this.#opened.get(key); known !== undefined; known = this.#opened.get(key)) {
      const opened = await known.catch(ignoreMissing);
      // Who looks into the cache at this moment, where it is not yet, says nothing about `path`.
      if (opened !== undefined) return opened;
    }
    const opening = openComplete(path);
    this.#opened.set(key, opening);
    opening.catch(() => {
      if (this.#opened.get(key) === opening) this.#opened.delete(key);
    });
    return opening;
  }

  /** Takes in an object that was fetched as a whole. */
  async add(key: string, data: Uint8Array): Promise<void> {
    const path = this.#path(key);
    const temporary = join(this.#options.directory, partialName, String(this.#count++));
    await this.#retry(async () => {
      await mkdir(dirname(temporary), {recursive: true, mode: 0o700});
      await mkdir(dirname(path), {recursive: true, mode: 0o700});
      await writeFile(temporary, data, {mode: 0o600, flush: true});
    });
    await rename(temporary, path).catch(ignoreMissing);
    this.#note(key, data.length);
    void this.makeRoom();
  }

  /** The complete copy, or the partial one if there is any. Each is opened once and stays open. */
  async find(key: string): Promise<Opened | undefined> {
    const known = this.#opened.get(key);
    if (known !== undefined) {
      this.#touch(key);
      return known.catch(ignoreMissing);
    }
    const path = this.#path(key);
    // Whoever adds one notes it.
    if (!this.#entries.has(key)) return undefined;
    const opening = openComplete(path);
    this.#opened.set(key, opening);
    try {
      const opened = await opening;
      this.#note(key, opened.sizeBytes);
      return opened;
    } catch (error) {
      if (this.#opened.get(key) === opening) {
        this.#opened.delete(key);
        this.#entries.delete(key);
      }
      return ignoreMissing(error);
    }
  }

  /** The copy of `key`, made if there is none; empty then. @param isLasting false: whoever makes it removes it, and it need never be on the disk */
  async findOrCreate(key: string, sizeBytes: number, fetch: FetchPart, {isLasting} = {isLasting: true}): Promise<Opened> {
    // Whoever looked at the same time may be the one who makes it, or may still be about to find that there is none.
    for (let found = await this.find(key); ; found = await this.find(key)) {
      if (found !== undefined) return found;
      if (!this.#opened.has(key)) break;
    }
    const path = join(this.#options.directory, partialName, String(this.#count++));
    const {memory} = this;
    const creating = this.#retry(() => PartialFile.create({path, sizeBytes, fetch, memory})).then((file): Opened => ({kind: 'partial', file, isLasting}));
    this.#opened.set(key, creating);
    try {
      const created = await creating;
      this.#note(key, 0);
      return created;
    } catch (error) {
      if (this.#opened.get(key) === creating) this.#opened.delete(key);
      throw error;
    }
  }

  /** To be called when chunks have arrived: counts them, and gives a copy that is complete its name. */
  async grown(key: string): Promise<void> {
    const opened = await this.#opened.get(key)?.catch(() => undefined);
    if (opened?.kind !== 'partial') return;
    const {file, isLasting} = opened;
    this.#note(key, file.presentBytes);
    if (file.isComplete && isLasting) {
      const path = this.#path(key);
      await mkdir(dirname(path), {recursive: true, mode: 0o700});
      // Not found: somebody emptied the cache, or another call was here first.
      await file.sync();
      await rename(file.name, path).catch(ignoreMissing);
    }
    void this.makeRoom();
  }

  /** Takes over a file with all of an object, whose descriptor others may be reading through. */
  async adopt(key: string, from: string, sizeBytes: number): Promise<void> {
    const path = this.#path(key);
    await mkdir(dirname(path), {recursive: true, mode: 0o700});
    // Who finds it gone from where it was looks for it here.
    this.#note(key, sizeBytes);
    try {
      await rename(from, path);
    } catch (error) {
      this.#entries.delete(key);
      // Another file system: it is stored, so the copy is dispensable.
      if (errorCode(error) !== 'EXDEV') {
        ignoreMissing(error);
        return;
      }
      await unlink(from).catch(ignoreMissing);
      return;
    }
    this.#note(key, sizeBytes);
    void this.makeRoom();
  }

  /** Keys of complete and partial copies, and what each takes. */
  list(prefix: string): ReadonlyMap<string, number> {
    return new Map([...this.#entries].filter(([key]) => key.startsWith(prefix)).map(([key, {bytes}]) => [key, bytes]));
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    this.#entries.delete(key);
    const opening = this.#opened.get(key);
    this.#opened.delete(key);
    await unlink(this.#path(key)).catch(ignoreMissing);
    const opened = await opening?.catch(() => undefined);
    if (opened?.kind === 'partial') await unlink(opened.file.name).catch(ignoreMissing);
    await close(opened);
  }

  /** Evicts until the limit is kept, as far as that is possible. */
  makeRoom(): Promise<void> {
    const {limitBytes} = this.#options;
    // Half of it stays for copies, whatever else there is.
    const ownBytes = limitBytes - Math.min(this.#otherBytes, limitBytes / 2);
    this.#evicting ??= this.#evict(ownBytes, graceMs.usual).finally(() => {
      this.#evicting = undefined;
    });
    return this.#evicting;
  }

  /** Something else takes so much of the limit. Makes room. */
  async share(otherBytes: number): Promise<void> {
    this.#otherBytes = otherBytes;
    await this.makeRoom();
  }

  /** The disk is full: what is not in use makes room for `bytes`. @returns whether anything was removed */
  async freeAtOnce(bytes: number): Promise<boolean> {
    const before = this.usedBytes;
    await this.#evict(Math.max(0, before - bytes), graceMs.diskFull);
    return this.usedBytes < before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#evicting;
    const opened = await Promise.allSettled(this.#opened.values());
    this.#opened.clear();
    for (const result of opened) if (result.status === 'fulfilled') await close(result.value);
    this.memory[Symbol.dispose]();
  }

  async #evict(targetBytes: number, grace: number): Promise<void> {
    let used = this.usedBytes;
    if (used <= targetBytes) return;
    const inUse = this.#options.inUse();
    const before = Date.now() - grace;
    const candidates = [...this.#entries]
      .filter(([key, {usedMs}]) => usedMs <= before && !inUse.has(key))
      .sort(([, a], [, b]) => Number(a.bytes < smallBytes) - Number(b.bytes < smallBytes) || a.usedMs - b.usedMs);
    let removed = 0;
    for (const [key, {bytes}] of candidates) {
      if (used <= targetBytes) break;
      // Asked again each time: a wake can have begun while the last one was removed.
      if (this.#options.inUse().has(key)) continue;
      await this.remove(key);
      used -= bytes;
      removed += bytes;
    }
    if (removed > 0) this.#options.log.debug({removed, used, limit: this.#options.limitBytes}, 'the cache was full; what was used longest ago was removed');
  }

  /** Does what needs room again after making some. */
  async #retry<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC' || !(await this.freeAtOnce(this.#options.limitBytes / 4))) throw error;
      return work();
    }
  }

  #path(key: string): string {
    checkKey(key);
    return join(this.#options.directory, key);
  }

  #note(key: string, bytes: number): void {
    this.#entries.set(key, {bytes, usedMs: Date.now()});
  }

  #touch(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.usedMs = Date.now();
  }

  async #scan(): Promise<void> {
    const {directory} = this.#options;
    for (const entry of await readdir(directory, {recursive: true, withFileTypes: true})) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const found = await stat(path).catch(() => undefined); // removed meanwhile
      if (found === undefined) continue;
      const usedMs = Math.max(found.atimeMs, found.mtimeMs);
      this.#entries.set(relative(directory, path).split(sep).join('/'), {bytes: found.size, usedMs});
    }
  }
}

async function openComplete(path: string): Promise<Opened & {kind: 'complete'}> {
  const file = await open(path, 'r');
  return {kind: 'complete', file, sizeBytes: (await file.stat()).size};
}

async function readRange(file: FileHandle, range: ByteRange | undefined): Promise<Buffer | undefined> {
  const {position, length} = range ?? {position: 0, length: (await file.stat()).size};
  const data = Buffer.allocUnsafeSlow(length);
  for (let filled = 0; filled < length; ) {
    const {bytesRead} = await file.read(data, filled, length - filled, position + filled);
    if (bytesRead === 0) return undefined;
    filled += bytesRead;
  }
  return data;
}

async function close(opened: Opened | undefined): Promise<void> {
  if (opened?.kind === 'partial') await opened.file[Symbol.asyncDispose]();
  else await opened?.file.close();
}

export function copyOf(opened: Opened): LocalCopy {
  if (opened.kind === 'complete') return {path: pathOf(opened.file), sizeBytes: opened.sizeBytes, presence: undefined};
  const {file} = opened;
  return {path: file.path, sizeBytes: file.sizeBytes, presence: file.isComplete ? undefined : file.presence};
}

function ignoreMissing(error: unknown): undefined {
  if (errorCode(error) === 'ENOENT') return undefined;
  throw error;
}
