/** Makes the cold object of a generation: by doing what a wake does and noting what it reads, and by collecting the pages it will install. */
import {crc32} from 'node:zlib';
import type {AppName} from '../core/ids.ts';
import type {ByteRange, ObjectStore} from '../store/object-store.ts';
import {chunkBytes} from '../store/partial-file.ts';
import {type AppKeys, openAppKeys} from './app-keys.ts';
import {type Checkpoint, loadCheckpoint} from './checkpoint.ts';
import {keysOf} from './checkpoint-keys.ts';
import {type ColdContents, type ColdPart, coldSegmentKey, coldSegmentNumber, renderCold} from './cold-object.ts';
import type {Keyring} from './keyring.ts';
import {blockPages, type PageRun, PageTable} from './page-table.ts';
import {encodePageTable} from './page-table-codec.ts';
import {newSalt, objectCipher} from './sealing.ts';
import {SegmentSource} from './segment-source.ts';
import {type PageBatch, pageChecksum, segmentBody} from './segment-writer.ts';

/** Pages that are read and written together. */
const batchPages = 256;
/** More than this is no prediction, and the ordinary objects serve as well. */
const maxPages = 32_768;

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

/** Reads from the store what a wake would, so all of it must be there. The body reads the pages. */
export async function coldObject(options: ColdWriterOptions, app: AppName, generation: number): Promise<ColdObject> {
  const notes = new Map<string, ByteRange[]>();
  const objects = noting(options.objects, notes);
  const keys = openAppKeys(objects, options.keyring);
  const checkpoint = await loadCheckpoint({objects, keys}, app, generation);
  await checkpoint.images('lazy');
  notes.set(keysOf(app).predicted, [whole]);
  const parts = await readParts(options.objects, notes);
  const segment = coldSegmentNumber(generation);
  const pages = placed(await options.expected(checkpoint), segment);
  const tables = [...pages.tables].map(([vpid, table]) => ({vpid, table: encodePageTable(table).toString('base64')}));
  const contents: ColdContents = {
    app,
    generation,
    token: checkpoint.token,
    segment: pages.count === 0 ? undefined : segment,
    tables,
    parts: parts.map(({part}) => part),
  };
  const key = keysOf(app).cold(generation, checkpoint.token);
  const start = renderCold(
    contents,
    parts.map(({data}) => data),
  );
  return {key, body: body(options, {app, checkpoint, keys, key, segment, start, pages})};
}

const whole: ByteRange = {position: 0, length: Number.POSITIVE_INFINITY};

/** A store that notes what is read of which object. */
function noting(objects: ObjectStore, notes: Map<string, ByteRange[]>): ObjectStore {
  return {
    ...readOnly(objects),
    async get(key, range) {
      notes.set(key, [...(notes.get(key) ?? []), range ?? whole]);
      return objects.get(key, range);
    },
    size: async (key) => objects.size(key),
    list: async (prefix) => objects.list(prefix),
    // Nothing is local on the host that this is made for.
    localFile: async () => Promise.resolve(undefined),
  };
}

function readOnly(objects: ObjectStore): Pick<ObjectStore, 'put' | 'delete'> {
  return {put: async (key, data, options) => objects.put(key, data, options), delete: async (key) => objects.delete(key)};
}

/** In whole chunks, as local copies are kept. An object that is not there is not needed. */
async function readParts(objects: ObjectStore, notes: ReadonlyMap<string, readonly ByteRange[]>): Promise<readonly {part: ColdPart; data: Buffer}[]> {
  const found: {part: ColdPart; data: Buffer}[] = [];
  for (const [key, ranges] of notes) {
    const sizeBytes = await objects.size(key).catch(() => undefined);
    if (sizeBytes === undefined) continue;
    for (const {position, length} of inChunks(ranges, sizeBytes)) {
      const data = await objects.get(key, {position, length});
      found.push({part: {key, sizeBytes, position, length, checksum: crc32(data)}, data});
    }
  }
  return found;
}

function inChunks(ranges: readonly ByteRange[], sizeBytes: number): readonly ByteRange[] {
  const chunks = new Set<number>();
  for (const {position, length} of ranges) {
    const end = Math.min(sizeBytes, position + length);
    for (let chunk = Math.floor(position / chunkBytes); chunk * chunkBytes < end; chunk++) chunks.add(chunk);
  }
  const found: {position: number; length: number}[] = [];
  for (const chunk of [...chunks].sort((a, b) => a - b)) {
    const position = chunk * chunkBytes;
    const length = Math.min(chunkBytes, sizeBytes - position);
    const last = found.at(-1);
    if (last !== undefined && last.position + last.length === position) last.length += length;
    else found.push({position, length});
  }
  return found;
}

interface ColdPages {
  readonly count: number;
  /** Where each page is now, in the order in which they are written. */
  readonly runs: readonly (PageRun & {readonly pid: number})[];
  /** Where each will be. */
  readonly tables: ReadonlyMap<number, PageTable>;
}

function placed(expected: ReadonlyMap<number, readonly PageRun[]>, segment: number): ColdPages {
  const tables = new Map<number, PageTable>();
  const runs: (PageRun & {pid: number})[] = [];
  let count = 0;
  for (const [pid, wanted] of expected) {
    const table = new PageTable();
    // In order of address and without doubles.
    for (const run of PageTable.from(wanted).runs()) {
      if (count + run.count > maxPages) break;
      runs.push({...run, pid});
      table.add({page: run.page, count: run.count, segment, index: count, lazy: run.lazy});
      count += run.count;
    }
    tables.set(pid, table);
  }
  return {count, runs, tables};
}

interface ColdBody {
  readonly app: AppName;
  readonly checkpoint: Checkpoint;
  readonly keys: AppKeys;
  readonly key: string;
  readonly segment: number;
  readonly start: Buffer;
  readonly pages: ColdPages;
}

async function* body({objects}: ColdWriterOptions, cold: ColdBody): AsyncGenerator<Uint8Array, undefined> {
  const {app, checkpoint, keys, key, segment, start, pages} = cold;
  yield start;
  if (pages.count === 0) return undefined;
  const dataKey = checkpoint.manifest.sealed === null ? undefined : await keys.forWriting(app);
  await using source = new SegmentSource({objects, app, generation: checkpoint.generation, dataKey});
  const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt: newSalt(), object: coldSegmentKey(key)});
  yield* segmentBody({app, segment}, batches(source, pages), cipher);
  return undefined;
}

async function* batches(source: SegmentSource, {runs}: ColdPages): AsyncGenerator<PageBatch, undefined> {
  let pid = -1;
  let pages: number[] = [];
  let data: Buffer[] = [];
  const flush = (): PageBatch => {
    const all = Buffer.concat(data);
    const batch = {pid, pages, data: all, checksums: pages.map((_, at) => pageChecksum(all, at))};
    pages = [];
    data = [];
    return batch;
  };
  for (const run of runs) {
    for (let done = 0; done < run.count; ) {
      const page = run.page + done;
      const isNewBlock = pages.length === 0 || Math.floor(page / blockPages) !== Math.floor((pages.at(-1) ?? 0) / blockPages);
      if (pages.length > 0 && (run.pid !== pid || (isNewBlock && pages.length >= batchPages))) yield flush();
      pid = run.pid;
      const count = Math.min(run.count - done, blockPages - (page % blockPages));
      data.push(await source.read(run.segment, run.index + done, count));
      for (let at = 0; at < count; at++) pages.push(page + at);
      done += count;
    }
  }
  if (pages.length > 0) yield flush();
  return undefined;
}
