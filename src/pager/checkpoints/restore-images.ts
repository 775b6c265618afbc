/**
 * The directory that CRIU restores from: the images of the dump as they were, and for each process a pagemap and a pages image that cover the
 * pages of all generations, as if everything had been dumped at once. CRIU finds a page by adding up the counts of the entries before it, so
 * both are made from the same runs, in order of address.
 */
import {CodedError} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import type {EncodedFile, Extent, FuseFiles} from '../fuse/fuse-files.ts';
import type {ColdImages} from '../remote/cold-images.ts';
import {type PagemapEntry, pagemapFlag, renderPagemap} from './criu-image.ts';
import {type BundleObject, framesOf, readFrame, readPart} from './image-bundle.ts';
import type {Manifest, ManifestProcess} from './manifest.ts';
import {type PageRun, type PageTable, pageSizeBytes} from './page-table.ts';
import {segmentPieces} from './segment-pieces.ts';
import {type OpenSegment, SegmentSource} from './segment-source.ts';
import {rawCodec} from './stored-piece.ts';

/** `lazy`: CRIU leaves lazy pages to userfaultfd; `eager`: it reads all. */
export type RestoreMode = 'lazy' | 'eager';

/** Images up to this size together are served from memory; they are read to be checked anyway. */
const keptImageBytes = 8 * 1024 * 1024;
/** Pages that CRIU reads itself are served from memory as well, up to this size together. */
const keptPageBytes = 8 * 1024 * 1024;
const verifyChunkPages = 256;
/** Reads under way at once while pages are checked: this is on the path of a wake. */
const verifyConcurrency = 4;

export interface RestoreContext {
  readonly objects: ObjectStore;
  readonly manifest: Manifest;
  readonly tables: ReadonlyMap<number, PageTable>;
  readonly bundle: BundleObject;
  /** Of the app, when something is sealed. */
  readonly dataKey: Uint8Array | undefined;
  /** Where the pages that CRIU reads are too. */
  readonly cold?: ColdImages | undefined;
}

/**
 * Checks everything that CRIU will read itself (in mode `eager` that is everything).
 * @throws DamagedCheckpointError, ObjectStoreError; CodedError ERR_NOT_LOCAL when a needed object has no local file
 */
export async function restoreImages(context: RestoreContext, mode: RestoreMode): Promise<FuseFiles> {
  const {objects, manifest, tables, dataKey, cold} = context;
  const coldTables = cold?.tables(dataKey);
  const objectOf = (segment: number): string | undefined => (segment === cold?.segment ? cold.object : undefined);
  await using source = new SegmentSource({objects, app: manifest.app, generation: manifest.generation, dataKey, objectOf});
  const files = new Map<string, readonly Extent[]>(await bundledImages(context));
  const keepsPages = pageBytesReadByCriu(tables, mode) <= keptPageBytes;
  for (const process of manifest.processes) {
    const runs = [...(tables.get(process.pid)?.runs() ?? [])];
    const read = runs.filter((run) => isReadByCriu(run, mode));
    const kept = keepsPages ? await readRuns(source, read, coldTables?.get(process.pid)) : new Map<PageRun, Buffer>();
    if (!keepsPages) await verifyRuns(source, read);
    // CRIU reads no other then, and to open a segment that is not here takes a request.
    const segments = keepsPages && cold !== undefined ? new Map<number, OpenSegment>() : await source.openAll(runs);
    for (const [name, extents] of processImages({process, runs, mode, kept, segments})) files.set(name, extents);
  }
  return files;
}

function isReadByCriu(run: PageRun, mode: RestoreMode): boolean {
  return mode === 'eager' || !run.lazy;
}

function pageBytesReadByCriu(tables: ReadonlyMap<number, PageTable>, mode: RestoreMode): number {
  let pages = 0;
  for (const table of tables.values()) for (const run of table.runs()) if (isReadByCriu(run, mode)) pages += run.count;
  return pages * pageSizeBytes;
}

/** How much of a restore is served from memory when that is all that CRIU will read; undefined when it reads files as well. */
export function servedFromMemoryBytes({manifest, tables}: Pick<RestoreContext, 'manifest' | 'tables'>, mode: RestoreMode): number | undefined {
  const imageBytes = manifest.images.reduce((sum, {length}) => sum + length, 0);
  const pageBytes = pageBytesReadByCriu(tables, mode);
  return imageBytes <= keptImageBytes && pageBytes <= keptPageBytes ? imageBytes + pageBytes : undefined;
}

async function readRuns(source: SegmentSource, runs: readonly PageRun[], cold: PageTable | undefined): Promise<ReadonlyMap<PageRun, Buffer>> {
  const copied = cold === undefined || runs.length === 0 ? undefined : await readCopies(source, runs, cold);
  return copied ?? new Map(await Promise.all(runs.map(async (run) => [run, await source.read(run.segment, run.index, run.count)] as const)));
}

/** The copies of a process lie together: they are read at once. @returns undefined when there are not copies of all */
async function readCopies(source: SegmentSource, runs: readonly PageRun[], cold: PageTable): Promise<ReadonlyMap<PageRun, Buffer> | undefined> {
  const places = runs.map((run) => [...cold.runsIn(run.page, run.count)]);
  const [first] = places.flat();
  const isComplete = runs.every(({count}, at) => places[at]?.reduce((sum, part) => sum + part.count, 0) === count);
  if (first === undefined || !isComplete) return undefined;
  const start = places.flat().reduce((lowest, {index}) => Math.min(lowest, index), first.index);
  const end = places.flat().reduce((highest, {index, count}) => Math.max(highest, index + count), start);
  const pages = await source.read(first.segment, start, end - start);
  return new Map(
    runs.map((run, at) => {
      const parts = (places[at] ?? []).map(({index, count}) => pages.subarray((index - start) * pageSizeBytes, (index - start + count) * pageSizeBytes));
      const [only] = parts;
      return [run, parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)] as const;
    }),
  );
}

