/**
 * Writes the newest generation of a sleeping app again, with the live pages of several segments in one: a copy with the same content and less
 * dead weight. Pages that a wake is expected to need come first, the others in order of process and address, so that what is used together lies
 * together. Every page is checked when it is read. What of a rewritten segment is kept elsewhere is fetched, and nothing of the others but their
 * indexes.
 */
import {setImmediate as nextTurn} from 'node:timers/promises';
import {errorCode} from '../../core/errors.ts';
import type {AppName, FencingToken, Generation} from '../../core/ids.ts';
import {type Checkpoint, loadCheckpoint} from './checkpoint.ts';
import {planWithin, type RewritePlan, type SegmentUse, segmentsToRewrite} from './compaction-plan.ts';
import {pageChecksum} from './page-checksums.ts';
import {blockPages, type PageRun, PageTable, pageSizeBytes} from './page-table.ts';
import {SegmentSource} from './segment-source.ts';
import type {PageBatch} from './segment-writer.ts';
import {unlessAborted} from './unless-aborted.ts';
import {type GenerationContent, type GenerationContext, type GenerationWriter, nextSegment, writeGeneration} from './write-generation.ts';

/** Pages that are read and written together, at most. */
const batchPages = 256;
/** Entries of page tables that are changed without letting anybody else run. */
const entriesPerTurn = 4096;

export interface CompactionRequest {
  readonly app: AppName;
  readonly generation: Generation;
  readonly token: FencingToken;
  /** Pages that a wake is expected to touch, by process. */
  readonly expected?: (checkpoint: Checkpoint) => Promise<ReadonlyMap<number, readonly PageRun[]>>;
  /** See `planWithin()`; without it all that is due is rewritten. */
  readonly pagesMax?: number;
  /** Told before anything is written. */
  readonly planned?: (plan: RewritePlan) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface CompactionResult {
  readonly generation: Generation;
  readonly bytesWritten: number;
}

/** Whether `compact()` would write anything. @throws DamagedCheckpointError, ObjectStoreError; CodedError ERR_WRONG_KEY */
export async function compactionDue(context: GenerationContext, app: AppName, generation: Generation): Promise<boolean> {
  const checkpoint = await loadCheckpoint(context, app, generation);
  await using source = new SegmentSource({objects: context.objects, app, generation, dataKey: await context.keys.forWriting(app)});
  return segmentsToRewrite(await segmentUses(source, checkpoint)).size > 0;
}

/**
 * @returns null when nothing is to be gained, or the generation is not the newest (any more)
 * @throws DamagedCheckpointError, ObjectStoreError; CodedError as of `writeGeneration()`; the reason of `signal`
 */
export async function compact(context: GenerationContext, request: CompactionRequest): Promise<CompactionResult | null> {
  const {objects, keys} = context;
  const {app, generation} = request;
  const checkpoint = await loadCheckpoint(context, app, generation);
  const source = new SegmentSource({objects, app, generation, dataKey: await keys.forWriting(app)});
  try {
    return await compactFrom(context, request, {source, checkpoint});
  } finally {
    // A read of what is kept elsewhere may hang; nobody waits for it.
    void source[Symbol.asyncDispose]();
  }
}

async function compactFrom(
  context: GenerationContext,
  {app, generation, token, signal, expected: expectedOf, pagesMax = Number.POSITIVE_INFINITY, planned}: CompactionRequest,
  {source, checkpoint}: {source: SegmentSource; checkpoint: Checkpoint},
): Promise<CompactionResult | null> {
  const plan = planWithin(await unlessAborted(segmentUses(source, checkpoint), signal), pagesMax);
  const chosen = plan.segments;
  if (chosen.size === 0) return null;
  planned?.(plan);
  const expected = (await expectedOf?.(checkpoint)) ?? new Map<number, readonly PageRun[]>();
  signal?.throwIfAborted();
  const {meta, manifest} = checkpoint;
  const copy = {kind: 'compaction', app, token, parent: generation, above: null, copyOf: generation, layers: manifest.layers, meta, signal} as const;
  try {
    const written = await writeGeneration(context, copy, async (writer) => rewrite({context, checkpoint, source, chosen, expected, signal}, writer));
    return {generation: written.generation, bytesWritten: written.bytesWritten};
  } catch (error) {
    if (errorCode(error) === 'ERR_NOT_NEWEST') return null;
    throw error;
  }
}

/** What a generation uses of each of its segments. */
export async function segmentUses(source: SegmentSource, {manifest, tables}: Checkpoint): Promise<readonly SegmentUse[]> {
  const used = new Map<number, Uint8Array>();
  for (const {segment} of manifest.segments) used.set(segment, new Uint8Array((await source.open(segment)).index.pageCount));
  for (const table of tables.values()) for (const {segment, index, count} of table.runs()) used.get(segment)?.fill(1, index, index + count);
  return [...used].map(([segment, pages]) => ({segment, storedPages: pages.length, livePages: pages.reduce((sum, live) => sum + live, 0)}));
}

interface Rewriting {
  readonly context: GenerationContext;
  readonly checkpoint: Checkpoint;
  readonly source: SegmentSource;
  readonly chosen: ReadonlySet<number>;
  readonly expected: ReadonlyMap<number, readonly PageRun[]>;
  readonly signal: AbortSignal | undefined;
}

async function rewrite(rewriting: Rewriting, writer: GenerationWriter): Promise<GenerationContent> {
  const {context, checkpoint, source, chosen} = rewriting;
  const {app, manifest, tables} = checkpoint;
  const segment = await nextSegment(context.objects, app, manifest.segments);
  const moved = new MovedPages();
  for (const number of chosen) moved.add(number, (await source.open(number)).index.pageCount);
  await writer.putSegment(segment, movedPages(rewriting, moved));
  const processes: {pid: number; pagesId: number; table: PageTable}[] = [];
  for (const {pid, pagesId} of manifest.processes) {
    processes.push({pid, pagesId, table: await movedTable(tables.get(pid) ?? new PageTable(), segment, {moved, signal: rewriting.signal})});
  }
  return {processes, files: checkpoint.files()};
}

/** Where in the new segment the pages of the old ones are. A page that several addresses share is written once. */
class MovedPages {
  readonly #indexes = new Map<number, Int32Array>();
  #next = 0;

