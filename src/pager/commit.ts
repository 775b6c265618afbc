/**
 * Makes a generation out of a CRIU dump: one new segment with the pages that are new, a bundle with page tables and images, and last the
 * manifest, which must be new. Each is durable before the next is begun. Whatever fails, what was written so far is removed and older
 * generations are as they were.
 */
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {type AppName, type FencingToken, type Generation, generation as toGeneration} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {ObjectBody, ObjectStore} from '../store/object-store.ts';
import type {AppKeys} from './app-keys.ts';
import {type Checkpoint, readManifest} from './checkpoint.ts';
import {keysOf, numberInKey} from './checkpoint-keys.ts';
import {DamagedCheckpointError} from './damage.ts';
import {type Dump, type DumpedProcess, readDump} from './dump.ts';
import {type Counts, freshPages, type ParentPages} from './fresh-pages.ts';
import {type BundleLayout, bundleBody} from './image-bundle.ts';
import {KnownPages} from './known-pages.ts';
import {type Manifest, renderManifest, sealMeta} from './manifest.ts';
import {PageTable} from './page-table.ts';
import {encodePageTable} from './page-table-codec.ts';
import {keyId, newSalt, type ObjectCipher, objectCipher} from './sealing.ts';
import type {SegmentIndex} from './segment.ts';
import {checkPages} from './segment-pieces.ts';
import {SegmentSource} from './segment-source.ts';
import {type PageBatch, segmentBody} from './segment-writer.ts';

export interface CommitRequest {
  readonly app: AppName;
  readonly token: FencingToken;
  /** What `criu dump` wrote; only read. */
  readonly dumpDir: string;
  /** The generation that the instance was woken from; null after a cold start. */
  readonly parent: Checkpoint | null;
  /** Per process, the pages that were never faulted in: not in the dump, they stay where they are. */
  readonly missing: ReadonlyMap<number, PageTable>;
  /** Kept in the manifest; must survive JSON. */
  readonly meta: unknown;
  readonly signal?: AbortSignal | undefined;
}

export interface CommitResult extends Readonly<Counts> {
  readonly generation: Generation;
  readonly bytesWritten: number;
  /** Of all processes together. */
  readonly pageCount: number;
}

export interface CommitContext {
  readonly objects: ObjectStore;
  readonly log: Log | undefined;
  readonly keys: AppKeys;
}

const attempts = 3;

/** @throws CodedError ERR_STORE_FULL, ERR_STALE_TOKEN, ERR_BAD_DUMP, ERR_WRONG_KEY; DamagedCheckpointError; ObjectStoreError */
export async function commit(context: CommitContext, request: CommitRequest): Promise<CommitResult> {
  const dump = await readDump(request.dumpDir);
  for (let attempt = 1; ; attempt++) {
    try {
      return await commitOnce(context, request, dump);
    } catch (cause) {
      // Another worker took the number of the segment or the generation; `checkToken()` tells which of us is the older.
      if (errorCode(cause) === 'ERR_OBJECT_EXISTS' && attempt < attempts) continue;
      if (errorCode(cause) !== 'ERR_STORE_FULL') throw cause;
      throw new CodedError('ERR_STORE_FULL', `Cannot commit a checkpoint of app "${request.app}": ${errorMessage(cause)}`, {source: 'host', cause});
    }
  }
}

/** What an attempt has put into the store, to be removed when it fails. */
interface Written {
  readonly keys: string[];
  bytes: number;
}

async function commitOnce(context: CommitContext, request: CommitRequest, dump: Dump): Promise<CommitResult> {
  const {objects} = context;
  const {app, token, parent, signal} = request;
  const dataKey = await context.keys.forWriting(app);
  const newest = await checkToken(objects, app, token);
  const generation = toGeneration(newest + 1);
  const written: Written = {keys: [], bytes: 0};
  const put = async (key: string, body: ObjectBody): Promise<number> => {
    const sizeBytes = await objects.put(key, body, {ifAbsent: true, signal});
    written.keys.push(key);
    written.bytes += sizeBytes;
    return sizeBytes;
  };
  try {
    faultPoint('pager:commit:before-segment');
    const {tables, counts} = await writePages(context, request, {dump, put, dataKey});
    faultPoint('pager:commit:before-bundle');
    const names = {bundle: keysOf(app).image(generation, token), manifest: keysOf(app).manifest(generation)};
    const salt = newSalt();
    const cipherOf = (object: string): ObjectCipher | undefined => (dataKey === undefined ? undefined : objectCipher({dataKey, salt, object}));
    const layout: BundleLayout = {frames: [], tables: [], files: []};
    const encodedTables = dump.processes.map(({pid}) => encodePageTable(tableOf(tables, pid)));
    const sizeBytes = await put(names.bundle, bundleBody({tables: encodedTables, files: dump.files, cipher: cipherOf(names.bundle)}, layout));
    const manifest: Manifest = {
      app,
      generation,
      token,
      parent: parent?.generation ?? null,
      createdAt: new Date().toISOString(),
      bundle: {key: names.bundle, sizeBytes, frames: layout.frames},
      sealed: dataKey === undefined ? null : {keyId: keyId(dataKey), salt: salt.toString('hex')},
      processes: manifestProcesses(dump, tables, layout),
      images: layout.files,
      segments: await referredSegments(objects, app, tables),
      bytesWritten: written.bytes,
      meta: sealMeta(request.meta, cipherOf(names.manifest)),
    };
    await checkToken(objects, app, token);
    faultPoint('pager:commit:before-manifest');
    await put(names.manifest, renderManifest(manifest));
    faultPoint('pager:commit:before-answer');
    return {generation, bytesWritten: written.bytes, pageCount: manifest.processes.reduce((sum, {pageCount}) => sum + pageCount, 0), ...counts};
  } catch (error) {
    for (const key of written.keys.reverse()) {
      await objects.delete(key).catch((failure: unknown) => context.log?.warn({app, key, err: failure}, 'Cannot remove a part of a failed commit'));
    }
    throw error;
  }
}

