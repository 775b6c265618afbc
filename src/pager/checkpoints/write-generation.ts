/**
 * How a generation comes into the store, whatever its pages are made from: a segment, a bundle with page tables and images, and last the
 * manifest, which must be new. Each is durable before the next is begun. Whatever fails, what was written so far is removed and older
 * generations are as they were.
 */
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {faultPoint} from '../../core/fault-point.ts';
import {type AppName, type FencingToken, type Generation, generation as toGeneration} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {KnownObjects, ObjectBody, ObjectStore} from '../../store/object-store.ts';
import type {AppKeys} from './app-keys.ts';
import {readManifest} from './checkpoint.ts';
import {keysOf, numberInKey} from './checkpoint-keys.ts';
import {DamagedCheckpointError} from './damage.ts';
import {type BundleLayout, type BundleSource, bundleBody} from './image-bundle.ts';
import {type Manifest, renderManifest, rootImageIn, sealMeta} from './manifest.ts';
import type {PageTable} from './page-table.ts';
import {encodePageTable} from './page-table-codec.ts';
import {keyId, newSalt, type ObjectCipher, objectCipher} from './sealing.ts';
import {type PageBatch, segmentBody} from './segment-writer.ts';

export interface GenerationContext {
  readonly objects: ObjectStore;
  readonly log: Log | undefined;
  readonly keys: AppKeys;
}

export interface GenerationRequest {
  /** What is being done: names its fault points. */
  readonly kind: 'commit' | 'compaction';
  readonly app: AppName;
  readonly token: FencingToken;
  readonly parent: Generation | null;
  /** Somebody may believe in generations up to this one: the new one gets a higher number. */
  readonly above: Generation | null;
  /** See the manifest. It must be the newest generation then. */
  readonly copyOf: Generation | null;
  /** See the manifest. */
  readonly layers: readonly string[];
  /** Kept in the manifest; must survive JSON. */
  readonly meta: unknown;
  readonly signal: AbortSignal | undefined;
}

export interface GenerationContent {
  /** In the order that the manifest is to have. */
  readonly processes: readonly {readonly pid: number; readonly pagesId: number; readonly table: PageTable}[];
  readonly files: readonly BundleSource[];
}

export interface GenerationWriter {
  /** Of the app; undefined when it has none. */
  readonly dataKey: Uint8Array | undefined;
  /** Stores the pages as a segment of this number, unless there are none. Ends the batches also when it fails. */
  putSegment(segment: number, batches: AsyncGenerator<PageBatch, undefined>): Promise<void>;
}

export interface WrittenGeneration<T> {
  readonly generation: Generation;
  readonly bytesWritten: number;
  /** Of all processes together. */
  readonly pageCount: number;
  readonly content: T;
}

const attempts = 3;
/** More than an app can have that are newer than all of which this host knows, and are still needed. */
const unseenSegments = 1000;

/**
 * @param make writes the pages and says what the generation consists of; it is called again when another worker has taken a number
 * @throws CodedError ERR_STORE_FULL, ERR_STALE_TOKEN, ERR_WRONG_KEY, ERR_NOT_NEWEST; ObjectStoreError; whatever `make` throws
 */
export async function writeGeneration<T extends GenerationContent>(
  context: GenerationContext,
  request: GenerationRequest,
  make: (writer: GenerationWriter) => Promise<T>,
): Promise<WrittenGeneration<T>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeOnce(context, request, make);
    } catch (cause) {
      // Another worker took the number of the segment or the generation; `checkToken()` tells which of us is the older.
      if (errorCode(cause) === 'ERR_OBJECT_EXISTS' && attempt < attempts) continue;
      if (errorCode(cause) !== 'ERR_STORE_FULL') throw cause;
      throw new CodedError('ERR_STORE_FULL', `Cannot commit a checkpoint of app "${request.app}": ${errorMessage(cause)}`, {source: 'host', cause});
    }
  }
}