  add(segment: number, pageCount: number): void {
    this.#indexes.set(segment, new Int32Array(pageCount).fill(-1));
  }

  has(segment: number): boolean {
    return this.#indexes.has(segment);
  }

  /** Gives it the next place, unless it has one. */
  take(segment: number, index: number): boolean {
    const indexes = this.#indexes.get(segment);
    if (indexes?.[index] !== -1) return false;
    indexes[index] = this.#next++;
    return true;
  }

  /** Undefined when it stays where it is. */
  find(segment: number, index: number): number | undefined {
    return this.#indexes.get(segment)?.[index];
  }
}

interface Plan {
  readonly pid: number;
  readonly pages: number[];
  /** Where each is, as few runs as possible. */
  readonly runs: {readonly segment: number; readonly index: number; count: number}[];
}

async function* movedPages(rewriting: Rewriting, moved: MovedPages): AsyncGenerator<PageBatch, undefined> {
  for (const {pid, pages, runs} of plans(rewriting, moved)) {
    rewriting.signal?.throwIfAborted();
    const data = Buffer.allocUnsafeSlow(pages.length * pageSizeBytes);
    let filled = 0;
    for (const {segment, index, count} of runs) {
      const read = rewriting.source.read(segment, index, count);
      filled += (await unlessAborted(read, rewriting.signal)).copy(data, filled);
    }
    yield {pid, pages, data, checksums: pages.map((_, at) => pageChecksum(data, at))};
  }
  return undefined;
}

/** The pages in the order in which they are written, each once. */
function* plans(rewriting: Rewriting, moved: MovedPages): Generator<Plan, undefined> {
  for (const {pid, runs} of runsInOrder(rewriting)) {
    let plan: Plan = {pid, pages: [], runs: []};
    for (const run of runs) {
      if (!moved.has(run.segment)) continue;
      for (let number = 0; number < run.count; number++) {
        const [page, index] = [run.page + number, run.index + number];
        if (!moved.take(run.segment, index)) continue;
        const isNewBlock = Math.floor(page / blockPages) !== Math.floor((plan.pages.at(-1) ?? page) / blockPages);
        if (isNewBlock && plan.pages.length > batchPages - blockPages) {
          yield plan;
          plan = {pid, pages: [], runs: []};
        }
        plan.pages.push(page);
        const last = plan.runs.at(-1);
        if (last?.segment === run.segment && last.index + last.count === index) last.count++;
        else plan.runs.push({segment: run.segment, index, count: 1});
      }
    }
    if (plan.pages.length > 0) yield plan;
  }
  return undefined;
}

function* runsInOrder({checkpoint, expected}: Rewriting): Generator<{pid: number; runs: Iterable<PageRun>}, undefined> {
  const {manifest, tables} = checkpoint;
  for (const {pid} of manifest.processes) {
    const table = tables.get(pid);
    if (table !== undefined) yield {pid, runs: clipped(table, PageTable.from(expected.get(pid) ?? []))};
  }
  for (const {pid} of manifest.processes) yield {pid, runs: tables.get(pid)?.runs() ?? []};
  return undefined;
}

/** What of a table is at the addresses of another one. */
function* clipped(table: PageTable, wanted: PageTable): Generator<PageRun, undefined> {
  for (const {page, count} of wanted.runs()) yield* table.runsIn(page, count);
  return undefined;
}

async function movedTable(table: PageTable, segment: number, {moved, signal}: {moved: MovedPages; signal: AbortSignal | undefined}): Promise<PageTable> {
  const changed = table.clone();
  let entries = 0;
  for (const run of table.runs()) {
    if (!moved.has(run.segment)) continue;
    for (let number = 0; number < run.count; number++) {
      const index = moved.find(run.segment, run.index + number);
      if (index !== undefined) changed.add({page: run.page + number, count: 1, segment, index, lazy: run.lazy});
      if (++entries % entriesPerTurn !== 0) continue;
      await nextTurn();
      signal?.throwIfAborted();
    }
  }
  return changed;
}
