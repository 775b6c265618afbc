/** Makes the cold object of a generation: what its wake will read, what CRIU will read, and the pages that it will install. */
import {crc32} from 'node:zlib';
import {errorCode} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {ByteRange, ObjectStore} from '../../store/object-store.ts';
import {type AppKeys, openAppKeys} from '../checkpoints/app-keys.ts';
import {type Checkpoint, loadCheckpoint} from '../checkpoints/checkpoint.ts';
import {keysOf} from '../checkpoints/checkpoint-keys.ts';
import {type GatheredPages, gather, gatheredSegment} from '../checkpoints/gathered-pages.ts';
import type {Keyring} from '../checkpoints/keyring.ts';
import type {PageRun} from '../checkpoints/page-table.ts';
import {servedFromMemoryBytes} from '../checkpoints/restore-images.ts';
import {parseFooter, segmentFooterBytes} from '../checkpoints/segment.ts';
import {SegmentSource} from '../checkpoints/segment-source.ts';
import {
  type ColdContents,
  type ColdPages,
  type ColdPart,
  coldImagesKey,
  coldImagesNumber,
  coldSegmentKey,
  coldSegmentNumber,
  renderCold,
  sealTables,
} from './cold-object.ts';

/** More than this is no prediction, and the ordinary objects serve as well. */
const maxPages = 32_768;
/** Of small layers of files together: one request less each. */
const maxLayerBytes = 256 * 1024;
/** CRIU's pages up to these are stored as they are: a wake takes longer to decode them than to fetch them, on connections that are there anyway. */
const maxPlainPages = 512;
/** Of the indexes of all segments together; a fault that needs another one fetches it. */
const maxIndexBytes = 1024 * 1024;

export interface ColdWriterOptions {
  readonly objects: ObjectStore;
  readonly keyring: Keyring | null;
  /** Pages that are expected to be touched, by process. */
  readonly expected: (checkpoint: Checkpoint) => Promise<ReadonlyMap<number, readonly PageRun[]>>;
}

export interface ColdObject {
  readonly key: string;
  readonly body: AsyncGenerator<Uint8Array, undefined>;
}

/** Reads from the store what a wake would, so all of it must be there. The body reads the expected pages. */
export async function coldObject(options: ColdWriterOptions, app: AppName, generation: number): Promise<ColdObject> {
  const {objects} = options;
  const keys = openAppKeys(objects, options.keyring);
  const checkpoint = await loadCheckpoint({objects, keys}, app, generation);
  const key = keysOf(app).cold(generation, checkpoint.token);
  const cold: Cold = {objects, app, checkpoint, key, dataKey: checkpoint.manifest.sealed === null ? undefined : await keys.forWriting(app)};
  const images = gather(imagePages(checkpoint), coldImagesNumber(generation), maxPages);
  const expected = gather(withNeighbours(checkpoint, await options.expected(checkpoint)), coldSegmentNumber(generation), maxPages);
  const parts = [...(await copies(cold)), ...(await imagesPart(cold, images))];
  const contents: ColdContents = {
    app,
    generation,
    token: checkpoint.token,
    images: contentsOf(cold, coldImagesKey(key), images),
    expected: contentsOf(cold, coldSegmentKey(key), expected),
    parts: parts.map(({part}) => part),
  };
  const start = renderCold(
    contents,
    parts.map(({data}) => data),
  );
  return {key, body: body(cold, start, expected)};
}

interface Cold {
  readonly objects: ObjectStore;
  readonly app: AppName;
  readonly checkpoint: Checkpoint;
  readonly key: string;
  readonly dataKey: Awaited<ReturnType<AppKeys['forWriting']>>;
}

interface CopiedPart {
  readonly part: ColdPart;
  readonly data: Buffer;
}

