/** Reads pages of an app's segments without blocking, through the object store; what it returns has been checked. */
import {type FileHandle, open} from 'node:fs/promises';
import {CodedError} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {BlockCache} from './block-cache.ts';
import {keysOf} from './checkpoint-keys.ts';
import {DamagedCheckpointError} from './damage.ts';
import {type PageRun, pageSizeBytes} from './page-table.ts';
import {parseFooter, parseIndex, type SegmentIndex, type SegmentPlace, segmentFooterBytes} from './segment.ts';
import {type SegmentPiece, segmentPieces, storedBytes, verifyPages} from './segment-pieces.ts';
import {decodePiece} from './stored-piece.ts';

export interface SegmentSourceOptions {
  readonly objects: ObjectStore;
  readonly app: AppName;
  /** For the message of an error. */
  readonly generation?: number | undefined;
  /** Of the app, to open what is sealed. */
  readonly dataKey?: Uint8Array | undefined;
  /** Key of a segment, where it is not the usual one. */
  readonly objectOf?: (segment: number) => string | undefined;
}

export interface OpenSegment {
  readonly place: SegmentPlace;
  readonly index: SegmentIndex;
  /** Undefined when the store has no local file of it. */
  readonly local: {readonly path: string; readonly file: FileHandle} | undefined;
  /** In the cache. */
  readonly owner: number;
}

const cachedBytes = 4 * 1024 * 1024;

export class SegmentSource implements AsyncDisposable {
  readonly #options: SegmentSourceOptions;
  readonly #segments = new Map<number, Promise<OpenSegment>>();
  readonly #cache = new BlockCache(cachedBytes);
  #isClosed = false;

  constructor(options: SegmentSourceOptions) {
    this.#options = options;
  }

  /** Opens a segment, once, and checks its index. @throws DamagedCheckpointError, ObjectStoreError */
  async open(segment: number): Promise<OpenSegment> {
    if (this.#isClosed)
      throw new CodedError('ERR_CLOSED', `Cannot open segment ${segment} of app "${this.#options.app}": its reader is closed`, {source: 'bug'});
    const known = this.#segments.get(segment);
    if (known !== undefined) return known;
    const opened = this.#open(segment);
    this.#segments.set(segment, opened);
    return opened;
  }

  /** All that the runs lie in. @throws DamagedCheckpointError, ObjectStoreError */
  async openAll(runs: Iterable<PageRun>): Promise<ReadonlyMap<number, OpenSegment>> {
    const segments = new Set<number>();
    for (const run of runs) segments.add(run.segment);
    return new Map(await Promise.all([...segments].map(async (segment) => [segment, await this.open(segment)] as const)));
  }

  /**
   * Reads pages and checks them; `verify: false` leaves that to a caller who compares them with bytes of the right checksum.
   * @throws DamagedCheckpointError, ObjectStoreError
   */
  async read(segment: number, index: number, count: number, {verify} = {verify: true}): Promise<Buffer> {
    const opened = await this.open(segment);
    const data = Buffer.allocUnsafeSlow(count * pageSizeBytes);
    const pieces = segmentPieces(opened.place, opened.index, index, count);
    const offsetOf = (piece: SegmentPiece): number => (piece.index - index) * pageSizeBytes;
    const wanted = pieces.filter((piece) => !this.#fillFromCache(opened, piece, data, offsetOf(piece)));
    const [first, last] = [wanted[0], wanted.at(-1)];
    if (first?.kind === 'plain' && first === last) {
      await this.#read(opened, first.position, data.subarray(offsetOf(first), offsetOf(first) + first.count * pageSizeBytes));
    } else if (first !== undefined && last !== undefined) {
      const stored = Buffer.allocUnsafeSlow(last.position + storedBytes(last) - first.position);
      await this.#read(opened, first.position, stored);
      await Promise.all(
        wanted.map(async (piece) => {
          const start = piece.position - first.position;
          await this.#decode(opened, piece, stored.subarray(start, start + storedBytes(piece)), data, offsetOf(piece));
        }),
      );
    }
    if (verify) for (const piece of pieces) verifyPages(opened.place, opened.index, piece, data, offsetOf(piece));
    return data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const opening = [...this.#segments.values()];
    this.#segments.clear();
    // One that could not be opened has nothing to close.
    await Promise.allSettled(opening.map(async (opened) => (await opened).local?.file.close()));
  }

  async #open(segment: number): Promise<OpenSegment> {
    const {objects, app, generation, dataKey, objectOf} = this.#options;
    const object = objectOf?.(segment) ?? keysOf(app).segment(segment);
    const place = {app, segment, object, generation};
    const objectBytes = await objects.size(object);
    const tail = Math.min(objectBytes, segmentFooterBytes);
    const footer = parseFooter(place, objectBytes, await objects.get(object, {position: objectBytes - tail, length: tail}));
    const index = parseIndex(place, footer, await objects.get(object, {position: footer.indexPosition, length: footer.indexBytes}), dataKey);
    const path = await objects.localFile(object);
    return {place, index, local: path === undefined ? undefined : {path, file: await open(path, 'r')}, owner: this.#cache.newOwner()};
  }

  #fillFromCache({owner}: OpenSegment, piece: SegmentPiece, into: Buffer, offset: number): boolean {
    const block = piece.kind === 'encoded' ? this.#cache.get(owner, piece.position) : undefined;
    if (piece.kind === 'plain' || block === undefined) return false;
    into.set(block.subarray(piece.skipBytes, piece.skipBytes + piece.count * pageSizeBytes), offset);
    return true;
  }

  async #decode({place, index, owner}: OpenSegment, piece: SegmentPiece, stored: Buffer, into: Buffer, offset: number): Promise<void> {
    if (piece.kind === 'plain') {
      into.set(stored, offset);
      return;
    }
    const block = await decodePiece(stored, piece.block, place, index.cipher);
    into.set(block.subarray(piece.skipBytes, piece.skipBytes + piece.count * pageSizeBytes), offset);
    // Of a block that was wanted in part, another part may be wanted next.
    if (piece.count < piece.block.count) this.#cache.add(owner, piece.position, block);
  }

  async #read({place, local}: OpenSegment, position: number, into: Buffer): Promise<void> {
    if (local === undefined) {
      into.set(await this.#options.objects.get(place.object, {position, length: into.length}));
      return;
    }
    for (let filled = 0; filled < into.length; ) {
      const {bytesRead} = await local.file.read(into, filled, into.length - filled, position + filled);
      if (bytesRead === 0) throw new DamagedCheckpointError({...place, offset: position + filled, found: 'the object ends'});
      filled += bytesRead;
    }
  }
}
