/** From the question for a restore to one that CRIU can begin: its images are there, and the fault worker listens. */
import {CodedError} from '../core/errors.ts';
import {appName, type InstanceId} from '../core/ids.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import {type Keeper, stopKeeper} from './faults/parking.ts';
import {type LoadedRestore, loadRestore} from './loaded-restore.ts';
import type {Parts} from './pager-parts.ts';
import type {PreparedRestore, RestoreRequest} from './protocol.ts';
import type {ColdFetch} from './remote/cold-reader.ts';
import type {Served} from './served-instances.ts';

/** @throws DamagedCheckpointError, ObjectStoreError; CodedError ERR_READ_LATER, ERR_COLD. Nothing of it is left then */
export async function prepareRestore(parts: Parts, request: RestoreRequest): Promise<PreparedRestore> {
  // Until it is served, nobody else knows what of it is open.
  using _preparing = parts.tiering?.prepare(appName(request.app));
  const cold = await fetchForWake(parts, request);
  const reading: Promise<unknown>[] = [];
  try {
    const {answer, rest} = await prepareFrom(parts, request, cold);
    reading.push(rest);
    return answer;
  } finally {
    void Promise.allSettled(reading).then(() => cold?.[Symbol.dispose]());
  }
}

/**
 * CRIU needs its images and somebody who listens, and the sooner the better: it works beside what else there is to do.
 * @returns `rest`: when all is read that a wake needs. Never rejects
 */
async function prepareFrom(
  parts: Parts,
  request: RestoreRequest,
  cold: ColdFetch | undefined,
): Promise<{readonly answer: PreparedRestore; readonly rest: Promise<unknown>}> {
  await using scope = new AsyncDisposableStack();
  const fetchAll = async (checkpoint: Checkpoint): Promise<void> => parts.tiering?.fetchAll(checkpoint.manifest);
  const loaded = await loadRestore(parts, request, cold === undefined ? undefined : {cold, fetchAll});
  if (loaded.ready !== null) scope.use(loaded.ready);
  const [faults, images] = await Promise.allSettled([
    request.mode === 'lazy' ? prepareFaults(parts, loaded, request) : rememberEager(parts, request),
    loaded.makeImages(),
  ]);
  const keeper = faults.status === 'fulfilled' ? faults.value : null;
  if (images.status === 'fulfilled') scope.use(images.value);
  else if (keeper !== null) await forgetFaults(parts, request.instance, keeper);
  if (faults.status === 'rejected') throw faults.reason;
  if (images.status === 'rejected') throw images.reason;
  const {checkpoint, memoryBytes = 0} = loaded;
  // Not waited for: whoever mounts the files asks for those that are not here yet, and hears why they cannot be had. The forecast is needed later than they are.
  const files = parts.tiering?.fetchFiles(appName(request.app), request.generation) ?? Promise.resolve();
  const forecast = files.catch(() => undefined).then(() => loaded.forecast());
  const served: Served = {instance: request.instance, checkpoint, loaded: scope.move(), keeper, forecast, prefetch: null};
  parts.served.add(served);
  if (request.ahead !== true) {
    const goesOn = (): boolean => parts.served.find(request.instance) === served;
    void parts.tiering?.afterWake({checkpoint, cold, all: request.backgroundFetch !== false}, goesOn);
  }
  const answer = {imagesDir: images.value.directory, meta: checkpoint.meta, processes: [...checkpoint.tables.keys()], memoryBytes};
  return {answer, rest: forecast};
}

async function fetchForWake({tiering}: Parts, {app, generation, mode, prefetch, ahead}: RestoreRequest): Promise<ColdFetch | undefined> {
  if (tiering === null) return undefined;
  if (ahead !== true) return tiering.fetchForWake({app: appName(app), generation, expected: prefetch !== 'off'}, mode);
  if (await tiering.isLocal(appName(app), generation)) return undefined;
  const found = 'it is kept in the store only';
  throw new CodedError('ERR_COLD', `Cannot prepare generation ${generation} of app "${app}" ahead: ${found}`, {source: 'host'});
}

/** An eager restore has no faults, but its next checkpoint is a delta too. */
function rememberEager({files}: Parts, {instance, app, generation}: RestoreRequest): null {
  files.write({instance, app, generation, keeper: null});
  return null;
}

async function prepareFaults({faults, files, keepers}: Parts, {segments, copies, tables}: LoadedRestore, request: RestoreRequest): Promise<Keeper> {
  const {instance, app, generation, workDir} = request;
  const {keeper, ends} = keepers.take();
  try {
    files.write({instance, app, generation, keeper});
    await faults.ask({
      kind: 'prepare',
      plan: {instance, segments, copies, tables, parking: ends, journalPath: files.journalPath(instance), socketDir: workDir, readAhead: request.readAhead},
    });
    return keeper;
  } catch (error) {
    // Nothing was restored yet, so nothing depends on it. The pair is the worker's, which closes it.
    stopKeeper(keeper);
    files.remove(instance);
    throw error;
  }
}

/** Undoes `prepareFaults()`. */
async function forgetFaults({faults, files}: Parts, instance: InstanceId, keeper: Keeper): Promise<void> {
  await faults.ask({kind: 'release', instance});
  stopKeeper(keeper);
  files.remove(instance);
}
