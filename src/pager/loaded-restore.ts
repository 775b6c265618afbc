/** What the pager makes of a checkpoint before CRIU can read it: loaded, checked, visible through FUSE, its page tables encoded. */
import {join} from 'node:path';
import {CodedError, errorMessage} from '../core/errors.ts';
import {appName, type InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {ObjectStore} from '../store/object-store.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import type {CheckpointStore} from './checkpoints/checkpoint-store.ts';
import type {PageCopies} from './checkpoints/page-copies.ts';
import type {PageRun} from './checkpoints/page-table.ts';
import {servedFromMemoryBytes} from './checkpoints/restore-images.ts';
import type {LocalSegment} from './checkpoints/segment-reader.ts';
import type {Expectation, ProcessTable} from './faults/fault-messages.ts';
import type {Fuse} from './fuse/fuse.ts';
import type {FuseFiles} from './fuse/fuse-files.ts';
import {type ImageFiles, writeImages} from './image-files.ts';
import {encodedPlan} from './prediction/expectation.ts';
import type {PrefetchPlan} from './prediction/predicted-plan.ts';
import type {PredictedSets} from './prediction/predicted-set.ts';
import type {RestoreRequest} from './protocol.ts';
import {layOut, type ReadyPages} from './ready-pages.ts';
import {belongsTo, type ColdFetch, coldCopies, endOf} from './remote/cold-reader.ts';
import {type Forecast, lazyTables} from './served-instances.ts';

/** Not to be kept longer than it is needed: it holds all that was read of the checkpoint. */
export interface LoadedRestore {
  readonly checkpoint: Checkpoint;
  /** What CRIU reads, if all of it is kept in memory. */
  readonly memoryBytes: number | undefined;
  readonly segments: readonly LocalSegment[];
  readonly copies: PageCopies | undefined;
  readonly tables: readonly ProcessTable[];
  /** What was laid out for it; to be disposed when the fault worker serves it no more. */
  readonly ready: AsyncDisposable | null;
  /** For CRIU. Disposing takes them away: not before it has ended. @throws DamagedCheckpointError, ObjectStoreError */
  makeImages(): Promise<ImageFiles>;
  /** Null when the predicted set cannot be read: the app wakes without, and what it touches now must not replace the set. */
  forecast(): Promise<Forecast | null>;
}

export interface LoadedFrom {
  readonly objects: ObjectStore;
  readonly store: CheckpointStore;
  readonly fuse: Fuse;
  readonly predicted: PredictedSets;
  /** Where the pages of wakes that are prepared are laid out. */
  readonly readyDir: string;
  readonly log: Log;
}

/** What was fetched for a wake that finds nothing here. */
export interface FetchedCold {
  readonly cold: ColdFetch;
  /** Makes complete local copies, for what is read from files. */
  readonly fetchAll: (checkpoint: Checkpoint) => Promise<void>;
}

/** @throws DamagedCheckpointError, ObjectStoreError; CodedError ERR_READ_LATER */
export async function loadRestore(from: LoadedFrom, request: RestoreRequest, fetched?: FetchedCold): Promise<LoadedRestore> {
  const {store, fuse, predicted} = from;
  const {instance, mode, prefetch, workDir, ahead = false} = request;
  const app = appName(request.app);
  const checkpoint = await store.load(app, request.generation);
  const cold = fetched !== undefined && belongsTo(fetched.cold, checkpoint) ? fetched.cold : undefined;
  const memoryBytes = servedFromMemoryBytes(checkpoint, mode);
  // What is checked now but read by CRIU from its file much later may be damaged by then.
  if (ahead && memoryBytes === undefined) throw readLater(request);
  if (memoryBytes === undefined) await fetched?.fetchAll(checkpoint);
  const segments = await checkpoint.localSegments();
  const readOutlook = async (): Promise<Outlook | null> => (mode === 'eager' ? null : readForecast(predicted, checkpoint, {prefetch, ahead}));
  // All plans, of which a wake needs one: it makes that beside CRIU.
  const outlook = ahead ? await readOutlook() : undefined;
  const ready = outlook === undefined || outlook === null ? null : await layOutReady(from, {checkpoint, segments, expected: outlook.expected});
  return {
    checkpoint,
    memoryBytes,
    ready,
    ...withCopies(checkpoint, segments, {cold, ready}),
    tables: mode === 'lazy' ? lazyTables(checkpoint) : [],
    async makeImages() {
      const files = await checkpoint.images(mode, cold?.images);
      return memoryBytes === undefined ? serveImages(fuse, instance, files) : writeImages(join(workDir, 'images'), files);
    },
    forecast: async () => (outlook === undefined ? await readOutlook() : outlook)?.forecast ?? null,
  };
}

async function serveImages(fuse: Fuse, instance: InstanceId, files: FuseFiles): Promise<ImageFiles> {
  return {directory: await fuse.add(instance, files), [Symbol.asyncDispose]: async () => fuse.remove(instance)};
}

/** What was fetched for a wake that finds nothing here is not there for one that is prepared. */
interface Copies {
  readonly cold: ColdFetch | undefined;
  readonly ready: ReadyPages | null;
}

function withCopies(checkpoint: Checkpoint, segments: readonly LocalSegment[], {cold, ready}: Copies): Pick<LoadedRestore, 'segments' | 'copies'> {
  return ready === null ? withCold(checkpoint, segments, cold) : {segments: [...segments, ready.local], copies: ready.copies};
}

/** The segments with what the cold object knows of them, and its own, whose data key is that of the others. */
function withCold(checkpoint: Checkpoint, segments: readonly LocalSegment[], cold: ColdFetch | undefined): Pick<LoadedRestore, 'segments' | 'copies'> {
  if (cold === undefined) return {segments, copies: undefined};
  const {expected} = cold;
  const known = segments.map((segment) => ({...segment, end: endOf(cold, segment.object)}));
  if (expected === undefined) return {segments: known, copies: undefined};
  const dataKey = segments[0]?.dataKey;
  return {segments: [...known, {...expected.local, dataKey}], copies: coldCopies(checkpoint, expected, dataKey)};
}

interface Outlook {
  readonly forecast: Forecast;
  /** The pages of plans that were made ahead, by process. */
  readonly expected: ReadonlyMap<number, readonly PageRun[]>;
}

async function readForecast(
  predicted: PredictedSets,
  {app, tables}: Checkpoint,
  {prefetch: mode, ahead}: {readonly prefetch: RestoreRequest['prefetch']; readonly ahead: boolean},
): Promise<Outlook | null> {
  try {
    const prediction = await predicted.load(app);
    const expected = ahead ? await prediction.prepare({mode, processes: tables}) : new Map<number, readonly PageRun[]>();
    return {forecast: {mode, prediction}, expected};
  } catch {
    return null; // The store reports the same trouble where it matters.
  }
}

interface ToLayOut {
  readonly checkpoint: Checkpoint;
  readonly segments: readonly LocalSegment[];
  readonly expected: ReadonlyMap<number, readonly PageRun[]>;
}

/** Only a gain in time: without, the pages are read where they are stored. */
async function layOutReady({objects, readyDir, log}: LoadedFrom, {checkpoint, segments, expected}: ToLayOut): Promise<ReadyPages | null> {
  try {
    return (await layOut({objects, checkpoint, dataKey: segments[0]?.dataKey, expected, directory: readyDir})) ?? null;
  } catch (error) {
    log.warn({app: checkpoint.app, error: errorMessage(error)}, 'the pages that are expected cannot be laid out for the next wake');
    return null;
  }
}

function readLater({app, generation}: RestoreRequest): CodedError {
  const found = 'CRIU would read more of it than is kept in memory';
  return new CodedError('ERR_READ_LATER', `Cannot prepare generation ${generation} of app "${app}" ahead: ${found}`, {source: 'host'});
}

/** What the fault worker is to be told of a plan: quick for one that was made ahead. */
export function expectationOf(plan: PrefetchPlan): Expectation {
  return plan.expectation ?? encodedPlan(plan);
}
