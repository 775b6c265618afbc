/**
 * A restore in two steps. The first can be taken while the app sleeps: nothing of it can be seen from outside, and no
 * process of the app exists. The second makes the app run.
 */
import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {type FencingToken, type Generation, type InstanceId, type InstanceName, instanceId, newInstanceName} from '../core/ids.ts';
import type {Trigger} from '../core/trigger.ts';
import {wrongAddressError} from './app-errors.ts';
import type {BegunRestore} from './begun-restore.ts';
import {bringLayers, type GenerationMeta, type Instance, type InstanceTools, type Network, putAway, type Rest} from './instance.ts';

export interface PreparedRestore extends AsyncDisposable {
  readonly id: InstanceId;
  /** Also of the layer that the instance is going to write. */
  readonly name: InstanceName;
  readonly generation: Generation;
  /** What it keeps in memory, besides processes. */
  readonly memoryBytes: number;
  readonly criu: BegunRestore;
}

/**
 * Everything that needs neither the lease nor the app's files. Disposing undoes it, and must wait until no process of the instance is left.
 * @param options with `ahead`, the app is not needed yet
 * @throws CodedError; nothing is left of it then
 */
export async function prepareRestore(tools: InstanceTools, generation: Generation, {ahead}: {readonly ahead: boolean}): Promise<PreparedRestore> {
  const {config, container, criu, pager} = tools;
  const name = newInstanceName(Date.now());
  const id = instanceId(config.name, name);
  const workDir = join(tools.workDir, name);
  await using scope = new AsyncDisposableStack();
  scope.defer(() => rm(workDir, {recursive: true, force: true}));
  await mkdir(workDir, {recursive: true, mode: 0o700});
  // Why a restore failed is worth more than why the pager, which may have been the reason, cannot let go now.
  scope.defer(() => pager.release(id).catch(ignored));
  const {paging: mode, prefetch, readAhead, backgroundFetch} = config;
  const preparing = pager.prepareRestore({instance: id, app: config.name, generation, mode, prefetch, readAhead, workDir, ahead, backgroundFetch});
  // What is prepared ahead need not be possible, and is in no hurry: CRIU is not started in vain.
  const imagesDir = ahead ? (await preparing).imagesDir : preparing.then((images) => images.imagesDir);
  const begun = scope.use(await criu.beginRestore({imagesDir, workDir, target: container.restoreTarget(), lazy: mode === 'lazy'}));
  const images = await preparing;
  const owned = scope.move();
  return {id, name, generation, memoryBytes: images.memoryBytes, criu: begun, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

export interface Restore {
  readonly rest: Extract<Rest, {kind: 'checkpoint'}>;
  readonly token: FencingToken;
  readonly trigger: Trigger;
}

/** The app runs when this resolves, and its route is still away. @throws CodedError; nothing of it runs then, and what was prepared is undone */
export async function finishRestore(tools: InstanceTools, prepared: PreparedRestore, {rest, token, trigger}: Restore): Promise<Instance> {
  const {config, container, network} = tools;
  const {id, name} = prepared;
  try {
    checkAddress(config.name, network, rest.meta);
    await bringLayers(tools, rest.meta.layers);
    await container.mountRoot(rest.meta.layers, name, rest.meta.image);
    const pid = await run(tools, prepared, trigger);
    container.adopt(pid);
    return {id, token, pid, layers: [...rest.meta.layers, name], base: rest.generation};
  } catch (error) {
    await putAway(tools);
    await prepared[Symbol.asyncDispose]();
    throw error;
  }
}

/** A connection of another address would be dead, and a socket bound to one cannot be restored. @throws CodedError ERR_WRONG_ADDRESS */
function checkAddress(app: string, here: Network, {network: saved}: GenerationMeta): void {
  if (saved !== undefined && saved.address !== here.address) throw wrongAddressError(app, saved, here);
}

/** The pager is told beside CRIU, and is done long before it. A restore that the pager does not know any more must not be finished. */
async function run({pager}: InstanceTools, {id, criu}: PreparedRestore, trigger: Trigger): Promise<number> {
  const unknown = new AbortController();
  const expecting = pager.expect(id, trigger).catch((error: unknown) => {
    unknown.abort(error);
    throw error;
  });
  // Both are awaited even when one fails, so that nothing of them appears after it was cleaned up.
  const [restored, expected] = await Promise.allSettled([criu.finish(unknown.signal), expecting]);
  if (restored.status === 'rejected') throw restored.reason;
  if (expected.status === 'rejected') throw expected.reason;
  return restored.value.pid;
}

function ignored(): void {
  // What is left of the instance is removed with the next leftovers.
}
