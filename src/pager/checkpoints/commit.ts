/** Makes a generation out of a CRIU dump: its segment has the pages that are new, the others stay where the parent has them. */
import type {AppName, FencingToken, Generation} from '../../core/ids.ts';
import type {Checkpoint} from './checkpoint.ts';
import {type Dump, type DumpedProcess, readDump} from './dump.ts';
import {type Counts, freshPages, type ParentPages} from './fresh-pages.ts';
import {fileSource} from './image-bundle.ts';
import {KnownPages} from './known-pages.ts';
import {PageTable} from './page-table.ts';
import type {SegmentIndex} from './segment.ts';
import {checkPages} from './segment-pieces.ts';
import {SegmentSource} from './segment-source.ts';
import {type GenerationContent, type GenerationContext, type GenerationWriter, nextSegment, writeGeneration} from './write-generation.ts';

export interface CommitRequest {
  readonly app: AppName;
  readonly token: FencingToken;
  /** What `criu dump` wrote; only read. */
  readonly dumpDir: string;
  /** The generation that the instance was woken from; null after a cold start. */
  readonly parent: Checkpoint | null;
  /** The new generation gets a higher number than this one, whether it exists or not; default null. */
  readonly above?: Generation | null | undefined;
  /** Per process, the pages that were never faulted in: not in the dump, they stay where they are. */
  readonly missing: ReadonlyMap<number, PageTable>;
  /** Of its files, the oldest first; default none. */
  readonly layers?: readonly string[] | undefined;
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

/** @throws CodedError ERR_STORE_FULL, ERR_STALE_TOKEN, ERR_BAD_DUMP, ERR_WRONG_KEY; DamagedCheckpointError; ObjectStoreError */
export async function commit(context: GenerationContext, request: CommitRequest): Promise<CommitResult> {
  const dump = await readDump(request.dumpDir);
  const {app, token, layers = [], meta, above = null, signal} = request;
  const parent = request.parent?.generation ?? null;
  const generation = {kind: 'commit', app, token, parent, above, copyOf: null, layers, meta, signal} as const;
  const {content, ...written} = await writeGeneration(context, generation, async (writer) => writePages(context, request, {dump, writer}));
  return {...written, ...content.counts};
}

async function writePages(
  context: GenerationContext,
  request: CommitRequest,
  {dump, writer}: {dump: Dump; writer: GenerationWriter},
): Promise<GenerationContent & {readonly counts: Counts}> {
  const {objects} = context;
  const {app, missing, signal} = request;
  await using source = new SegmentSource({objects, app, generation: request.parent?.generation, dataKey: writer.dataKey});
  const processes = dump.processes.map((process) => ({...process, table: missingPages(process, missing.get(process.pid))}));
  for (const {table} of processes) await checkPlaces(source, table);
  const tables = new Map(processes.map(({pid, table}) => [pid, table]));
  const parent = request.parent === null ? null : await parentPages(context, source, request.parent);
  const segment = await nextSegment(objects, app, request.parent?.manifest.segments ?? []);
  const counts: Counts = {newPages: 0, unchangedPages: 0, zeroPages: 0};
  await writer.putSegment(segment, freshPages({processes: dump.processes, tables, parent, segment, counts, signal}));
  return {processes, files: dump.files.map(fileSource), counts};
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

async function parentPages({log}: GenerationContext, source: SegmentSource, parent: Checkpoint): Promise<ParentPages> {
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
