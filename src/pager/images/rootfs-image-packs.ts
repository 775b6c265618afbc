/**
 * Writes the chunks of an import: each content once, compressed where it helps, many to a pack. A chunk that an image of the store has already
 * stays where it is.
 */
import {promisify} from 'node:util';
import {constants, zstdCompress} from 'node:zlib';
import type {ObjectStore} from '../../store/object-store.ts';
import {imageKeys} from './rootfs-image-keys.ts';
import type {ChunkPlace, ImageLayout} from './rootfs-image-object.ts';
import {type Chunk, sha256} from './rootfs-image-tree.ts';

const compress = promisify(zstdCompress);

const packBytes = 8 * 1024 * 1024;
/** Compression has to save that much, or the chunk is stored as it is: it is read more often than written. */
const worthwhile = 0.95;

/** Where a chunk lies, whichever image it was written for. */
export type StoredChunk = Omit<ChunkPlace, 'pack'> & {readonly packKey: string};

export class PackWriter {
  readonly #objects: ObjectStore;
  readonly #importId: string;
  readonly #known: ReadonlyMap<string, StoredChunk>;
  readonly #chunks: Chunk[] = [];
  readonly #places: StoredChunk[] = [];
  /** Index of each chunk of this image, by digest. */
  readonly #indexes = new Map<string, number>();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #packNumber = 0;
  #storedBytes = 0;

  /** @param known chunks of other images, by digest */
  constructor(options: {readonly objects: ObjectStore; readonly importId: string; readonly known: ReadonlyMap<string, StoredChunk>}) {
    this.#objects = options.objects;
    this.#importId = options.importId;
    this.#known = options.known;
  }

  get chunks(): readonly Chunk[] {
    return this.#chunks;
  }

  /** Bytes written to packs. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** @param data may be reused when this has resolved. @returns the chunk's index in the image */
  async add(data: Uint8Array): Promise<number> {
    const digest = sha256(data);
    const index = this.#indexes.get(digest);
    if (index !== undefined) return index;
    this.#indexes.set(digest, this.#chunks.length);
    this.#chunks.push({digest, sizeBytes: data.length});
    this.#places.push(this.#known.get(digest) ?? (await this.#write(data)));
    return this.#chunks.length - 1;
  }

  async #write(data: Uint8Array): Promise<StoredChunk> {
    const packed = await compress(data, {params: {[constants.ZSTD_c_compressionLevel]: 3}});
    const codec = packed.length < data.length * worthwhile ? 'zstd' : 'raw';
    const stored = codec === 'zstd' ? packed : Buffer.from(data);
    if (this.#pendingBytes + stored.length > packBytes) await this.#flush();
    const place = {packKey: imageKeys.pack(this.#importId, this.#packNumber), position: this.#pendingBytes, storedBytes: stored.length, codec} as const;
    this.#pending.push(stored);
    this.#pendingBytes += stored.length;
    return place;
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    await this.#objects.put(imageKeys.pack(this.#importId, this.#packNumber), Buffer.concat(this.#pending), {ifAbsent: true});
    this.#storedBytes += this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#packNumber += 1;
  }

  /** Writes what is left. @param order which chunks the image has, in its order. @returns where they lie */
  async finish(order: readonly number[]): Promise<ImageLayout> {
    await this.#flush();
    const places = order.flatMap((index) => this.#places[index] ?? []);
    const packs = [...new Set(places.map(({packKey}) => packKey))];
    const numbers = new Map(packs.map((key, number) => [key, number]));
    return {packs, places: places.map(({packKey, ...place}) => ({...place, pack: numbers.get(packKey) ?? 0}))};
  }
}