async function writeOnce<T extends GenerationContent>(
  context: GenerationContext,
  request: GenerationRequest,
  make: (writer: GenerationWriter) => Promise<T>,
): Promise<WrittenGeneration<T>> {
  const {objects, log} = context;
  const {kind, app, token, signal} = request;
  const dataKey = await context.keys.forWriting(app);
  const newest = await checkToken(objects, app, token);
  if (request.copyOf !== null && request.copyOf !== newest) throw notNewest(app, request.copyOf, newest);
  const generation = toGeneration(Math.max(newest, request.parent ?? 0, request.above ?? 0) + 1);
  const written = new WrittenObjects(objects, signal);
  try {
    faultPoint(`pager:${kind}:before-segment`);
    const content = await make({dataKey, putSegment: async (segment, batches) => putSegment({app, segment, dataKey, batches}, written)});
    faultPoint(`pager:${kind}:before-bundle`);
    const manifest = await putBundle(context, request, {generation, dataKey, content, written});
    await checkToken(objects, app, token);
    signal?.throwIfAborted();
    faultPoint(`pager:${kind}:before-manifest`);
    await written.put(keysOf(app).manifest(generation), renderManifest(manifest));
    faultPoint(`pager:${kind}:before-answer`);
    return {generation, bytesWritten: written.bytes, pageCount: manifest.processes.reduce((sum, {pageCount}) => sum + pageCount, 0), content};
  } catch (error) {
    for (const key of written.keys.toReversed()) {
      await objects.delete(key).catch((failure: unknown) => log?.warn({app, key, err: failure}, 'Cannot remove a part of a failed commit'));
    }
    throw error;
  }
}

/** What an attempt has put into the store, to be removed when it fails. */
class WrittenObjects {
  readonly keys: string[] = [];
  bytes = 0;
  readonly #objects: ObjectStore;
  readonly #signal: AbortSignal | undefined;

  constructor(objects: ObjectStore, signal: AbortSignal | undefined) {
    this.#objects = objects;
    this.#signal = signal;
  }

  /** @returns its size. @throws ObjectStoreError ERR_OBJECT_EXISTS, unless that may be replaced, and others */
  async put(key: string, body: ObjectBody, {ifAbsent = true}: {readonly ifAbsent?: boolean} = {}): Promise<number> {
    const sizeBytes = await this.#objects.put(key, body, {ifAbsent, signal: this.#signal});
    this.keys.push(key);
    this.bytes += sizeBytes;
    return sizeBytes;
  }
}

async function putSegment(
  {app, segment, dataKey, batches}: {app: AppName; segment: number; dataKey: Uint8Array | undefined; batches: AsyncGenerator<PageBatch, undefined>},
  written: WrittenObjects,
): Promise<void> {
  try {
    const first = await batches.next();
    if (first.done === true) return;
    const object = keysOf(app).segment(segment);
    const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt: newSalt(), object});
    await written.put(object, segmentBody({app, segment}, resumed(first.value, batches), {cipher}));
  } finally {
    await batches.return(undefined);
  }
}

async function* resumed(first: PageBatch, rest: AsyncIterable<PageBatch>): AsyncGenerator<PageBatch, undefined> {
  yield first;
  yield* rest;
  return undefined;
}

