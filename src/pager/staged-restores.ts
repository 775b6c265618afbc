/**
 * Restores that are prepared while their app sleeps, so that a wake finds everything in place but the memory itself: the
 * checkpoint loaded and checked, its images visible through FUSE, the pages to install chosen.
 */
import {open} from 'node:fs/promises';
import {join} from 'node:path';
import {appName, type Generation} from '../core/ids.ts';
import type {Checkpoint} from './checkpoint.ts';
import type {CheckpointStore} from './checkpoint-store.ts';
import type {ProcessTable} from './fault-messages.ts';
import type {Fuse} from './fuse.ts';
import type {FuseFiles} from './fuse-files.ts';
import {type PageRun, PageTable} from './page-table.ts';
import {encodePageTable} from './page-table-codec.ts';
import type {PredictedSets, PrefetchPlan} from './predicted-set.ts';
import type {StageRequest} from './protocol.ts';
import {servedFromMemoryBytes} from './restore-images.ts';
import type {LocalSegment} from './segment-reader.ts';
import {lazyTables} from './served-instances.ts';

/** What all that is staged may take together; what was staged longest ago gives way. */
const stagedBytesMax = 64 * 1024 * 1024;
const readAheadChunkBytes = 128 * 1024;

export interface StagedRestore extends AsyncDisposable {
  readonly checkpoint: Checkpoint;
  /** Name and path of its directory in the FUSE mount. */
  readonly directory: string;
  readonly imagesDir: string;
  /** What of each file is served from memory. */
  readonly inMemory: ReadonlyMap<string, readonly FilePart[]>;
  readonly segments: readonly LocalSegment[];
  readonly tables: readonly ProcessTable[];
  /** Null when the predicted set cannot be read: the app wakes without, and what it touches now must not replace the set. */
  readonly prefetch: PrefetchPlan | null;
  readonly predicted: readonly ProcessTable[];
  readonly withheld: readonly ProcessTable[];
}

interface FilePart {
  readonly position: number;
  readonly length: number;
}

interface Entry {
  readonly request: StageRequest;
  readonly restore: Promise<StagedRestore>;
  bytes: number;
}

export class StagedRestores implements AsyncDisposable {
  readonly #store: CheckpointStore;
  readonly #fuse: Fuse;
  readonly #predicted: PredictedSets;
  readonly #staged = new Map<string, Entry>();
  #count = 0;

  constructor(parts: {readonly store: CheckpointStore; readonly fuse: Fuse; readonly predicted: PredictedSets}) {
    this.#store = parts.store;
    this.#fuse = parts.fuse;
    this.#predicted = parts.predicted;
  }

