/**
 * Contents of image files on the local disk, decoded, each as a file named after its content: images that have a file in common share it, and the
 * kernel reads it without us. Bounded in size, the longest unused goes first. Safe to delete at any time but while a pager uses it.
 *
 *     files/<key>        complete, checked when it was written
 *     files/<key>.<n>.part  pieces of it, as long as the process lives that fetches them
 *     unverified/<key>   from before a restart of the machine: it may not have reached the disk, so it is checked before it counts
 *     boot               the boot of the machine in which `files` was written
 */
import {type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, unlink, utimes, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode} from '../../core/errors.ts';
import {isPartName, partName} from './rootfs-image-cache-names.ts';
import {sha256} from './rootfs-image-tree.ts';

/** Which content: its name, length and pieces (all but the last of the same length). */
export interface ContentPlan {
  readonly key: string;
  readonly sizeBytes: number;
  readonly pieceBytes: number;
  /** SHA-256 of each. */
  readonly digests: readonly string[];
}

interface Entry {
  readonly sizeBytes: number;
  /** Null when it is complete. */
  part: {readonly file: FileHandle; readonly name: string; readonly present: Set<number>} | null;
}

export interface CacheOptions {
  readonly directory: string;
  readonly limitBytes: number;
  /** A content of which only a part was there has been removed. */
  readonly onDropped: (key: string) => void;
}

export class ImageCache implements AsyncDisposable {
  readonly filesDir: string;
  readonly #unverifiedDir: string;
  readonly #options: CacheOptions;
  readonly #unverified = new Set<string>();
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  #sizeBytes = 0;
  #nextPart = 1;
  /** Changes are made one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: CacheOptions) {
    this.#options = options;
    this.filesDir = join(options.directory, 'files');
    this.#unverifiedDir = join(options.directory, 'unverified');
  }

  static async open(options: CacheOptions): Promise<ImageCache> {
    const cache = new ImageCache(options);
    const bootFile = join(options.directory, 'boot');
    await mkdir(cache.filesDir, {recursive: true, mode: 0o700});
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const written = await readFile(bootFile, 'utf8').catch(() => '');
    if (written !== boot) {
      await rm(cache.#unverifiedDir, {recursive: true, force: true});
      await rename(cache.filesDir, cache.#unverifiedDir);
      await mkdir(cache.filesDir, {mode: 0o700});
      await writeFile(bootFile, boot, {mode: 0o600});
    }
    await cache.#findEntries();
    return cache;
  }

  async #findEntries(): Promise<void> {
    const found: {name: string; sizeBytes: number; usedMs: number}[] = [];
    for (const name of await readdir(this.filesDir)) {
      const path = join(this.filesDir, name);
      if (isPartName(name)) await rm(path, {force: true});
      else {
        const {size, mtimeMs} = await stat(path);
        found.push({name, sizeBytes: size, usedMs: mtimeMs});
      }
    }
    for (const {name, sizeBytes} of found.sort((a, b) => a.usedMs - b.usedMs)) this.#add(name, {sizeBytes, part: null});
    await this.#trim('');
    for (const name of await readdir(this.#unverifiedDir).catch(() => [])) if (!isPartName(name)) this.#unverified.add(name);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  has(key: string, piece: number): boolean {
    const entry = this.#entries.get(key);
    return entry !== undefined && (entry.part === null || entry.part.present.has(piece));
  }

  isComplete(key: string): boolean {
    return this.#entries.get(key)?.part === null;
  }

  /** The file that the pieces are in; null when the content is complete, undefined when nothing of it is there. */
  partOf(key: string): string | null | undefined {
    const entry = this.#entries.get(key);
    return entry?.part === null ? null : entry?.part.name;
  }

  /** It was opened. */
  used(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const now = new Date();
    utimes(join(this.filesDir, key), now, now).catch(() => undefined); // Removed meanwhile.
  }

  /** Takes over a content from before a restart, if it is there and undamaged. */
  async adopt(plan: ContentPlan): Promise<boolean> {
    if (!this.#unverified.delete(plan.key)) return false;
    return this.#inOrder(async () => {
      if (this.#entries.has(plan.key)) return this.isComplete(plan.key);
      const path = join(this.#unverifiedDir, plan.key);
      try {
        const data = await readFile(path);
        const good = data.length === plan.sizeBytes && plan.digests.every((digest, piece) => sha256(pieceOf(plan, data, piece)) === digest);
        if (!good) await unlink(path);
        else {
          await rename(path, join(this.filesDir, plan.key));
          this.#add(plan.key, {sizeBytes: plan.sizeBytes, part: null});
        }
        return good;
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return false;
        throw error;
      }
    });
  }

  /** Writes a piece that was checked. @returns whether the content is complete now */
  async store(plan: ContentPlan, piece: number, data: Uint8Array): Promise<boolean> {
    return this.#inOrder(async () => {
      if (this.has(plan.key, piece)) return this.isComplete(plan.key);
      try {
        return await this.#write(plan, piece, data);
      } catch (error) {
        if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') throw error;
        // The disk is fuller than our limit says: everything that may go makes room for what a reader waits for.
        await this.#trim(plan.key, 0);
        return this.#write(plan, piece, data);
      }
    });
  }

  async #write(plan: ContentPlan, piece: number, data: Uint8Array): Promise<boolean> {
    const {key, sizeBytes} = plan;
    const entry = this.#entries.get(key) ?? (await this.#begin(plan));
    const {part} = entry;
    if (part === null) return true;
    for (let written = 0; written < data.length; ) {
      written += (await part.file.write(data, written, data.length - written, piece * plan.pieceBytes + written)).bytesWritten;
    }
    part.present.add(piece);
    if (part.present.size < plan.digests.length) return false;
    await rename(join(this.filesDir, part.name), join(this.filesDir, key));
    entry.part = null;
    await part.file.close();
    await this.#trim(key);
    return sizeBytes === entry.sizeBytes;
  }

  async #begin({key, sizeBytes}: ContentPlan): Promise<Entry> {
    const name = partName(key, this.#nextPart++);
    const file = await open(join(this.filesDir, name), 'wx+', 0o600);
    const entry: Entry = {sizeBytes, part: {file, name, present: new Set()}};
    this.#add(key, entry);
    return entry;
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#sizeBytes += entry.sizeBytes;
  }

  async #trim(kept: string, limitBytes = this.#options.limitBytes): Promise<void> {
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= limitBytes) return;
      if (key === kept) continue;
      this.#entries.delete(key);
      this.#sizeBytes -= entry.sizeBytes;
      if (entry.part === null) await rm(join(this.filesDir, key), {force: true});
      else {
        await entry.part.file.close();
        await rm(join(this.filesDir, entry.part.name), {force: true});
        this.#options.onDropped(key);
      }
    }
  }

  async #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined); // Reported to whoever asked for it.
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    for (const {part} of this.#entries.values()) await part?.file.close();
    this.#entries.clear();
  }
}

function pieceOf({pieceBytes}: ContentPlan, data: Buffer, piece: number): Buffer {
  return data.subarray(piece * pieceBytes, (piece + 1) * pieceBytes);
}