async function bundledImages({objects, manifest, bundle}: RestoreContext): Promise<readonly (readonly [string, readonly Extent[]])[]> {
  const {images} = manifest;
  const start = images[0]?.position ?? 0;
  const end = images.reduce((last, {position, length}) => Math.max(last, position + length), start);
  if (end - start <= keptImageBytes) {
    const all = await readPart(objects, bundle, {position: start, length: end - start});
    return images.map(({name, position, length}) => {
      const data = all.subarray(position - start, position - start + length);
      return [name, [{length, source: {kind: 'bytes', data}}]] as const;
    });
  }
  const file = {path: await localPath(objects, bundle.key), object: bundle.key, seal: bundle.cipher?.seal};
  for (const {frame} of framesOf(bundle, {position: start, length: end - start})) await readFrame(objects, bundle, frame);
  return images.map((image) => [image.name, imageExtents(file, bundle, image)] as const);
}

function imageExtents(file: EncodedFile, bundle: BundleObject, image: {readonly position: number; readonly length: number}): readonly Extent[] {
  return framesOf(bundle, image).map(({frame, skipBytes, length}) => {
    const isPlain = frame.codec === rawCodec && file.seal === undefined;
    return isPlain
      ? {length, source: {kind: 'file', path: file.path, position: frame.position + skipBytes}}
      : {length, source: {kind: 'encoded', file, piece: frame, skipBytes}};
  });
}

async function localPath(objects: ObjectStore, key: string): Promise<string> {
  const path = await objects.localFile(key);
  if (path === undefined) throw notLocal(key);
  return path;
}

function notLocal(key: string): CodedError {
  return new CodedError('ERR_NOT_LOCAL', `Cannot serve object "${key}": it has no local file`, {source: 'host'});
}

async function verifyRuns(source: SegmentSource, runs: readonly PageRun[]): Promise<void> {
  const pieces = verifyPieces(runs);
  const verifyRest = async (): Promise<void> => {
    for (const {segment, index, count} of pieces) await source.read(segment, index, count);
  };
  // All share one generator, so each takes the next piece when it is done with one; the first failure is reported after all have stopped.
  const results = await Promise.allSettled(Array.from({length: verifyConcurrency}, verifyRest));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function* verifyPieces(runs: readonly PageRun[]): Generator<{segment: number; index: number; count: number}, undefined> {
  for (const {segment, index, count} of runs) {
    for (let done = 0; done < count; done += verifyChunkPages) yield {segment, index: index + done, count: Math.min(verifyChunkPages, count - done)};
  }
  return undefined;
}

function processImages(options: {
  process: ManifestProcess;
  runs: readonly PageRun[];
  mode: RestoreMode;
  /** The content of runs that are served from memory. */
  kept: ReadonlyMap<PageRun, Buffer>;
  segments: ReadonlyMap<number, OpenSegment>;
}): readonly (readonly [string, readonly Extent[]])[] {
  const {process, runs, mode, kept, segments} = options;
  const entries: Writable<PagemapEntry>[] = [];
  const extents: Extent[] = [];
  for (const run of runs) {
    const flags = pagemapFlag.present | (run.lazy && mode === 'lazy' ? pagemapFlag.lazy : 0);
    const last = entries.at(-1);
    if (last?.flags === flags && last.page + last.count === run.page) last.count += run.count;
    else entries.push({page: run.page, count: run.count, flags});
    const data = kept.get(run);
    if (data !== undefined) {
      extents.push({length: data.length, source: {kind: 'bytes', data}});
      continue;
    }
    const segment = segments.get(run.segment);
    if (segment?.local === undefined) {
      const object = segment?.place.object ?? `segment ${run.segment}`;
      if (isReadByCriu(run, mode)) throw notLocal(object);
      extents.push({length: run.count * pageSizeBytes, source: {kind: 'absent', object}});
      continue;
    }
    const {place, index, local} = segment;
    const file = {path: local.path, object: place.object, seal: index.cipher?.seal};
    for (const piece of segmentPieces(place, index, run.index, run.count)) {
      const length = piece.count * pageSizeBytes;
      if (piece.kind === 'plain') addExtent(extents, {path: local.path, position: piece.position, length});
      else extents.push({length, source: {kind: 'encoded', file, piece: piece.block, skipBytes: piece.skipBytes}});
    }
  }
  const pagemap = renderPagemap({pagesId: process.pagesId, entries});
  return [
    [`pagemap-${process.pid}.img`, [{length: pagemap.length, source: {kind: 'bytes', data: pagemap}}]],
    [`pages-${process.pagesId}.img`, extents],
  ];
}

type Writable<T> = {-readonly [K in keyof T]: T[K]};

/** Appends to the last extent where the file goes on. */
function addExtent(extents: Extent[], part: {path: string; position: number; length: number}): void {
  const last = extents.at(-1);
  if (last?.source.kind === 'file' && last.source.path === part.path && last.source.position + last.length === part.position) {
    extents[extents.length - 1] = {length: last.length + part.length, source: last.source};
  } else extents.push({length: part.length, source: {kind: 'file', path: part.path, position: part.position}});
}
