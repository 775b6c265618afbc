/**
 * Fetches the cold object of a generation: all ranges at once. What it has of other objects is put into their local copies, so that the wake
 * finds them there; its segment becomes a local copy that fills while CRIU is at work. Whatever fails here, the ordinary objects remain.
 */
import {crc32} from 'node:zlib';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {CachedStore} from '../store/cached-store.ts';
import type {ByteRange} from '../store/object-store.ts';
import type {Checkpoint} from './checkpoint.ts';
import {keysOf, numberInKey} from './checkpoint-keys.ts';
import {type ColdContents, type ColdLayout, type ColdPart, coldContentsEnd, coldSegmentKey, parseCold} from './cold-object.ts';
import {type PageRun, PageTable} from './page-table.ts';
import {decodePageTable} from './page-table-codec.ts';
import type {PrefetchPlan} from './predicted-plan.ts';
import type {LocalSegment} from './segment-reader.ts';

const rangeBytes = 1024 * 1024;

export interface ColdSegment {
  readonly local: LocalSegment;
  /** Where the expected pages are in it, by process. */
  readonly tables: ReadonlyMap<number, PageTable>;
}

export interface ColdFetch {
  readonly contents: ColdContents;
  /** Undefined when no page was expected. */
  readonly segment: (Omit<ColdSegment, 'local'> & {readonly local: Omit<LocalSegment, 'dataKey'>}) | undefined;
}

/** @returns when all but the segment is there; undefined when there is no cold object, or it is of no use */
export async function fetchCold(objects: CachedStore, app: AppName, generation: number, log: Log): Promise<ColdFetch | undefined> {
  try {
    const newest = await newestCold(objects, app, generation);
    return newest === undefined ? undefined : await fetchObject(objects, newest, {app, generation, log});
  } catch (error) {
    log.warn({app, generation, error: errorMessage(error)}, 'the cold object cannot be used; the wake reads the others');
    return undefined;
  }
}

/** Of the newest owner, whose manifest is the one that counts. */
async function newestCold(objects: CachedStore, app: AppName, generation: number): Promise<{key: string; sizeBytes: number} | undefined> {
  const token = ({key}: {key: string}): number => Number(key.slice(key.lastIndexOf('-') + 1));
  const listed = await objects.list(keysOf(app).colds);
  return listed.filter(({key}) => numberInKey(key) === generation).sort((a, b) => token(b) - token(a))[0];
}

interface Wake {
  readonly app: AppName;
  readonly generation: number;
  readonly log: Log;
}

async function fetchObject(objects: CachedStore, object: {key: string; sizeBytes: number}, wake: Wake): Promise<ColdFetch | undefined> {
  const {key, sizeBytes} = object;
  const ranges = rangesOf(sizeBytes).map((range) => ({range, arrival: objects.getRemote(key, range)}));
  // Each is awaited where it is needed; none may be left alone meanwhile.
  for (const {arrival} of ranges) arrival.catch(() => undefined);
  const start = new Start(ranges.map(({arrival}) => arrival));
  const contentsEnd = coldContentsEnd(await start.upTo(1));
  const layout = contentsEnd === undefined ? undefined : parseCold(await start.upTo(contentsEnd));
  if (layout?.contents.app !== wake.app || layout.contents.generation !== wake.generation) {
    throw new RangeError('it is not one, or of another generation');
  }
  const segment = await openSegment(objects, object, layout, wake);
  for (const {range, arrival} of ranges) {
    if (segment === undefined || range.position + range.length <= layout.segmentAt) continue;
    const position = Math.max(0, range.position - layout.segmentAt);
    const skipped = Math.max(0, layout.segmentAt - range.position);
    const part = {position, length: range.length - skipped};
    objects
      .take(
        segment.local.object,
        sizeBytes - layout.segmentAt,
        part,
        arrival.then((data) => data.subarray(skipped)),
      )
      .catch((error: unknown) => {
        // Its pages are asked for again when they are needed.
        wake.log.warn({app: wake.app, object: key, error: errorMessage(error)}, 'a part of the expected pages did not arrive');
      });
  }
  await takeParts(objects, layout, await start.upTo(Math.min(layout.segmentAt, sizeBytes)));
  return {contents: layout.contents, segment};
}