/**
 * @returns the number of the newest generation, 0 without any
 * @throws CodedError ERR_STALE_TOKEN when a newer owner than `token` has committed one
 */
async function checkToken(objects: ObjectStore, app: AppName, token: FencingToken): Promise<number> {
  const numbers = (await objects.list(keysOf(app).manifests)).map(({key}) => numberInKey(key) ?? 0).sort((a, b) => b - a);
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

async function writePages(
  context: CommitContext,
  request: CommitRequest,
  {dump, put, dataKey}: {dump: Dump; put: (key: string, body: ObjectBody) => Promise<number>; dataKey: Uint8Array | undefined},
): Promise<{tables: ReadonlyMap<number, PageTable>; counts: Counts}> {
  const {objects} = context;
  const {app, missing, signal} = request;
  await using source = new SegmentSource({objects, app, generation: request.parent?.generation, dataKey});
  const tables = new Map(dump.processes.map((process) => [process.pid, missingPages(process, missing.get(process.pid))]));
  for (const table of tables.values()) await checkPlaces(source, table);
  const parent = request.parent === null ? null : await parentPages(context, source, request.parent);
  const segment = await nextSegment(objects, app, request.parent);
  const counts: Counts = {newPages: 0, unchangedPages: 0, zeroPages: 0};
  const batches = freshPages({processes: dump.processes, tables, parent, segment, counts, signal});
  try {
    const first = await batches.next();
    if (first.done !== true) {
      const object = keysOf(app).segment(segment);
      const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt: newSalt(), object});
      await put(object, segmentBody({app, segment}, resumed(first.value, batches), cipher));
    }
  } finally {
    await batches.return(undefined);
  }
  return {tables, counts};
}

async function* resumed(first: PageBatch, rest: AsyncIterable<PageBatch>): AsyncGenerator<PageBatch, undefined> {
  yield first;
  yield* rest;
  return undefined;
}

/** What was missing and can still be touched: only a lazy mapping has missing pages, so one that lies elsewhere by now was unmapped. */
function missingPages(process: DumpedProcess, missing: PageTable | undefined): PageTable {
  const table = new PageTable();
  for (const mapping of process.mappings) {
    if (!mapping.lazy || missing === undefined) continue;
    for (const run of missing.runsIn(mapping.firstPage, mapping.endPage - mapping.firstPage)) table.add({...run, lazy: true});
  }
  return table;
}

/** A checkpoint that refers to pages which are not there would be found out at a wake, when it is too late. */
async function checkPlaces(source: SegmentSource, table: PageTable): Promise<void> {
  const segments = await source.openAll(table.runs());
  for (const {segment, index, count} of table.runs()) {
    const opened = segments.get(segment);
    if (opened !== undefined) checkPages(opened.place, opened.index, index, count);
  }
}

async function parentPages({log}: CommitContext, source: SegmentSource, parent: Checkpoint): Promise<ParentPages> {
  const indexes = new Map<number, SegmentIndex>();
  for (const {segment} of parent.manifest.segments) {
    try {
      indexes.set(segment, (await source.open(segment)).index);
    } catch (error) {
      log?.warn({app: parent.app, generation: parent.generation, err: error}, 'Cannot compare with a segment; its pages are written again');
    }
  }
  return {tables: parent.tables, source, indexes, known: new KnownPages(indexes)};
}

/** Numbers grow for ever: a table somewhere may still name an old one. */
async function nextSegment(objects: ObjectStore, app: AppName, parent: Checkpoint | null): Promise<number> {
  const stored = (await objects.list(keysOf(app).segments)).map(({key}) => numberInKey(key) ?? 0);
  const referred = parent?.manifest.segments.map(({segment}) => segment) ?? [];
  return [...stored, ...referred].reduce((highest, segment) => Math.max(highest, segment), 0) + 1;
}

function tableOf(tables: ReadonlyMap<number, PageTable>, pid: number): PageTable {
  return tables.get(pid) ?? new PageTable();
}

function manifestProcesses(dump: Dump, tables: ReadonlyMap<number, PageTable>, layout: BundleLayout): Manifest['processes'] {
  return dump.processes.map(({pid, pagesId}, number) => {
    const table = layout.tables[number];
    if (table === undefined) throw new CodedError('ERR_ASSERTION', `The table of process ${pid} was not written`, {source: 'bug'});
    return {pid, pagesId, pageCount: tableOf(tables, pid).size, table};
  });
}

async function referredSegments(objects: ObjectStore, app: AppName, tables: ReadonlyMap<number, PageTable>): Promise<Manifest['segments']> {
  const segments = new Set<number>();
  for (const table of tables.values()) for (const run of table.runs()) segments.add(run.segment);
  const sorted = [...segments].sort((a, b) => a - b);
  return Promise.all(sorted.map(async (segment) => ({segment, sizeBytes: await objects.size(keysOf(app).segment(segment))})));
}
