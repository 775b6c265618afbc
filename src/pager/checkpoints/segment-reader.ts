/**
 * Reads pages of local segments synchronously: for the fault thread, where nothing else may run in between anyway. Made from plain data, so
 * that it can be built in a worker. Holds a bounded number of descriptors open.
 */
import {closeSync, fstatSync, openSync, readSync} from 'node:fs';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {type AbsentPages, AbsentPagesError, absentPages, type ByteRange, type PartialFile, type Presence} from '../faults/absent-pages.ts';
import {BlockCache} from './block-cache.ts';
import {DamagedCheckpointError} from './damage.ts';
import {CopiedPages, type PageCopies, type PagePart} from './page-copies.ts';
import {pageSizeBytes} from './page-table.ts';
import {parseFooter, parseIndex, type SegmentBlock, type SegmentIndex, type SegmentPlace, segmentFooterBytes} from './segment.ts';
import {type SegmentPiece, segmentPieces, storedBytes, verifyPages} from './segment-pieces.ts';
import {decodePieceSync} from './stored-piece.ts';

/** A segment as a local file; plain data. */
export interface LocalSegment extends SegmentPlace {
  readonly path: string;
  /** What of it is there; undefined when all is. */
  readonly presence?: Presence | undefined;
  /** Its index and footer, if they are known already. */
  readonly end?: Uint8Array | undefined;
  /** To open it when it is sealed. Secret. */
  readonly dataKey?: Uint8Array | undefined;
}

export interface PagePlace {
  readonly segment: number;
  readonly index: number;
}

export interface SegmentReaderOptions {
  readonly segments: readonly LocalSegment[];
  /** Read in place of pages of the segments. */
  readonly copies?: PageCopies | undefined;
  /** Default 32. */
  readonly maxOpenFiles?: number;
  /** Default: one of 8 MiB that all readers of the thread share. */
  readonly cache?: BlockCache;
}

/** So that the second fault in a block costs no decoding. */
const sharedCache = new BlockCache(8 * 1024 * 1024);

interface OpenSegment {
  readonly index: SegmentIndex;
  /** In the cache. */
  readonly owner: number;
}

export class SegmentReader implements Disposable {
  readonly #segments = new Map<number, LocalSegment>();
  readonly #indexes = new Map<number, OpenSegment>();
  /** Open descriptors by segment, the least recently used first. */
  readonly #descriptors = new Map<number, number>();
  readonly #maxOpenFiles: number;
  readonly #cache: BlockCache;
  readonly #copies: CopiedPages;
  /** Something may be absent. */
  readonly #isPartial: boolean;

  constructor(options: SegmentReaderOptions) {
    this.#maxOpenFiles = Math.max(1, options.maxOpenFiles ?? 32);
    this.#cache = options.cache ?? sharedCache;
    this.#copies = new CopiedPages(options.copies);
    for (const segment of options.segments) this.#segments.set(segment.segment, segment);
    this.#isPartial = options.segments.some(({presence}) => presence !== undefined);
  }

  /**
   * Reads `count` pages of a segment into a buffer and checks each.
   * @throws DamagedCheckpointError when a page is not what was written
   * @throws AbsentPagesError when something of it is not in the local file
   * @throws CodedError ERR_PAGE_UNREADABLE (retryable) when the file cannot be read; that proves nothing about the checkpoint
   */
  readPagesSync(segment: number, index: number, count: number, into: Uint8Array, offset: number): void {
    for (const part of this.#copies.partsOf(segment, index, count)) {
      const at = offset + part.skip * pageSizeBytes;
      try {
        this.#read(part, into, at);
      } catch (error) {
        if (!part.isCopy || error instanceof AbsentPagesError) throw error;
        this.#copies.giveUp();
        this.#read({segment, index: index + part.skip, count: part.count}, into, at);
      }
    }
  }

  /** Where pages of a segment are read from, when they lie together there. */
  placeOf(segment: number, index: number, count: number): PagePlace | undefined {
    const [part] = this.#copies.partsOf(segment, index, count);
    return part?.count === count ? part : undefined;
  }

  #read({segment, index, count}: Pick<PagePart, 'segment' | 'index' | 'count'>, into: Uint8Array, offset: number): void {
    const place = this.#place(segment);
    try {
      const fd = this.#open(place);
      const known = this.#index(place, fd);
      for (const piece of this.#locate(place, known, index, count)) {
        const at = offset + (piece.index - index) * pageSizeBytes;
        if (piece.kind === 'plain') readFully(place, fd, {into, offset: at, length: piece.count * pageSizeBytes, position: piece.position});
        else into.set(this.#block(place, fd, known, piece.block).subarray(piece.skipBytes, piece.skipBytes + piece.count * pageSizeBytes), at);
        verifyPages(place, known.index, piece, into, at);
      }
    } catch (cause) {
      if (cause instanceof CodedError) throw cause;
      const message = `Cannot read page ${index} of segment "${place.object}": ${errorMessage(cause)}`;
      throw new CodedError('ERR_PAGE_UNREADABLE', message, {source: 'host', retryable: true, cause});
    }
  }