async function openSegment(
  objects: CachedStore,
  {key, sizeBytes}: {key: string; sizeBytes: number},
  layout: ColdLayout,
  wake: Wake,
): Promise<ColdFetch['segment']> {
  const {segment, tables} = layout.contents;
  if (segment === undefined || sizeBytes <= layout.segmentAt) return undefined;
  const local = coldSegmentKey(key);
  const {path, presence} = await objects.openPart(local, {key, position: layout.segmentAt, length: sizeBytes - layout.segmentAt});
  return {
    local: {app: wake.app, segment, object: local, generation: wake.generation, path, presence},
    tables: new Map(tables.map(({vpid, table}) => [vpid, decodePageTable(Buffer.from(table, 'base64'))])),
  };
}

async function takeParts(objects: CachedStore, {contents, partsAt}: ColdLayout, data: Buffer): Promise<void> {
  let at = partsAt;
  const taken: Promise<void>[] = [];
  for (const part of contents.parts) {
    const bytes = data.subarray(at, at + part.length);
    at += part.length;
    // What is wrong here would look like damage of the object that it is a copy of.
    if (crc32(bytes) === part.checksum) taken.push(takePart(objects, part, bytes));
  }
  await Promise.all(taken);
}

async function takePart(objects: CachedStore, {key, sizeBytes, position, length}: ColdPart, bytes: Buffer): Promise<void> {
  await objects.take(key, sizeBytes, {position, length}, Promise.resolve(bytes));
}

function rangesOf(sizeBytes: number): readonly ByteRange[] {
  const count = Math.ceil(sizeBytes / rangeBytes);
  return Array.from({length: count}, (_, at) => ({position: at * rangeBytes, length: Math.min(rangeBytes, sizeBytes - at * rangeBytes)}));
}

/** The beginning of the object, as far as it is needed. */
class Start {
  readonly #arrivals: readonly Promise<Buffer>[];
  #data: Buffer = Buffer.alloc(0);
  #taken = 0;

  constructor(arrivals: readonly Promise<Buffer>[]) {
    this.#arrivals = arrivals;
  }

  async upTo(end: number): Promise<Buffer> {
    while (this.#data.length < end) {
      const next = this.#arrivals[this.#taken++];
      if (next === undefined) throw new RangeError(`it ends at byte ${this.#data.length}, ${end} are needed`);
      const data = await next;
      this.#data = this.#data.length === 0 ? data : Buffer.concat([this.#data, data]);
    }
    return this.#data;
  }
}

/** Where pages of a checkpoint are in a cold object, if that belongs to it: another worker may have written the same generation. */
export function coldTables({app, generation, token}: Checkpoint, cold: ColdFetch | undefined): ReadonlyMap<number, PageTable> | undefined {
  if (cold?.contents.app !== app || cold.contents.generation !== generation || cold.contents.token !== token) return undefined;
  return cold.segment?.tables;
}

/** The same plan, reading what the cold segment has from there. */
export function withColdSegment(plan: PrefetchPlan, tables: ReadonlyMap<number, PageTable>): PrefetchPlan {
  const install = new Map([...plan.install].map(([vpid, runs]) => [vpid, redirected(runs, tables.get(vpid))] as const));
  return {...plan, install};
}

function redirected(runs: readonly PageRun[], table: PageTable | undefined): readonly PageRun[] {
  if (table === undefined) return runs;
  const merged = PageTable.from(runs);
  for (const {page, count, lazy} of runs) for (const run of table.runsIn(page, count)) merged.add({...run, lazy});
  return [...merged.runs()];
}
