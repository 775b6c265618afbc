/**
 * Brings contents of an image from its packs into the cache. What lies behind a wanted chunk in its pack comes along, since files are packed in the
 * order of their paths: one request of the store brings a directory of small files, or the next part of a large one.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import type {ContentPlan, ImageCache} from './rootfs-image-cache.ts';
import {type ChunkPlace, damagedImage, decodeChunk, type Image} from './rootfs-image-object.ts';
import {chunkBytes, contentKey} from './rootfs-image-tree.ts';

/** What one request brings at first, and at most when a file is read on and on. */
const windowBytes = {first: 512 * 1024, limit: 4 * 1024 * 1024} as const;
/** Files up to this size are brought as a whole when a piece of them is wanted. */
const restBytesMax = 8 * 1024 * 1024;
const retryMs = {first: 50, limit: 5000} as const;

export interface FetchEvents {
  /** Pieces are in the cache at this moment. */
  readonly onStored: (key: string, pieces: readonly number[]) => void;
  /** The store cannot be read; it is tried again. */
  readonly onRetry: (reason: string) => void;
}

interface Use {
  readonly plan: ContentPlan;
  readonly piece: number;
}

export class ImageFetcher {
  readonly #image: Image;
  readonly #objects: ObjectStore;
  readonly #cache: ImageCache;
  readonly #events: FetchEvents;
  readonly #stopped = new AbortController();
  /** Node of the first file that a chunk belongs to, and which piece of it it is. */
  readonly #owners = new Map<number, {readonly node: number; readonly piece: number}>();
  /** The chunks of each pack in the order in which they lie there. */
  readonly #order = new Map<number, readonly number[]>();
  /** Files that are brought as a whole. */
  readonly #resting = new Set<string>();
  readonly #plans = new Map<number, ContentPlan>();
  /** Chunks that are on their way. */
  readonly #fetching = new Map<number, Promise<void>>();
  /** Where the last request ended, so that the next one can be longer if it goes on there. */
  #last = {pack: -1, end: 0, windowBytes: 0};

  constructor(image: Image, {objects, cache, ...events}: FetchEvents & {readonly objects: ObjectStore; readonly cache: ImageCache}) {
    this.#image = image;
    this.#objects = objects;
    this.#cache = cache;
    this.#events = events;
    for (const [number, node] of image.tree.nodes.entries()) {
      if (node.kind !== 'file') continue;
      for (const [piece, chunk] of node.chunks.entries()) if (!this.#owners.has(chunk)) this.#owners.set(chunk, {node: number, piece});
    }
    const {places} = image.layout;
    const byPack = Map.groupBy(places.keys(), (chunk) => places[chunk]?.pack ?? 0);
    for (const [pack, chunks] of byPack)
      this.#order.set(
        pack,
        chunks.sort((a, b) => (places[a]?.position ?? 0) - (places[b]?.position ?? 0)),
      );
  }

  /** Ends attempts to reach the store. */
  stop(): void {
    this.#stopped.abort();
  }