  /** Prepares the next restore of an app in place of what was prepared before. @throws as `take()` */
  async stage(request: StageRequest): Promise<void> {
    await this.drop(request.app);
    const restore = this.#prepare(request).then(async (prepared) => {
      await readAhead(prepared);
      return prepared;
    });
    const entry: Entry = {request, restore, bytes: 0};
    this.#staged.set(request.app, entry);
    try {
      const {checkpoint} = await entry.restore;
      const bytes = servedFromMemoryBytes(checkpoint, request.mode);
      // What is checked now but read by CRIU from its file much later may be damaged by then: it is not staged.
      if (bytes === undefined) await this.#evict(entry);
      else entry.bytes = bytes;
    } catch (error) {
      await this.#evict(entry);
      throw error;
    }
    for (const oldest of [...this.#staged.values()]) {
      if (this.#bytes() <= stagedBytesMax) return;
      await this.#evict(oldest);
    }
  }

  /** What was staged, or the same made now. The caller owns it. @throws DamagedCheckpointError, ObjectStoreError */
  async take(request: StageRequest): Promise<StagedRestore> {
    const entry = this.#staged.get(request.app);
    if (entry !== undefined && isFor(entry.request, request)) {
      this.#staged.delete(request.app);
      return entry.restore;
    }
    return this.#prepare(request);
  }

  /** Forgets what is staged for an app, if anything is. */
  async drop(app: string): Promise<void> {
    const entry = this.#staged.get(app);
    if (entry !== undefined) await this.#evict(entry);
  }

  /** Unless somebody has taken it meanwhile. */
  async #evict(entry: Entry): Promise<void> {
    if (this.#staged.get(entry.request.app) !== entry) return;
    this.#staged.delete(entry.request.app);
    const restore = await entry.restore.catch(() => undefined); // Whoever staged it is told.
    await restore?.[Symbol.asyncDispose]();
  }

  #bytes(): number {
    let sum = 0;
    for (const {bytes} of this.#staged.values()) sum += bytes;
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const app of [...this.#staged.keys()]) await this.drop(app);
  }

  async #prepare({app, generation, mode, prefetch}: StageRequest): Promise<StagedRestore> {
    const checkpoint = await this.#store.load(appName(app), generation);
    const directory = this.#directoryName(app, generation);
    const [files, segments, plan] = await Promise.all([
      checkpoint.images(mode),
      checkpoint.localSegments(),
      this.#predicted.plan(checkpoint.app, prefetch, checkpoint.tables).catch(() => null), // The store reports the same trouble where it matters.
    ]);
    const imagesDir = await this.#fuse.add(directory, files);
    return {
      checkpoint,
      directory,
      imagesDir,
      inMemory: partsInMemory(files),
      segments,
      tables: mode === 'lazy' ? lazyTables(checkpoint) : [],
      prefetch: mode === 'lazy' ? plan : null,
      predicted: plan === null ? [] : encoded(plan.install),
      withheld: plan?.mode === 'predict' ? encoded(withheldRuns(plan, checkpoint)) : [],
      [Symbol.asyncDispose]: () => this.#fuse.remove(directory),
    };
  }

  #directoryName(app: string, generation: Generation): string {
    this.#count += 1;
    return `${app}.${generation}.${this.#count}`;
  }
}

function encoded(runs: ReadonlyMap<number, readonly PageRun[]>): ProcessTable[] {
  return [...runs].map(([vpid, wanted]) => ({vpid, table: encodePageTable(PageTable.from(wanted))}));
}

function withheldRuns({withheld}: PrefetchPlan, {tables}: Checkpoint): ReadonlyMap<number, readonly PageRun[]> {
  const found = new Map<number, readonly PageRun[]>();
  for (const [vpid, ranges] of withheld) {
    const table = tables.get(vpid);
    if (table !== undefined)
      found.set(
        vpid,
        ranges.flatMap(({page, count}) => [...table.runsIn(page, count)].filter((run) => run.lazy)),
      );
  }
  return found;
}

/** Brings what CRIU is going to read into the page cache: each page asked for then is a request less to our thread. */
async function readAhead({imagesDir, inMemory}: StagedRestore): Promise<void> {
  const buffer = Buffer.allocUnsafe(readAheadChunkBytes);
  for (const [name, parts] of inMemory) {
    await using file = await open(join(imagesDir, name));
    for (const {position, length} of parts) {
      for (let done = 0; done < length; done += buffer.length) await file.read(buffer, 0, Math.min(buffer.length, length - done), position + done);
    }
  }
}

/** The parts of each file that are served from memory: lazy pages are not. */
function partsInMemory(files: FuseFiles): ReadonlyMap<string, readonly FilePart[]> {
  const found = new Map<string, FilePart[]>();
  for (const [name, extents] of files) {
    const parts: FilePart[] = [];
    let position = 0;
    for (const {length, source} of extents) {
      if (source.kind === 'bytes') parts.push({position, length});
      position += length;
    }
    found.set(name, parts);
  }
  return found;
}

function isFor(staged: StageRequest, wanted: StageRequest): boolean {
  return staged.generation === wanted.generation && staged.mode === wanted.mode && staged.prefetch === wanted.prefetch;
}
