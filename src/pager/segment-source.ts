/** Reads pages of an app's segments without blocking, through the object store; what it returns has been checked. */
import {type FileHandle, open} from 'node:fs/promises';
import type {AppName} from '../core/ids.ts';
import type {ObjectStore} from '../store/object-store.ts';
import {keysOf} from './checkpoint-keys.ts';
import {DamagedCheckpointError} from './damage.ts';
import {type PageRun, pageSizeBytes} from './page-table.ts';
import {parseFooter, parseIndex, type SegmentIndex, type SegmentPlace, type Stretch, segmentFooterBytes, stretches, verifyPages} from './segment.ts';

export interface SegmentSourceOptions {
  readonly objects: ObjectStore;
  readonly app: AppName;
  /** For the message of an error. */
  readonly generation?: number | undefined;
}

export interface OpenSegment {
  readonly place: SegmentPlace;
  readonly index: SegmentIndex;
  /** Undefined when the store has no local file of it. */
  readonly local: {readonly path: string; readonly file: FileHandle} | undefined;
}

export class SegmentSource implements AsyncDisposable {
  readonly #options: SegmentSourceOptions;
  readonly #segments = new Map<number, Promise<OpenSegment>>();

  constructor(options: SegmentSourceOptions) {
    this.#options = options;
  }

  /** Opens a segment, once, and checks its index. @throws DamagedCheckpointError, ObjectStoreError */
  open(segment: number): Promise<OpenSegment> {
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
    for (const stretch of stretches(opened.place, opened.index, index, count)) {
      const offset = (stretch.index - index) * pageSizeBytes;
      await this.#fill(opened, stretch, data.subarray(offset, offset + stretch.count * pageSizeBytes));
      if (verify) verifyPages(opened.place, opened.index, stretch, data, offset);
    }
    return data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await Promise.allSettled(this.#segments.values());
    this.#segments.clear();
    for (const result of opened) if (result.status === 'fulfilled') await result.value.local?.file.close();
  }

  async #open(segment: number): Promise<OpenSegment> {
    const {objects, app, generation} = this.#options;
    const object = keysOf(app).segment(segment);
    const place = {app, segment, object, generation};
    const objectBytes = await objects.size(object);
    const tail = Math.min(objectBytes, segmentFooterBytes);
    const footer = parseFooter(place, objectBytes, await objects.get(object, {position: objectBytes - tail, length: tail}));
    const index = parseIndex(place, footer, await objects.get(object, {position: footer.indexPosition, length: footer.indexBytes}));
    const path = await objects.localFile(object);
    return {place, index, local: path === undefined ? undefined : {path, file: await open(path, 'r')}};
  }

  async #fill({place, local}: OpenSegment, stretch: Stretch, into: Buffer): Promise<void> {
    if (local === undefined) {
      into.set(await this.#options.objects.get(place.object, {position: stretch.position, length: into.length}));
      return;
    }
    for (let filled = 0; filled < into.length; ) {
      const {bytesRead} = await local.file.read(into, filled, into.length - filled, stretch.position + filled);
      if (bytesRead === 0) throw new DamagedCheckpointError({...place, offset: stretch.position + filled, found: 'the object ends'});
      filled += bytesRead;
    }
  }
}
