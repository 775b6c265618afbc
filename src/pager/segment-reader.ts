/**
 * Reads pages of local segments synchronously: for the fault thread, where nothing else may run in between anyway. Made from plain data, so
 * that it can be built in a worker. Holds a bounded number of descriptors open.
 */
import {closeSync, fstatSync, openSync, readSync} from 'node:fs';
import {CodedError, errorMessage} from '../core/errors.ts';
import {AbsentPagesError, type Presence, requirePresent} from './absent-pages.ts';
import {DamagedCheckpointError} from './damage.ts';
import {pageSizeBytes} from './page-table.ts';
import {parseFooter, parseIndex, type SegmentIndex, type SegmentPlace, type Stretch, segmentFooterBytes, stretches, verifyPages} from './segment.ts';

/** A segment as a local file; plain data. */
export interface LocalSegment extends SegmentPlace {
  readonly path: string;
  /** What of it is there; undefined when all is. */
  readonly presence?: Presence | undefined;
}

export interface SegmentReaderOptions {
  readonly segments: readonly LocalSegment[];
  /** Default 32. */
  readonly maxOpenFiles?: number;
}

export class SegmentReader implements Disposable {
  readonly #segments = new Map<number, LocalSegment>();
  readonly #indexes = new Map<number, SegmentIndex>();
  /** Open descriptors by segment, the least recently used first. */
  readonly #descriptors = new Map<number, number>();
  readonly #maxOpenFiles: number;

  constructor(options: SegmentReaderOptions) {
    this.#maxOpenFiles = Math.max(1, options.maxOpenFiles ?? 32);
    for (const segment of options.segments) this.#segments.set(segment.segment, segment);
  }

  /**
   * Reads `count` pages of a segment into a buffer and checks each.
   * @throws DamagedCheckpointError when a page is not what was written
   * @throws AbsentPagesError when something of it is not in the local file
   * @throws CodedError ERR_PAGE_UNREADABLE (retryable) when the file cannot be read; that proves nothing about the checkpoint
   */
  readPagesSync(segment: number, index: number, count: number, into: Uint8Array, offset: number): void {
    const place = this.#place(segment);
    try {
      const fd = this.#open(place);
      const known = this.#index(place, fd);
      for (const stretch of this.#locate(place, known, index, count)) {
        const at = offset + (stretch.index - index) * pageSizeBytes;
        readFully(place, fd, {into, offset: at, length: stretch.count * pageSizeBytes, position: stretch.position});
        verifyPages(place, known, stretch, into, at);
      }
    } catch (cause) {
      if (cause instanceof CodedError) throw cause;
      const message = `Cannot read page ${index} of segment "${place.object}": ${errorMessage(cause)}`;
      throw new CodedError('ERR_PAGE_UNREADABLE', message, {source: 'host', retryable: true, cause});
    }
  }

  /** What has to be fetched before these pages can be read, as far as it is known; undefined when all is there. @throws as `readPagesSync()` */
  absent(segment: number, index: number, count: number): AbsentPagesError | undefined {
    const place = this.#place(segment);
    if (place.presence === undefined) return undefined;
    try {
      this.#locate(place, this.#index(place, this.#open(place)), index, count);
      return undefined;
    } catch (error) {
      if (error instanceof AbsentPagesError) return error;
      throw error;
    }
  }

  #locate(place: LocalSegment, known: SegmentIndex, index: number, count: number): readonly Stretch[] {
    const found = stretches(place, known, index, count);
    if (place.presence !== undefined)
      requirePresent(
        place,
        found.map(({position, count: pages}) => ({position, length: pages * pageSizeBytes})),
      );
    return found;
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

  #index(place: LocalSegment, fd: number): SegmentIndex {
    const known = this.#indexes.get(place.segment);
    if (known !== undefined) return known;
    const objectBytes = fstatSync(fd).size;
    const footerData = Buffer.alloc(segmentFooterBytes);
    if (objectBytes >= segmentFooterBytes) {
      requirePresent(place, [{position: objectBytes - segmentFooterBytes, length: segmentFooterBytes}]);
      readFully(place, fd, {into: footerData, offset: 0, length: segmentFooterBytes, position: objectBytes - segmentFooterBytes});
    }
    const footer = parseFooter(place, objectBytes, footerData);
    requirePresent(place, [{position: footer.indexPosition, length: footer.indexBytes}]);
    const data = Buffer.alloc(footer.indexBytes);
    readFully(place, fd, {into: data, offset: 0, length: data.length, position: footer.indexPosition});
    const index = parseIndex(place, footer, data);
    this.#indexes.set(place.segment, index);
    return index;
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
