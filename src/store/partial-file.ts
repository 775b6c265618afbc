/**
 * A local copy of an object that may be there in part only: a sparse file, and for each chunk of it whether it has arrived. Whoever needs a
 * range says so; a chunk that is on its way is shared. A byte of the map is set only after the chunk's bytes are in the file, so that a
 * thread which sees it set may read them.
 *
 * Readers open the file by a path that leads through our descriptor. So it does not matter to them when somebody removes the file.
 */
import {constants} from 'node:fs';
import {type FileHandle, mkdir, open} from 'node:fs/promises';
import {dirname} from 'node:path';
import type {ByteRange} from './object-store.ts';
import type {ReceiveMemory} from './receive-memory.ts';

export const chunkBytes = 128 * 1024;
/** Of one request to the store. */
const requestBytesMax = 1024 * 1024;
const privateFile = 0o600;

export interface Presence {
  /** One byte per chunk; 1 = there. */
  readonly map: SharedArrayBuffer;
  readonly chunkBytes: number;
}

export interface PartialFileOptions {
  readonly path: string;
  /** Of the whole object. */
  readonly sizeBytes: number;
  /** Gets a part of the object from where it is complete; may put it into `into`. */
  readonly fetch: FetchPart;
  readonly memory: ReceiveMemory;
}

export type FetchPart = (range: ByteRange, into: Buffer) => Promise<Buffer>;

/** Says that a range is on its way; that is known before this returns. Resolves when the bytes are in the file. */
export type Arrives = (range: ByteRange, arrival: Promise<Buffer>) => Promise<void>;

export class PartialFile implements AsyncDisposable {
  /** Where its name is; somebody may have removed it. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly presence: Presence;
  readonly #file: FileHandle;
  readonly #fetch: FetchPart;
  readonly #memory: ReceiveMemory;
  readonly #there: Uint8Array;
  readonly #underWay = new Map<number, Promise<void>>();
  #missing: number;

  /** Creates the file, and its directory if need be. */
  static async create(options: PartialFileOptions): Promise<PartialFile> {
    await mkdir(dirname(options.path), {recursive: true, mode: 0o700});
    const file = await open(options.path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, privateFile);
    try {
      await file.truncate(options.sizeBytes);
      return new PartialFile(options, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(options: PartialFileOptions, file: FileHandle) {
    this.name = options.path;
    this.sizeBytes = options.sizeBytes;
    this.#fetch = options.fetch;
    this.#memory = options.memory;
    this.#file = file;
    this.#missing = Math.ceil(options.sizeBytes / chunkBytes);
    this.presence = {map: new SharedArrayBuffer(this.#missing), chunkBytes};
    this.#there = new Uint8Array(this.presence.map);
  }

  /** Opens the same file as long as this is not disposed, also after its name was removed. */
  get path(): string {
    return pathOf(this.#file);
  }

  get isComplete(): boolean {
    return this.#missing === 0;
  }

  /** About: a chunk at the end may be short. */
  get presentBytes(): number {
    return Math.min(this.sizeBytes, (this.#there.length - this.#missing) * chunkBytes);
  }

  /** @throws what the fetch throws; may be repeated then */
  async ensure(range: ByteRange): Promise<void> {
    const waiting = new Set<Promise<void>>();
    const missing: number[] = [];
    for (const chunk of chunksOf(range, this.sizeBytes)) {
      if (this.#there[chunk] === 1) continue;
      const underWay = this.#underWay.get(chunk);
      if (underWay === undefined) missing.push(chunk);
      else waiting.add(underWay);
    }
    for (const chunks of requests(missing)) waiting.add(this.#request(chunks));
    // All are awaited even when one fails, so that no rejection is left alone.
    const results = await Promise.allSettled(waiting);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /**
   * Says that a range is on its way by other means; who wants it meanwhile waits for `arrival`. Chunks that it does not fill are left out.
   * @returns when the bytes are there
   */
  async expect({position, length}: ByteRange, arrival: Promise<Buffer>): Promise<void> {
    const missing = [...chunksOf({position, length}, this.sizeBytes)].filter(
      (chunk) => this.#there[chunk] !== 1 && !this.#underWay.has(chunk) && chunk * chunkBytes >= position && this.#endOf(chunk) <= position + length,
    );
    const parts = requests(missing).map((chunks) => {
      const [start, end] = [(chunks[0] ?? 0) * chunkBytes, this.#endOf(chunks.at(-1) ?? 0)];
      return this.#arrive(
        chunks,
        arrival.then((data) => data.subarray(start - position, end - position)),
      );
    });
    const results = await Promise.allSettled([arrival, ...parts]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** The bytes of a range that is there. */
  async read({position, length}: ByteRange): Promise<Buffer> {
    const data = Buffer.allocUnsafeSlow(length);
    for (let filled = 0; filled < length; ) {
      const {bytesRead} = await this.#file.read(data, filled, length - filled, position + filled);
      if (bytesRead === 0) throw new RangeError(`the local copy ends at byte ${position + filled}`);
      filled += bytesRead;
    }
    return data;
  }

  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#underWay.values());
    await this.#file.close();
  }

  #endOf(chunk: number): number {
    return Math.min(this.sizeBytes, (chunk + 1) * chunkBytes);
  }

  #request(chunks: readonly number[]): Promise<void> {
    const position = (chunks[0] ?? 0) * chunkBytes;
    const length = this.#endOf(chunks.at(-1) ?? 0) - position;
    const memory = this.#memory.take(length);
    return this.#arrive(chunks, this.#fetch({position, length}, memory.bytes)).finally(() => memory[Symbol.dispose]());
  }

  /** `chunks` are consecutive. */
  #arrive(chunks: readonly number[], arrival: Promise<Buffer>): Promise<void> {
    const done = this.#store(chunks, arrival).finally(() => {
      for (const chunk of chunks) this.#underWay.delete(chunk);
    });
    for (const chunk of chunks) this.#underWay.set(chunk, done);
    return done;
  }

  async #store(chunks: readonly number[], arrival: Promise<Buffer>): Promise<void> {
    const data = await arrival;
    const position = (chunks[0] ?? 0) * chunkBytes;
    const length = this.#endOf(chunks.at(-1) ?? 0) - position;
    if (data.length !== length) throw new RangeError(`${data.length} bytes arrived instead of ${length}`);
    for (let written = 0; written < length; ) {
      written += (await this.#file.write(data, written, length - written, position + written)).bytesWritten;
    }
    for (const chunk of chunks) Atomics.store(this.#there, chunk, 1);
    this.#missing -= chunks.length;
  }
}

/** A path that opens the file behind a descriptor of this process, for all its threads and for other processes of root. */
export function pathOf(file: FileHandle): string {
  return `/proc/${process.pid}/fd/${file.fd}`;
}

function* chunksOf({position, length}: ByteRange, sizeBytes: number): Generator<number, undefined> {
  const end = Math.min(sizeBytes, position + length);
  for (let chunk = Math.floor(position / chunkBytes); chunk * chunkBytes < end; chunk++) yield chunk;
  return undefined;
}

/** Consecutive chunks together, up to the size of a request. */
function requests(chunks: readonly number[]): readonly (readonly number[])[] {
  const found: number[][] = [];
  for (const chunk of chunks) {
    const last = found.at(-1);
    if (last?.at(-1) === chunk - 1 && (last.length + 1) * chunkBytes <= requestBytesMax) last.push(chunk);
    else found.push([chunk]);
  }
  return found;
}
