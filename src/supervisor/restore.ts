/**
 * A restore in two steps. The first can be taken while the app sleeps: nothing of it can be seen from outside, and nothing of the app's own exists. The
 * second makes the app run.
 */
import {mkdirSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import {faultPoint} from '../core/fault-point.ts';
import {type FencingToken, type Generation, type InstanceId, type InstanceName, instanceId, newInstanceName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {wrongAddressError} from './app-errors.ts';
import type {BegunRestore} from './begun-restore.ts';
import {rootImageOf} from './image-settings.ts';
import {goInside, type Inside} from './inside.ts';
import {bringLayers, type GenerationMeta, type Instance, type InstanceTools, type Network, putAway, type Rest} from './instance.ts';
import {waitUntilReady} from './ready.ts';
import {changedImages, setForward} from './timers/set-forward.ts';
import type {WakeTimes} from './wake-times.ts';

export interface PreparedRestore extends AsyncDisposable {
  readonly id: InstanceId;
  /** Also of the layer that the instance is going to write. */
  readonly name: InstanceName;
  readonly generation: Generation;
  /** What the generation was committed with. */
  readonly meta: unknown;
  /** What it keeps in memory, besides processes. */
  readonly memoryBytes: number;
  readonly criu: BegunRestore;
  readonly imagesDir: string;
  /** The layers of its files are on their way here. */
  readonly bringing: Promise<void>;
  /** The app's root is mounted, and its namespaces are there. Null: only what needs neither the lease nor the app's files is done. */
  readonly inside: Inside | null;
}

export interface Ahead {
  readonly name: InstanceName;
  /** What the app starts from; null: not known yet, or not to be touched. */
  readonly meta: GenerationMeta | null;
}

export interface From {
  readonly generation: Generation;
  /** Of its files, those that are to be here when CRIU has begun. */
  readonly layers: readonly string[];
}

/**
 * Disposing what is prepared undoes it, and must wait until no process of the instance is left.
 * @param ahead null: the app is needed now
 * @throws CodedError; nothing is left of it then
 */
export async function prepareRestore(tools: InstanceTools, {generation, layers}: From, ahead: Ahead | null): Promise<PreparedRestore> {
  const {config, container, criu, network, pager} = tools;
  const name = ahead?.name ?? newInstanceName(Date.now());
  const id = instanceId(config.name, name);
  const workDir = join(tools.workDir, name);
  await using scope = new AsyncDisposableStack();
  scope.defer(() => rm(workDir, {recursive: true, force: true}));
  // At once: a thread takes longer to be woken for it.
  mkdirSync(workDir, {recursive: true, mode: 0o700});
  const {paging: mode, prefetch, readAhead, backgroundFetch} = config;
  const preparing = pager.prepareRestore({
    instance: id,
    app: config.name,
    generation,
    mode,
    prefetch,
    readAhead,
    workDir,
    ahead: ahead !== null,
    backgroundFetch,
  });
  scope.defer(async () => {
    await preparing.catch(ignored);
    // Why a restore failed is worth more than why the pager, which may have been the reason, cannot let go now.
    await pager.release(id).catch(ignored);
  });
  // What is prepared ahead need not be possible, and is in no hurry: nothing is made in vain.
  if (ahead !== null) await preparing;
  const imagesDir = preparing.then((images) => images.imagesDir);
  imagesDir.catch(ignored); // Awaited below, after what is done meanwhile.
  const bringing = preparing.then(() => bringLayers(tools, layers));
  bringing.catch(ignored); // Awaited by whoever mounts the root.
  await Promise.all([network.prepare(), container.prepare()]);
  // Undone when CRIU has ended.
  const undo = scope.use(new AsyncDisposableStack());
  const begun = scope.use(await criu.beginRestore({imagesDir, workDir, target: container.restoreTarget(), lazy: mode === 'lazy'}));
  const images = await preparing;
  const meta = ahead?.meta ?? null;
  const inside = meta === null ? null : await goInside(tools, {begun, name, meta, imagesDir: images.imagesDir}, undo);
  const owned = scope.move();
  return {id, name, generation, ...images, criu: begun, bringing, inside, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

type RestoreTools = InstanceTools & {readonly log: Log};

export interface Restore {
  readonly rest: Extract<Rest, {kind: 'checkpoint'}>;
  /** No process of the app runs before this resolves. */
  readonly lease: Promise<FencingToken>;
  readonly trigger: Trigger;
  readonly times: WakeTimes;
}

/** The app runs when this resolves, and its route is still away. @throws CodedError; nothing of it runs then, and what was prepared is undone */
export async function finishRestore(tools: RestoreTools, prepared: PreparedRestore, how: Restore): Promise<Instance> {
  const {id, name} = prepared;
  const {rest} = how;
  try {
    const {pid, token} = await run(tools, prepared, how);
    how.times.runs();
    tools.container.adopt(pid);
    faultPoint('supervisor:wake:restored');
    await answersAgain(tools, pid);
    return {id, token, pid, layers: [...rest.meta.layers, name], base: rest.generation};
  } catch (error) {
    await putAway(tools);
    await prepared[Symbol.asyncDispose]();
    throw error;
  }
}

/** Its listeners are there as they were; only an app whose readiness is more than that is asked. @throws CodedError ERR_NOT_READY */
async function answersAgain({config, container, network}: InstanceTools, pid: number): Promise<void> {
  if (config.ready.kind !== 'http') return;
  await waitUntilReady({app: config, network, pid, verb: 'restore', onExit: (callback) => container.onExit(callback)});
}

/** A connection of another address would be dead, and a socket bound to one cannot be restored. @throws CodedError ERR_WRONG_ADDRESS */
function checkAddress(app: string, here: Network, {network: saved}: GenerationMeta): void {
  if (saved !== undefined && saved.address !== here.address) throw wrongAddressError(app, saved, here);
}

/**
 * The pager is told first: it reads the predicted pages while the root is mounted and CRIU makes the processes. A restore that the pager does not
 * know any more, or for which there is no lease, must not be finished.
 */
async function run(
  tools: RestoreTools,
  {id, name, criu, imagesDir, bringing, inside}: PreparedRestore,
  {rest, lease, trigger, times}: Restore,
): Promise<Running> {
  const {config, container, network, pager} = tools;
  const refused = new AbortController();
  const refuse = (error: unknown): never => {
    refused.abort(error);
    throw error;
  };
  const restoring = async (): Promise<{pid: number}> => {
    checkAddress(config.name, network, rest.meta);
    inside?.check();
    await bringing;
    if (inside === null) await bringLayers(tools, rest.meta.layers);
    faultPoint('supervisor:wake:prepared');
    if (inside === null) await container.mountRoot(rest.meta.layers, name, rootImageOf(rest.meta));
    faultPoint('supervisor:wake:mounted');
    using forward = timersForward(tools, rest.meta, {imagesDir, directory: join(tools.workDir, name, 'changed')});
    return await times.criu(criu.finish({signal: refused.signal, mayRun: lease, beforeRun: forward.beforeRun}));
  };
  times.expected();
  // All are awaited even when one fails, so that nothing of them appears after it was cleaned up.
  const [leased, expected, restored] = await Promise.allSettled([lease.then(passLeased, refuse), pager.expect(id, trigger).catch(refuse), restoring()]);
  if (leased.status === 'rejected') throw leased.reason;
  if (expected.status === 'rejected') throw expected.reason;
  if (restored.status === 'rejected') throw restored.reason;
  return {pid: restored.value.pid, token: leased.value};
}

/** The timers of an app are those of the time at which it wakes. */
function timersForward(
  {container, log}: RestoreTools,
  {timers: saved}: GenerationMeta,
  where: {readonly imagesDir: string; readonly directory: string},
): Disposable & {readonly beforeRun: () => Promise<void>} {
  if (saved === undefined) return {beforeRun: () => Promise.resolve(), [Symbol.dispose]: ignored};
  const changed = changedImages({...where, saved}, {nowMs: Date.now(), log});
  return {beforeRun: () => setForward(() => container.processes(), saved.timers, {nowMs: Date.now, log}), [Symbol.dispose]: () => changed[Symbol.dispose]()};
}

function passLeased(token: FencingToken): FencingToken {
  faultPoint('supervisor:wake:leased');
  return token;
}

interface Running {
  readonly pid: number;
  readonly token: FencingToken;
}

function ignored(): void {
  // What is left of the instance is removed with the next leftovers.
}