/** Of the objects that a wake reads, and of the ends of the segments: with its index, one page of a segment is one request away. */
async function copies(cold: Cold): Promise<readonly CopiedPart[]> {
  const {objects, app, checkpoint} = cold;
  const {manifest} = checkpoint;
  const keys = keysOf(app);
  const found: CopiedPart[] = [];
  for (const key of [keys.manifest(manifest.generation), keys.key, keys.predicted, manifest.bundle.key]) {
    try {
      const data = await objects.get(key);
      found.push(copied(key, data.length, {position: 0, length: data.length}, data));
    } catch (error) {
      // Not every app has a key and a predicted set.
      if (errorCode(error) !== 'ERR_NO_OBJECT') throw error;
    }
  }
  let layerBytes = 0;
  for (const layer of manifest.layers) {
    const object = keys.layer(layer);
    const sizeBytes = await objects.size(object).catch(() => undefined); // Files that are not kept in the store.
    layerBytes += sizeBytes ?? 0;
    if (sizeBytes === undefined || layerBytes > maxLayerBytes) continue;
    found.push(copied(object, sizeBytes, {position: 0, length: sizeBytes}, await objects.get(object)));
  }
  let indexBytes = 0;
  for (const {segment, sizeBytes} of manifest.segments) {
    const object = keys.segment(segment);
    const footerAt = {position: sizeBytes - segmentFooterBytes, length: segmentFooterBytes};
    const {indexPosition} = parseFooter({app, segment, object}, sizeBytes, await objects.get(object, footerAt));
    const end = {position: indexPosition, length: sizeBytes - indexPosition};
    indexBytes += end.length;
    if (indexBytes > maxIndexBytes) break;
    found.push(copied(object, sizeBytes, end, await objects.get(object, end)));
  }
  return found;
}

function copied(key: string, sizeBytes: number, {position, length}: ByteRange, data: Buffer): CopiedPart {
  return {part: {key, sizeBytes, position, length, checksum: crc32(data)}, data};
}

/** Of pages that are touched for the first time most lie beside others: to fetch one too many takes 50 µs, and to miss it a round trip. */
function withNeighbours({tables}: Checkpoint, expected: ReadonlyMap<number, readonly PageRun[]>): ReadonlyMap<number, readonly PageRun[]> {
  const widened = (pid: number, {page, count}: PageRun): readonly PageRun[] =>
    [...(tables.get(pid)?.runsIn(page - 1, count + 2) ?? [])].filter(({lazy}) => lazy);
  return new Map([...expected].map(([pid, runs]) => [pid, runs.flatMap((run) => widened(pid, run))] as const));
}

/** What CRIU reads itself, as far as a wake keeps it in memory. */
function imagePages(checkpoint: Checkpoint): ReadonlyMap<number, readonly PageRun[]> {
  if (servedFromMemoryBytes(checkpoint, 'lazy') === undefined) return new Map();
  return new Map([...checkpoint.tables].map(([pid, table]) => [pid, [...table.runs()].filter(({lazy}) => !lazy)] as const));
}

async function imagesPart(cold: Cold, pages: GatheredPages): Promise<readonly CopiedPart[]> {
  if (pages.count === 0) return [];
  const key = coldImagesKey(cold.key);
  const pieces: Uint8Array[] = [];
  for await (const piece of segmentOf(cold, key, pages, {compress: pages.count > maxPlainPages})) pieces.push(piece);
  const data = Buffer.concat(pieces);
  return [copied(key, data.length, {position: 0, length: data.length}, data)];
}

function contentsOf({dataKey}: Cold, object: string, {segment, count, tables}: GatheredPages): ColdPages | undefined {
  return count === 0 ? undefined : sealTables(segment, object, tables, dataKey);
}

async function* body(cold: Cold, start: Buffer, expected: GatheredPages): AsyncGenerator<Uint8Array, undefined> {
  yield start;
  if (expected.count > 0) yield* segmentOf(cold, coldSegmentKey(cold.key), expected, {compress: true});
  return undefined;
}

async function* segmentOf(
  {objects, app, checkpoint, dataKey}: Cold,
  object: string,
  pages: GatheredPages,
  {compress}: {readonly compress: boolean},
): AsyncGenerator<Uint8Array, undefined> {
  await using source = new SegmentSource({objects, app, generation: checkpoint.generation, dataKey});
  yield* gatheredSegment(source, pages, {app, dataKey, object, compress});
  return undefined;
}