  /** What has to be fetched before these pages can be read, as far as it is known; undefined when all is there. @throws as `readPagesSync()` */
  absent(segment: number, index: number, count: number): AbsentPages | undefined {
    if (!this.#isPartial) return undefined;
    for (const part of this.#copies.partsOf(segment, index, count)) {
      const absent = this.#absentOf(part, segment, index);
      if (absent !== undefined) return absent;
    }
    return undefined;
  }

  /** The same of the segment itself, whatever there are copies of. */
  absentOriginals(segment: number, index: number, count: number): AbsentPages | undefined {
    return this.#isPartial ? this.#absent({segment, index, count}) : undefined;
  }

  /** Of a part of pages that begin at `index`. */
  #absentOf(part: PagePart, segment: number, index: number): AbsentPages | undefined {
    try {
      return this.#absent(part);
    } catch (error) {
      if (!part.isCopy) throw error;
      this.#copies.giveUp();
      return this.#absent({segment, index: index + part.skip, count: part.count});
    }
  }

  #absent({segment, index, count}: Pick<PagePart, 'segment' | 'index' | 'count'>): AbsentPages | undefined {
    const place = this.#place(segment);
    if (place.presence === undefined) return undefined;
    try {
      const known = this.#index(place, this.#open(place));
      return this.#absentPieces(place, known, segmentPieces(place, known.index, index, count));
    } catch (error) {
      if (error instanceof AbsentPagesError) return error;
      throw error;
    }
  }

  #locate(place: LocalSegment, known: OpenSegment, index: number, count: number): readonly SegmentPiece[] {
    const found = segmentPieces(place, known.index, index, count);
    const absent = this.#absentPieces(place, known, found);
    if (absent !== undefined) throw new AbsentPagesError(absent);
    return found;
  }

  #absentPieces(place: LocalSegment, {owner}: OpenSegment, pieces: readonly SegmentPiece[]): AbsentPages | undefined {
    if (place.presence === undefined) return undefined;
    const read = pieces.filter((piece) => piece.kind === 'plain' || this.#cache.get(owner, piece.position) === undefined);
    return absentPages(
      fileOf(place),
      read.map((piece) => ({position: piece.position, length: storedBytes(piece)})),
    );
  }

  #block(place: LocalSegment, fd: number, {index, owner}: OpenSegment, block: SegmentBlock): Uint8Array {
    const known = this.#cache.get(owner, block.position);
    if (known !== undefined) return known;
    // It may have been in the cache a moment ago, and have given way to another block of the same read.
    requireLocal(place, [{position: block.position, length: block.storedBytes}]);
    const stored = Buffer.allocUnsafeSlow(block.storedBytes);
    readFully(place, fd, {into: stored, offset: 0, length: stored.length, position: block.position});
    const decoded = decodePieceSync(stored, block, place, index.cipher);
    this.#cache.add(owner, block.position, decoded);
    return decoded;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#descriptors.values()) closeSync(fd);
    this.#descriptors.clear();
  }

  #place(segment: number): LocalSegment {
    const place = this.#segments.get(segment);
    if (place !== undefined) return place;
    throw new CodedError('ERR_ASSERTION', `Segment ${segment} is not among those of this reader`, {source: 'bug'});
  }

  #open(place: LocalSegment): number {
    const open = this.#descriptors.get(place.segment);
    const fd = open ?? openSync(place.path, 'r');
    this.#descriptors.delete(place.segment);
    this.#descriptors.set(place.segment, fd);
    if (this.#descriptors.size > this.#maxOpenFiles) {
      const [oldest] = this.#descriptors;
      if (oldest !== undefined) {
        this.#descriptors.delete(oldest[0]);
        closeSync(oldest[1]);
      }
    }
    return fd;
  }

  #index(place: LocalSegment, fd: number): OpenSegment {
    const known = this.#indexes.get(place.segment);
    if (known !== undefined) return known;
    const objectBytes = fstatSync(fd).size;
    const footer = parseFooter(place, objectBytes, endOf(place, fd, {position: Math.max(0, objectBytes - segmentFooterBytes), objectBytes}));
    const data = endOf(place, fd, {position: footer.indexPosition, objectBytes}).subarray(0, footer.indexBytes);
    const opened = {index: parseIndex(place, footer, data, place.dataKey), owner: this.#cache.newOwner()};
    this.#indexes.set(place.segment, opened);
    return opened;
  }
}

function readFully(place: LocalSegment, fd: number, request: {into: Uint8Array; offset: number; length: number; position: number}): void {
  const {into, offset, length, position} = request;
  for (let filled = 0; filled < length; ) {
    const bytes = readSync(fd, into, offset + filled, length - filled, position + filled);
    if (bytes === 0) throw new DamagedCheckpointError({...place, offset: position + filled, found: 'the object ends'});
    filled += bytes;
  }
}

/** The object from a position on. */
function endOf(place: LocalSegment, fd: number, {position, objectBytes}: {position: number; objectBytes: number}): Buffer {
  const length = objectBytes - position;
  const {end} = place;
  if (end !== undefined && end.length >= length) return Buffer.from(end.buffer, end.byteOffset + end.length - length, length);
  requireLocal(place, [{position, length}]);
  const data = Buffer.alloc(length);
  readFully(place, fd, {into: data, offset: 0, length, position});
  return data;
}

/** What is said of it may be logged: the key stays out of it. */
function fileOf({segment, path, presence}: LocalSegment): PartialFile {
  return {segment, path, presence};
}

function requireLocal(place: LocalSegment, wanted: Iterable<ByteRange>): void {
  const absent = absentPages(fileOf(place), wanted);
  if (absent !== undefined) throw new AbsentPagesError(absent);
}