  /**
   * Brings a piece of a file; resolves when it is in the cache, and tries for as long as it takes.
   * @throws CodedError ERR_IMAGE_DAMAGED; or that of whatever makes the cache unusable
   */
  async fetch(node: number, piece: number): Promise<void> {
    const plan = this.#plan(node);
    while (!this.#cache.has(plan.key, piece)) {
      if (await this.#cache.adopt(plan)) continue;
      const file = this.#image.tree.nodes[node];
      const chunk = file?.kind === 'file' ? file.chunks[piece] : undefined;
      if (chunk === undefined) throw new CodedError('ERR_ASSERTION', `Node ${node} of an image has no piece ${piece}`, {source: 'bug'});
      await this.#fetchChunk(chunk, {plan, piece});
    }
    this.#events.onStored(plan.key, this.#cache.isComplete(plan.key) ? plan.digests.map((_digest, index) => index) : [piece]);
  }

  /** Brings the rest of a file of which a piece is wanted, all parts at once: programs and libraries are read here and there, one page after the other. */
  async fetchRest(node: number): Promise<void> {
    const plan = this.#plan(node);
    if (plan.sizeBytes > restBytesMax || this.#resting.has(plan.key)) return;
    this.#resting.add(plan.key);
    try {
      for (const piece of plan.digests.keys()) {
        if (this.#cache.has(plan.key, piece)) continue;
        void this.fetch(node, piece).catch(() => undefined); // Reported when somebody wants it.
        // The next one starts behind what this request brings.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#resting.delete(plan.key);
    }
  }

  /** Brings everything that is not local yet, one request after the other. */
  async fetchAll(signal: AbortSignal): Promise<void> {
    for (const [number, node] of this.#image.tree.nodes.entries()) {
      if (node.kind !== 'file') continue;
      for (const piece of node.chunks.keys()) {
        signal.throwIfAborted();
        if (!this.#cache.has(this.#plan(number).key, piece)) await this.fetch(number, piece);
      }
    }
  }

  async #fetchChunk(chunk: number, use: Use): Promise<void> {
    for (let delayMs: number = retryMs.first; !this.#cache.has(use.plan.key, use.piece); ) {
      const underWay = this.#fetching.get(chunk);
      try {
        await (underWay ?? this.#fetchWindow(chunk, use));
        // It came for another file that has the same chunk.
        if (underWay !== undefined && !this.#cache.has(use.plan.key, use.piece)) await this.#fetchWindow(chunk, use);
      } catch (error) {
        if (errorCode(error) === 'ERR_IMAGE_DAMAGED' || this.#stopped.signal.aborted) throw error;
        this.#events.onRetry(errorMessage(error));
        await sleep(delayMs, undefined, {signal: this.#stopped.signal});
        delayMs = Math.min(delayMs * 2, retryMs.limit);
      }
    }
  }

  async #fetchWindow(first: number, use: Use): Promise<void> {
    const chunks = this.#window(first);
    const arrived = Promise.withResolvers<void>();
    arrived.promise.catch(() => undefined); // Whoever waits for it has it from here too.
    for (const chunk of chunks) this.#fetching.set(chunk, arrived.promise);
    try {
      await this.#bring(chunks, use);
      arrived.resolve();
    } catch (error) {
      arrived.reject(error);
      throw error;
    } finally {
      for (const chunk of chunks) this.#fetching.delete(chunk);
    }
  }

  /** The wanted chunk and those behind it in its pack that are not local. */
  #window(first: number): readonly number[] {
    const {pack, position, storedBytes} = this.#place(first);
    const goesOn = this.#last.pack === pack && position >= this.#last.end && position - this.#last.end < windowBytes.first;
    const size = goesOn ? Math.min(this.#last.windowBytes * 2, windowBytes.limit) : windowBytes.first;
    const order = this.#order.get(pack) ?? [];
    const chunks = [first];
    let end = position + storedBytes;
    for (let at = order.indexOf(first) + 1; at < order.length; at += 1) {
      const chunk = order[at] ?? 0;
      const place = this.#place(chunk);
      if (place.position !== end || end + place.storedBytes - position > size || this.#fetching.has(chunk) || this.#isLocal(chunk)) break;
      chunks.push(chunk);
      end += place.storedBytes;
    }
    this.#last = {pack, end, windowBytes: size};
    return chunks;
  }

  async #bring(chunks: readonly number[], use: Use): Promise<void> {
    const [first = 0] = chunks;
    const {pack, position} = this.#place(first);
    const last = this.#place(chunks.at(-1) ?? first);
    const key = this.#image.layout.packs[pack] ?? '';
    const length = last.position + last.storedBytes - position;
    let data: Buffer;
    try {
      data = await this.#objects.get(key, {position, length});
    } catch (error) {
      // What is stored is never changed, so an end that comes too early, or no object at all, is damage.
      if (errorCode(error) !== 'ERR_OBJECT_TRUNCATED' && errorCode(error) !== 'ERR_NO_OBJECT') throw error;
      if (chunks.length > 1) return this.#bring([first], use);
      throw damagedImage(key, position, errorMessage(error));
    }
    for (const chunk of chunks) {
      const place = this.#place(chunk);
      const stored = data.subarray(place.position - position, place.position - position + place.storedBytes);
      try {
        await this.#keep(chunk, await decodeChunk(this.#image, chunk, stored), chunk === first ? use : undefined);
      } catch (error) {
        // Damage to a chunk that nobody asked for is reported when somebody does.
        if (chunk === first || errorCode(error) !== 'ERR_IMAGE_DAMAGED') throw error;
      }
    }
  }

  async #keep(chunk: number, data: Buffer, use: Use | undefined): Promise<void> {
    const owner = this.#owners.get(chunk);
    if (use !== undefined) await this.#cache.store(use.plan, use.piece, data);
    if (owner === undefined) return;
    const plan = this.#plan(owner.node);
    if (plan.key === use?.plan.key && owner.piece === use.piece) return;
    await this.#cache.store(plan, owner.piece, data);
    if (this.#cache.has(plan.key, owner.piece)) this.#events.onStored(plan.key, [owner.piece]);
  }

  #isLocal(chunk: number): boolean {
    const owner = this.#owners.get(chunk);
    return owner === undefined || this.#cache.has(this.#plan(owner.node).key, owner.piece);
  }

  #place(chunk: number): ChunkPlace {
    const place = this.#image.layout.places[chunk];
    if (place === undefined) throw new CodedError('ERR_ASSERTION', `Chunk ${chunk} of an image has no place`, {source: 'bug'});
    return place;
  }

  #plan(number: number): ContentPlan {
    const known = this.#plans.get(number);
    if (known !== undefined) return known;
    const node = this.#image.tree.nodes[number];
    if (node?.kind !== 'file') throw new CodedError('ERR_ASSERTION', `Node ${number} of an image is no file`, {source: 'bug'});
    const chunks = node.chunks.map((index) => this.#image.tree.chunks[index] ?? {digest: '', sizeBytes: 0});
    const plan: ContentPlan = {key: contentKey(chunks), sizeBytes: node.sizeBytes, pieceBytes: chunkBytes, digests: chunks.map(({digest}) => digest)};
    this.#plans.set(number, plan);
    return plan;
  }
}