/** @returns the manifest that completes the generation */
async function putBundle(
  {objects}: GenerationContext,
  {app, token, parent, copyOf, layers, meta}: GenerationRequest,
  made: {generation: Generation; dataKey: Uint8Array | undefined; content: GenerationContent; written: WrittenObjects},
): Promise<Manifest> {
  const {generation, dataKey, written} = made;
  const {processes, files} = made.content;
  const key = keysOf(app).image(generation, token);
  const salt = newSalt();
  const cipherOf = (object: string): ObjectCipher | undefined => (dataKey === undefined ? undefined : objectCipher({dataKey, salt, object}));
  const layout: BundleLayout = {frames: [], tables: [], files: []};
  const tables = processes.map(({table}) => encodePageTable(table));
  // What may be there under our own token is left of an attempt that was killed: no manifest names it.
  const sizeBytes = await written.put(key, bundleBody({tables, files, cipher: cipherOf(key)}, layout), {ifAbsent: false});
  return {
    app,
    generation,
    token,
    parent,
    copyOf,
    createdAt: new Date().toISOString(),
    bundle: {key, sizeBytes, frames: layout.frames},
    sealed: dataKey === undefined ? null : {keyId: keyId(dataKey), salt: salt.toString('hex')},
    processes: manifestProcesses(processes, layout),
    images: layout.files,
    segments: await referredSegments(objects, app, processes),
    layers,
    rootImage: rootImageIn(meta),
    bytesWritten: written.bytes,
    meta: sealMeta(meta, cipherOf(keysOf(app).manifest(generation))),
  };
}

/**
 * @returns the number of the newest generation, 0 without any
 * @throws CodedError ERR_STALE_TOKEN when a newer owner than `token` has committed one
 */
async function checkToken(objects: ObjectStore, app: AppName, token: FencingToken): Promise<number> {
  const numbers = (await listed(objects, keysOf(app).manifests)).objects.map(({key}) => numberInKey(key) ?? 0).sort((a, b) => b - a);
  for (const number of numbers) {
    try {
      const manifest = await readManifest(objects, app, number);
      if (manifest.token <= token) break;
      const found = `token ${token} is older than ${manifest.token}, which wrote generation ${number}`;
      throw new CodedError('ERR_STALE_TOKEN', `Cannot commit a checkpoint of app "${app}": ${found}`, {source: 'host'});
    } catch (error) {
      // A damaged manifest tells no token; the one before it does. One pruned meanwhile was not the newest.
      if (!(error instanceof DamagedCheckpointError) && errorCode(error) !== 'ERR_NO_OBJECT') throw error;
    }
  }
  return numbers[0] ?? 0;
}

function notNewest(app: AppName, generation: Generation, newest: number): CodedError {
  return new CodedError('ERR_NOT_NEWEST', `Cannot compact generation ${generation} of app "${app}": the newest is ${newest}`, {source: 'host'});
}

/** A store that cannot be reached is asked for what is known of it: an app that is frozen cannot wait, and an upload finds out who came first. */
async function listed(objects: ObjectStore, prefix: string): Promise<KnownObjects> {
  return (await objects.listKnown?.(prefix)) ?? {objects: await objects.list(prefix), isComplete: true};
}

/** Numbers grow for ever: a table somewhere may still name an old one. @param referred by the generation that the new one is made from */
export async function nextSegment(objects: ObjectStore, app: AppName, referred: readonly {readonly segment: number}[]): Promise<number> {
  const {objects: stored, isComplete} = await listed(objects, keysOf(app).segments);
  const numbers = [...stored.map(({key}) => numberInKey(key) ?? 0), ...referred.map(({segment}) => segment)];
  return numbers.reduce((highest, segment) => Math.max(highest, segment), 0) + (isComplete ? 1 : unseenSegments);
}

function manifestProcesses(processes: GenerationContent['processes'], layout: BundleLayout): Manifest['processes'] {
  return processes.map(({pid, pagesId, table: {size}}, number) => {
    const table = layout.tables[number];
    if (table === undefined) throw new CodedError('ERR_ASSERTION', `The table of process ${pid} was not written`, {source: 'bug'});
    return {pid, pagesId, pageCount: size, table};
  });
}

async function referredSegments(objects: ObjectStore, app: AppName, processes: GenerationContent['processes']): Promise<Manifest['segments']> {
  const segments = new Set<number>();
  for (const {table} of processes) for (const run of table.runs()) segments.add(run.segment);
  const sorted = [...segments].sort((a, b) => a - b);
  return Promise.all(sorted.map(async (segment) => ({segment, sizeBytes: await objects.size(keysOf(app).segment(segment))})));
}
