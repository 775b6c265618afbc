/** What the pager makes of a checkpoint before CRIU can read it: loaded, checked, visible through FUSE, its page tables encoded. */
import {open} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import type {CheckpointStore} from './checkpoints/checkpoint-store.ts';
import type {PageCopies} from './checkpoints/page-copies.ts';
import {servedFromMemoryBytes} from './checkpoints/restore-images.ts';
import type {LocalSegment} from './checkpoints/segment-reader.ts';
import type {Expectation, ProcessTable} from './faults/fault-messages.ts';
import type {Fuse} from './fuse/fuse.ts';
import type {FuseFiles} from './fuse/fuse-files.ts';
import {encodedPlan} from './prediction/expectation.ts';
import type {PrefetchPlan} from './prediction/predicted-plan.ts';
import type {PredictedSets} from './prediction/predicted-set.ts';
import type {RestoreRequest} from './protocol.ts';
import {belongsTo, type ColdFetch, coldCopies, endOf} from './remote/cold-reader.ts';
import {type Forecast, lazyTables} from './served-instances.ts';

const readAheadChunkBytes = 128 * 1024;

export interface LoadedRestore extends AsyncDisposable {
  readonly checkpoint: Checkpoint;
  /** Name and path of its directory in the FUSE mount. */
  readonly directory: string;
  readonly imagesDir: string;
  readonly memoryBytes: number;
  readonly segments: readonly LocalSegment[];
  readonly copies: PageCopies | undefined;
  readonly tables: readonly ProcessTable[];
  /** Null when the predicted set cannot be read: the app wakes without, and what it touches now must not replace the set. */
  readonly forecast: Forecast | null;
}

export interface LoadedFrom {
  readonly store: CheckpointStore;
  readonly fuse: Fuse;
  readonly predicted: PredictedSets;
}

/** What was fetched for a wake that finds nothing here. */
export interface FetchedCold {
  readonly cold: ColdFetch;
  /** Makes complete local copies, for what is read from files. */
  readonly fetchAll: (checkpoint: Checkpoint) => Promise<void>;
}

/** @throws DamagedCheckpointError, ObjectStoreError; CodedError ERR_READ_LATER */
export async function loadRestore({store, fuse, predicted}: LoadedFrom, request: RestoreRequest, fetched?: FetchedCold): Promise<LoadedRestore> {
  const {instance, mode, prefetch, ahead = false} = request;
  const app = appName(request.app);
  const checkpoint = await store.load(app, request.generation);
  const cold = fetched !== undefined && belongsTo(fetched.cold, checkpoint) ? fetched.cold : undefined;
  const memoryBytes = servedFromMemoryBytes(checkpoint, mode);
  // What is checked now but read by CRIU from its file much later may be damaged by then.
  if (ahead && memoryBytes === undefined) throw readLater(request);
  if (memoryBytes === undefined) await fetched?.fetchAll(checkpoint);
  const [files, segments, forecast] = await Promise.all([
    checkpoint.images(mode, cold?.images),
    checkpoint.localSegments(),
    mode === 'eager' ? null : readForecast(predicted, checkpoint, {prefetch, ahead}),
  ]);
  const imagesDir = await fuse.add(instance, files);
  const loaded: LoadedRestore = {
    checkpoint,
    directory: instance,
    imagesDir,
    memoryBytes: memoryBytes ?? 0,
    ...withCold(checkpoint, segments, cold),
    tables: mode === 'lazy' ? lazyTables(checkpoint) : [],
    forecast,
    [Symbol.asyncDispose]: () => fuse.remove(instance),
  };
  if (!ahead) return loaded;
  await using scope = new AsyncDisposableStack();
  scope.use(loaded);
  await readAhead(imagesDir, files);
  scope.move();
  return loaded;
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

async function readForecast(
  predicted: PredictedSets,
  {app, tables}: Checkpoint,
  {prefetch: mode, ahead}: {readonly prefetch: RestoreRequest['prefetch']; readonly ahead: boolean},
): Promise<Forecast | null> {
  try {
    const prediction = await predicted.load(app);
    // All plans, of which a wake needs one: it makes that beside CRIU.
    if (ahead) await prediction.prepare({mode, processes: tables});
    return {mode, prediction};
  } catch {
    return null; // The store reports the same trouble where it matters.
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

/** Brings what is served from memory into the page cache: each page that CRIU asks for then is a request less to our thread. */
async function readAhead(imagesDir: string, files: FuseFiles): Promise<void> {
  const buffer = Buffer.allocUnsafe(readAheadChunkBytes);
  for (const [name, extents] of files) {
    await using file = await open(join(imagesDir, name));
    let position = 0;
    for (const {length, source} of extents) {
      // The others are lazy pages, which CRIU does not read.
      for (let done = 0; source.kind === 'bytes' && done < length; done += buffer.length) {
        await file.read(buffer, 0, Math.min(buffer.length, length - done), position + done);
      }
      position += length;
    }
  }
}
