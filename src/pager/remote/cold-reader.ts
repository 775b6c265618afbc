/**
 * Fetches the cold object of a generation: all ranges at once. The wake reads what it has of other objects from memory, and CRIU's pages too;
 * the segment of expected pages becomes a local copy that fills while CRIU is at work. Whatever fails here, the ordinary objects remain.
 */
import {crc32} from 'node:zlib';
import {errorMessage} from '../../core/errors.ts';
import {type AppName, appName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {CachedStore} from '../../store/cached-store.ts';
import type {HeldCopy} from '../../store/held-copies.ts';
import type {ByteRange} from '../../store/object-store.ts';
import type {Arrives} from '../../store/partial-file.ts';
import type {Checkpoint} from '../checkpoints/checkpoint.ts';
import {keysOf, numberInKey} from '../checkpoints/checkpoint-keys.ts';
import {parseManifest} from '../checkpoints/manifest.ts';
import {copiedPages, type PageCopies} from '../checkpoints/page-copies.ts';
import type {LocalSegment} from '../checkpoints/segment-reader.ts';
import type {ColdImages, OpenTables} from './cold-images.ts';
import {
  type ColdContents,
  type ColdLayout,
  coldContentsEnd,
  coldImagesKey,
  coldImagesNumber,
  coldSegmentKey,
  coldSegmentNumber,
  openTables,
  parseCold,
} from './cold-object.ts';

/** The beginning, without which nothing can begin, comes in smaller pieces: a stream has a speed limit. */
const startBytes = 2 * 1024 * 1024;
const startRangeBytes = 256 * 1024;
const rangeBytes = 1024 * 1024;

/** Until it is disposed, the store answers from memory what the object has copies of. */
export interface ColdFetch extends Disposable {
  readonly contents: ColdContents;
  readonly copies: ReadonlyMap<string, HeldCopy>;
  /** Undefined when there are none, or too many. */
  readonly images: ColdImages | undefined;
  /** Undefined when no page was expected, or none is wanted. */
  readonly expected: ColdExpected | undefined;
}

export interface ColdExpected {
  readonly local: Omit<LocalSegment, 'dataKey'>;
  readonly tables: OpenTables;
  /** One byte, 1 as long as it is worth reading there; shared with the fault worker. */
  readonly usable: SharedArrayBuffer;
}

export interface ColdRequest {
  readonly app: AppName;
  readonly generation: number;
  /** Whether expected pages are wanted too. */
  readonly expected: boolean;
  readonly manifestIsLocal: boolean;
}

/** @returns when all but the expected pages is there; undefined when there is no cold object, or it is of no use */
export async function fetchCold(objects: CachedStore, request: ColdRequest, log: Log): Promise<ColdFetch | undefined> {
  const {app, generation} = request;
  try {
    const newest = await newestCold(objects, app, generation);
    return newest === undefined ? undefined : await fetchObject(objects, newest, request, log);
  } catch (error) {
    log.warn({app, generation, error: errorMessage(error)}, 'the cold object cannot be used; the wake reads the others');
    return undefined;
  }
}

interface StoredCold {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Of the newest owner, whose manifest is the one that counts. */
async function newestCold(objects: CachedStore, app: AppName, generation: number): Promise<StoredCold | undefined> {
  const token = ({key}: {key: string}): number => Number(key.slice(key.lastIndexOf('-') + 1));
  const listed = await objects.list(keysOf(app).colds);
  return listed.filter(({key}) => numberInKey(key) === generation).sort((a, b) => token(b) - token(a))[0];
}

async function fetchObject(objects: CachedStore, object: StoredCold, request: ColdRequest, log: Log): Promise<ColdFetch> {
  const arrivals = new Arrivals(objects, object);
  try {
    return await readObject(objects, object, request, {arrivals, log});
  } finally {
    void arrivals.release();
  }
}

async function readObject(objects: CachedStore, object: StoredCold, request: ColdRequest, {arrivals, log}: {arrivals: Arrivals; log: Log}): Promise<ColdFetch> {
  const manifest = realManifest(objects, request);
  // Awaited below, after what comes first.
  manifest.catch(() => undefined);
  // All at once, unless only the beginning is wanted, whose length is not known yet.
  arrivals.ask(request.expected ? object.sizeBytes : startRangeBytes);
  const contentsEnd = coldContentsEnd(await arrivals.upTo(1));
  if (contentsEnd !== undefined) arrivals.ask(contentsEnd);
  const layout = contentsEnd === undefined ? undefined : parseCold(await arrivals.upTo(contentsEnd));
  if (layout?.contents.app !== request.app || layout.contents.generation !== request.generation) {
    throw new RangeError('it is not one, or of another generation');
  }
  // Its copy of the manifest would be taken for the manifest, and an owner that was overruled for the one that counts.
  const {token, copy} = await manifest;
  if (token !== layout.contents.token) throw new RangeError(`it is of token ${layout.contents.token}, the generation of token ${token}`);
  arrivals.ask(layout.partsEnd);
  const opened = request.expected ? await openExpected(objects, object, layout) : undefined;
  if (opened !== undefined) takeExpected({app: request.app, object, arrives: opened.arrives, segmentAt: layout.segmentAt, arrivals}, log);
  const {contents, partsAt, partsEnd} = layout;
  const copies = copiesOf(contents, (await arrivals.upTo(partsEnd)).subarray(partsAt, partsEnd));
  copies.set(copy.key, copy);
  // The only one that changes: what was learned since is better.
  if (await objects.isPending(keysOf(request.app).predicted)) copies.delete(keysOf(request.app).predicted);
  return {
    contents,
    copies,
    images: imagesOf(contents, object),
    expected: opened?.expected,
    [Symbol.dispose]: objects.hold([...copies.values()])[Symbol.dispose],
  };
}

/** As the store has it; not written to the disk, which somebody waits for. */
async function realManifest(objects: CachedStore, {app, generation, manifestIsLocal}: ColdRequest): Promise<{readonly token: number; readonly copy: HeldCopy}> {
  const key = keysOf(app).manifest(generation);
  // Asked for at once: everything else waits for it.
  const data = await (manifestIsLocal ? objects.get(key) : objects.getRemote(key));
  const {token, segments} = parseManifest(data, {object: key, app, generation});
  // Somebody opens them soon; now nobody waits for that. What fails, fails again then.
  for (const {segment, sizeBytes} of segments) void objects.openLocal(keysOf(app).segment(segment), sizeBytes).catch(() => undefined);
  return {token, copy: {key, position: 0, length: data.length, sizeBytes: data.length, data}};
}

function copiesOf({parts}: ColdContents, data: Buffer): Map<string, HeldCopy> {
  const found = new Map<string, HeldCopy>();
  let at = 0;
  for (const {checksum, ...part} of parts) {
    const bytes = data.subarray(at, at + part.length);
    at += part.length;
    // What is wrong here would look like damage of the object that it is a copy of.
    if (crc32(bytes) === checksum) found.set(part.key, {...part, data: bytes});
  }
  return found;
}

function imagesOf({generation, images}: ColdContents, {key}: StoredCold): ColdImages | undefined {
  return images === undefined ? undefined : {segment: coldImagesNumber(generation), object: coldImagesKey(key), tables: openTables(images, coldImagesKey(key))};
}

/** Makes local copies of the immutable objects that came as a whole, for all that comes after the wake. */
export async function keepCold(objects: CachedStore, {contents, copies}: ColdFetch): Promise<void> {
  const keys = keysOf(appName(contents.app));
  const kept = [keys.manifest(contents.generation), keys.key, keys.image(contents.generation, contents.token)];
  await Promise.all(
    kept.map(async (key) => {
      const copy = copies.get(key);
      if (copy !== undefined && copy.length === copy.sizeBytes) await objects.take(key, copy.sizeBytes, copy, Promise.resolve(copy.data));
    }),
  );
}

/** The index and footer of a segment, in memory of their own: they are sent to another thread. */
export function endOf({copies}: ColdFetch, object: string): Uint8Array | undefined {
  const copy = copies.get(object);
  if (copy === undefined || copy.position + copy.length < copy.sizeBytes) return undefined;
  return new Uint8Array(copy.data);
}

async function openExpected(
  objects: CachedStore,
  {key, sizeBytes}: StoredCold,
  layout: ColdLayout,
): Promise<{readonly expected: ColdExpected; readonly arrives: Arrives} | undefined> {
  const {app, generation, expected} = layout.contents;
  if (expected === undefined || sizeBytes <= layout.segmentAt) return undefined;
  const object = coldSegmentKey(key);
  const {path, presence, arrives} = await objects.openPart(object, {key, position: layout.segmentAt, length: sizeBytes - layout.segmentAt});
  const usable = new SharedArrayBuffer(1);
  new Uint8Array(usable).fill(1);
  const local = {app, segment: coldSegmentNumber(generation), object, generation, path, presence};
  return {expected: {local, tables: openTables(expected, object), usable}, arrives};
}

interface Taking {
  readonly app: string;
  readonly object: StoredCold;
  readonly arrives: Arrives;
  readonly segmentAt: number;
  readonly arrivals: Arrivals;
}

/** What arrives goes into the local copy, chunk by chunk. Who wants some of it knows at once that it is on its way. */
function takeExpected({app, object, arrives, segmentAt, arrivals}: Taking, log: Log): void {
  for (const {range, data} of arrivals.all) {
    if (range.position + range.length <= segmentAt) continue;
    const skipped = Math.max(0, segmentAt - range.position);
    const part = {position: range.position + skipped - segmentAt, length: range.length - skipped};
    const arrival = data.then((bytes) => bytes.subarray(skipped));
    const taken = arrives(part, arrival).catch((error: unknown) => {
      // Its pages are asked for again when they are needed.
      log.warn({app, object: object.key, error: errorMessage(error)}, 'a part of the expected pages did not arrive');
    });
    arrivals.usedBy(taken);
  }
}

interface Arrival {
  readonly range: ByteRange;
  /** To be given back. */
  readonly memory: Disposable | undefined;
  readonly data: Promise<Buffer>;
}

/** The ranges of the object that were asked for, in order. */
class Arrivals {
  readonly #objects: CachedStore;
  readonly #object: StoredCold;
  readonly #all: Arrival[] = [];
  readonly #users: Promise<unknown>[] = [];
  #askedBytes = 0;
  /** The beginning lies in one piece: parts of it are used where they are, for as long as the wake needs them. */
  readonly #start: Buffer;
  #data: Buffer = Buffer.alloc(0);
  #taken = 0;

  constructor(objects: CachedStore, object: StoredCold) {
    this.#objects = objects;
    this.#object = object;
    this.#start = Buffer.allocUnsafeSlow(Math.min(startBytes, object.sizeBytes));
  }

  get all(): readonly Arrival[] {
    return this.#all;
  }

  /** As far as it was not asked for yet. */
  ask(end: number): void {
    const {sizeBytes} = this.#object;
    while (this.#askedBytes < Math.min(end, sizeBytes)) {
      const position = this.#askedBytes;
      const isStart = position < startBytes;
      const length = Math.min(isStart ? startRangeBytes : rangeBytes, sizeBytes - position);
      const arrival = this.#receive({position, length}, isStart);
      // Each is awaited where it is needed; none may be left alone meanwhile.
      arrival.data.catch(() => undefined);
      this.#all.push(arrival);
      this.#askedBytes += length;
    }
  }

  #receive(range: ByteRange, isStart: boolean): Arrival {
    const {key} = this.#object;
    if (!isStart) return {range, ...this.#objects.receive(key, range)};
    const into = this.#start.subarray(range.position, range.position + range.length);
    const placed = (data: Buffer): Buffer => {
      if (data !== into) data.copy(into);
      return into;
    };
    return {range, memory: undefined, data: this.#objects.getRemote(key, range, into).then(placed)};
  }

  /** The beginning of the object, as far as it is needed and was asked for. */
  async upTo(end: number): Promise<Buffer> {
    const later: Buffer[] = [];
    let length = this.#data.length;
    while (length < end) {
      const next = this.#all[this.#taken++];
      if (next === undefined) throw new RangeError(`it ends at byte ${length}, ${end} are needed`);
      const data = await next.data;
      length += data.length;
      if (length > this.#start.length) later.push(data);
      else this.#data = this.#start.subarray(0, length);
    }
    if (later.length > 0) this.#data = Buffer.concat([this.#data, ...later]);
    return this.#data;
  }

  /** The memory of what arrives is needed until then. Never rejects. */
  usedBy(user: Promise<unknown>): void {
    this.#users.push(user);
  }

  /** Gives the memory back when all has arrived and is used. */
  async release(): Promise<void> {
    await Promise.allSettled([...this.#all.map(({data}) => data), ...this.#users]);
    for (const {memory} of this.#all) memory?.[Symbol.dispose]();
  }
}

/** Whether a cold object belongs to a checkpoint: another worker may have written the same generation. */
export function belongsTo({contents}: ColdFetch, {app, generation, token}: Checkpoint): boolean {
  return contents.app === app && contents.generation === generation && contents.token === token;
}

/** Where pages of the ordinary segments are in the cold one too. */
export function coldCopies({tables}: Checkpoint, {tables: cold, usable}: ColdExpected, dataKey: Uint8Array | undefined): PageCopies {
  return copiedPages(tables, cold(dataKey), usable);
}
