/**
 * The steps that bring one instance of an app to life and put it away, without the decisions around them (app.ts).
 * Each either completes or leaves nothing behind but what it names.
 */
import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {AppConfig} from '../config/value.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {type FencingToken, type Generation, type InstanceId, type InstanceName, instanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {Container} from './container.ts';
import type {CheckpointDriver} from './criu.ts';
import {type SavedImage, savedImage} from './image-settings.ts';
import {type Flow, readPortUse} from './ports.ts';
import {waitUntilReady} from './ready.ts';
import {isAlive, signalAll} from './signals.ts';
import type {SavedTimers} from './timers/app-timer.ts';
import {continueSleeps} from './timers/continue-sleeps.ts';
import type {WakeTimes} from './wake-times.ts';

const discardAttempts = 20;
const discardRetryMs = 250;

/** What the network does for one app; the route switch is what makes a sleep invisible. */
export interface Network {
  readonly address: string;
  /** The network in which that address is, `10.77.0.0/16`. */
  readonly range: string;
  /** Exists from the first `prepare()` on. */
  readonly netnsPath: string;
  /** Needed before anything runs in it, and before `wake()`. @throws CodedError */
  prepare(): Promise<void>;
  /** Instead of it, where a gateway that was killed has left it. @throws CodedError */
  takeOver(): Promise<void>;
  sleep(flows: 'unknown' | readonly Flow[]): void;
  setFlows(flows: readonly Flow[]): void;
  wantedPackets(): number;
  wake(): void;
  refuse(): void;
  /** When no process of the app lives: closes what sockets are left of those that did. @throws CommandError */
  dropSockets(): Promise<void>;
  lastTraffic(): Promise<number>;
}

/** What travels with a generation besides memory: its file-system layers (oldest first) and its connections. */
export interface GenerationMeta extends SavedImage {
  readonly layers: readonly string[];
  readonly flows: readonly Flow[];
  /** The sockets in it are bound to this address; the gateway has another one in the range. */
  readonly network?: {readonly address: string; readonly range: string};
  /** What it has to wait for, where that wakes it. */
  readonly timers?: SavedTimers;
}

export type Paging = {
  readonly predictedPages: number;
  readonly faults: number;
  /** From the beginning of the wake until the predicted pages were in memory; null: there are none, or they are still coming. */
  readonly prefetchMs: number | null;
};

/** A process as the app numbers it and as the host does. */
interface ProcessIds {
  readonly vpid: number;
  readonly pid: number;
}

export interface Pager {
  /** @param options with `ahead`, only what may be read much later. @throws CodedError; `release()` undoes what it did */
  prepareRestore(options: {
    instance: InstanceId;
    app: string;
    generation: Generation;
    mode: 'lazy' | 'eager';
    prefetch: 'off' | 'last' | 'predict';
    readAhead: boolean;
    workDir: string;
    ahead: boolean;
    backgroundFetch: boolean;
  }): Promise<{readonly imagesDir: string; readonly meta: unknown; readonly memoryBytes: number}>;
  /** A prepared restore goes on. @throws CodedError when it is not prepared any more */
  expect(instance: InstanceId, trigger: Trigger): Promise<unknown>;
  commit(options: {
    instance: InstanceId | null;
    app: string;
    token: FencingToken;
    dumpDir: string;
    /** The new generation gets a higher number than this one, whether it exists or not. */
    above: Generation | null;
    layers: readonly string[];
    meta: GenerationMeta;
    processes: readonly ProcessIds[];
  }): Promise<{readonly generation: Generation; readonly bytesWritten: number; readonly pageCount: number}>;
  /** Complete generations of an app, oldest first. */
  generations(app: string): Promise<readonly Generation[]>;
  /** Removes a generation that was written but never pointed at. */
  discard(app: string, generation: Generation): Promise<void>;
  stats(instance: InstanceId): Promise<Paging>;
  release(instance: InstanceId): Promise<void>;
  /** Whether `compact()` would write anything. */
  compactionDue(app: string, generation: Generation): Promise<boolean>;
  /** Writes the newest generation again as the next one, taking less space; null when there is nothing to gain, or it was given up. */
  compact(options: {
    app: string;
    generation: Generation;
    token: FencingToken;
  }): Promise<{readonly generation: Generation; readonly bytesWritten: number} | null>;
  stopCompacting(app: string): Promise<void>;
  /** Removes what `compact()` made of a generation, where nothing points at it. @throws CodedError when all that can be read is a copy */
  discardCopies(app: string, generation: Generation): Promise<void>;
  /** The newest generation is certain to stay. */
  keep(app: string): Promise<void>;
  prune(app: string, keep: number): Promise<void>;
  /** What of the newest generation is in the remote store; null without one. */
  placement(app: string): Promise<{readonly generation: number | null; readonly stored: boolean; readonly pendingObjects: number} | null>;
  /**
   * Layers take so much of `cache-size`, and those of the apps in `dropped` are gone: local copies of objects make room.
   * @returns what those take now
   */
  shareCache(layerBytes: number, dropped: readonly string[]): Promise<number>;
  /** Another worker may have had the app: what is in the store is looked at anew. @throws CodedError */
  refresh(app: string): Promise<void>;
  /** The same, and all of the newest generation is brought here. @returns null when there is none, or no remote store. @throws CodedError */
  foresee(app: string): Promise<Generation | null>;
  /** Brings layers here that are in the remote store only. @throws CodedError */
  fetchLayers(app: string, layers: readonly string[]): Promise<void>;
}

/** What the next wake starts from. */
export type Rest =
  | {
      readonly kind: 'checkpoint';
      readonly generation: Generation;
      readonly meta: GenerationMeta;
      /** It could not be read when the gateway started: what `meta` says is nothing. */
      readonly unread?: true;
    }
  /** Never run, or ended by itself: its files are all that is left. */
  | {readonly kind: 'files'; readonly layers: readonly string[]};

/** Oldest first. */
export function restLayers(rest: Rest): readonly string[] {
  return rest.kind === 'checkpoint' ? rest.meta.layers : rest.layers;
}

/** An app that runs. */
export interface Instance {
  readonly id: InstanceId;
  readonly token: FencingToken;
  readonly pid: number;
  /** All layers of its file system, the writable one last. */
  readonly layers: readonly string[];
  /** The generation it was restored from. */
  readonly base: Generation | null;
}

export interface InstanceTools {
  readonly config: AppConfig;
  readonly network: Network;
  readonly pager: Pager;
  readonly container: Container;
  readonly criu: CheckpointDriver;
  /** Private to this app and worker, on a tmpfs: a directory for each restore. */
  readonly workDir: string;
  /** The same, on disk: a dump on a tmpfs would count as the app's memory. */
  readonly dumpDir: string;
}

export interface Start {
  readonly rest: {readonly layers: readonly string[]};
  readonly name: InstanceName;
  readonly token: FencingToken;
  readonly times: WakeTimes;
}

/** Starts the app from its files and waits until it is ready. @throws CodedError; nothing of it runs then */
export async function startInstance(tools: InstanceTools, {rest, name, token, times}: Start): Promise<Instance> {
  const {config, container, network} = tools;
  await Promise.all([bringLayers(tools, rest.layers), network.prepare()]);
  const {pid} = await container.start(rest.layers, name);
  times.runs();
  try {
    await waitUntilReady({app: config, network: tools.network, pid, verb: 'start', onExit: (callback) => container.onExit(callback)});
  } catch (error) {
    const output = container.logTail();
    await putAway(tools);
    if (output === '' || !(error instanceof CodedError)) throw error;
    throw new CodedError(error.code, `${error.message}; its last output: ${output}`, {source: 'server', cause: error});
  }
  return {id: instanceId(config.name, name), token, pid, layers: [...rest.layers, name], base: null};
}

/** Has the layers that are not on this worker fetched. @throws CodedError */
export async function bringLayers({config, container, pager}: InstanceTools, layers: readonly string[]): Promise<void> {
  const missing = container.missingLayers(layers);
  if (missing.length > 0) await pager.fetchLayers(config.name, missing);
}

export interface CheckpointRequest {
  readonly instance: Instance;
  /** Asked when the tasks are frozen: does somebody need the app? @param hasUnfinished see `PortUse` */
  readonly isWanted: (hasUnfinished: boolean) => boolean;
  /** Asked when the tasks are frozen and their images are there. 'too soon': one is due, and the app goes on. */
  readonly saveTimers: (imagesDir: string) => Promise<SavedTimers | null | 'too soon'>;
  /** The generation at which Redis points now. */
  readonly pointer: Generation | null;
  readonly log: Log;
  /** Makes the stored generation the app's own (Redis). When it throws, the generation is discarded and the app goes on. */
  readonly point: (generation: Generation, meta: GenerationMeta) => Promise<void>;
  /** Asked when that has failed. False: another worker may have the app by now, so its processes stay stopped. */
  readonly mayGoOn: () => boolean;
}

export interface CheckpointResult {
  readonly generation: Generation;
  readonly meta: GenerationMeta;
  readonly bytesWritten: number;
  /** All pages of its memory, wherever they are stored. */
  readonly pageCount: number;
  /** From the freezing of the tasks to their end, milliseconds. */
  readonly frozenMs: number;
}

/**
 * Writes a generation and ends the instance's processes, or cancels because the app is wanted (undefined). What is left of
 * the instance then is the caller's to put away: that this fails does not undo the generation.
 * @throws CodedError when it failed; the app then goes on as if nothing had happened
 */
export async function checkpointInstance(tools: InstanceTools, request: CheckpointRequest): Promise<CheckpointResult | undefined> {
  const {config, container, criu, pager} = tools;
  const {instance} = request;
  const dumpDir = join(tools.dumpDir, String(instance.token));
  await rm(dumpDir, {recursive: true, force: true});
  await mkdir(dumpDir, {recursive: true, mode: 0o700});
  let stored: Omit<CheckpointResult, 'frozenMs'> | undefined;
  try {
    const outcome = await criu.checkpoint({
      pid: instance.pid,
      dumpDir,
      workDir: dumpDir,
      target: container.restoreTarget(),
      async decide() {
        faultPoint('supervisor:hibernate:frozen');
        const timers = await request.saveTimers(dumpDir);
        const {flows, hasUnfinished} = await readPortUse(instance.pid);
        if (request.isWanted(hasUnfinished) || timers === 'too soon') return 'cancel';
        continueSleeps(dumpDir, request.log);
        const takeBack = (): Promise<void> => discardNewer(pager, config.name, request.pointer);
        stored = await whileStopped(container, {takeBack, mayGoOn: request.mayGoOn}, async (processes) => {
          const layers = await container.usedLayers(instance.layers);
          // Files first: a generation that is on disk must find on disk what its memory believes to be there.
          await container.syncLayers();
          const {address, range} = tools.network;
          const meta: GenerationMeta = {layers, flows, network: {address, range}, ...savedImage(container.rootImage), ...(timers === null ? {} : {timers})};
          const base = instance.base === null ? null : instance.id;
          const commit = {instance: base, app: config.name, token: instance.token, dumpDir, above: request.pointer, layers, meta, processes};
          const {generation, bytesWritten, pageCount} = await pager.commit(commit);
          faultPoint('supervisor:hibernate:stored');
          // What the pager knows of the missing pages of a process ends with it.
          if (!processes.every(({pid}) => isAlive(pid))) throw endedDuringCheckpoint(config.name);
          await request.point(generation, meta);
          faultPoint('supervisor:hibernate:pointed');
          return {generation, meta, bytesWritten, pageCount};
        });
        return 'commit';
      },
    });
    if (stored === undefined || outcome.kind === 'cancelled') return undefined;
    return {...stored, frozenMs: outcome.frozenMs};
  } finally {
    await rm(dumpDir, {recursive: true, force: true});
  }
}

/**
 * Stops the app's processes beneath CRIU while their generation is stored. If we or CRIU are killed meanwhile, they do not
 * run on and change files that the generation counts on; they go on only when `store` has failed and taken all back.
 */
async function whileStopped<T>(
  container: Container,
  {takeBack, mayGoOn}: Pick<CheckpointRequest, 'mayGoOn'> & {readonly takeBack: () => Promise<void>},
  store: (processes: readonly ProcessIds[]) => Promise<T>,
): Promise<T> {
  const processes = container.processes();
  const pids = processes.map(({pid}) => pid);
  signalAll(pids, 'SIGSTOP');
  try {
    return await store(processes);
  } catch (error) {
    await takeBack().finally(() => mayGoOn() && signalAll(pids, 'SIGCONT'));
    throw error;
  }
}

/**
 * Removes generations that Redis does not point at: a complete one would count as the newest after a crash, and the app is
 * about to go on. Also when the pager died after it had written one; its successor is asked then. That Redis may point at one
 * that does not exist does no harm: the number of what was written is higher.
 */
async function discardNewer(pager: Pager, app: string, pointer: Generation | null): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      for (const generation of await pager.generations(app)) if (generation > (pointer ?? 0)) await pager.discard(app, generation);
      return;
    } catch (error) {
      if (attempt === discardAttempts) throw error;
      await sleep(discardRetryMs);
    }
  }
}

function endedDuringCheckpoint(app: string): CodedError {
  return new CodedError('ERR_CHECKPOINT', `Cannot checkpoint app "${app}": a process of it ended meanwhile`, {source: 'server', retryable: true});
}

/** Zeros for an app that started from its files, and when the pager cannot say. */
export async function pagingOf({pager, log}: {readonly pager: Pager; readonly log: Log}, instance: Instance): Promise<Paging> {
  try {
    if (instance.base !== null) return await pager.stats(instance.id);
  } catch (error) {
    log.warn({instance: instance.id, error: errorMessage(error)}, 'the faults of this run are not known');
  }
  return {predictedPages: 0, faults: 0, prefetchMs: null};
}

/** Ends what is left of an instance's processes and unmounts its root; its memory is then nobody's, so the pager may let go. */
export async function putAway({container, workDir}: Pick<InstanceTools, 'container' | 'workDir'>): Promise<void> {
  await container.kill();
  await container.unmountRoot();
  await rm(workDir, {recursive: true, force: true});
}

/** The end of an instance that ran. Never throws: what it leaves is removed with the next leftovers. */
export async function endInstance(tools: InstanceTools & {readonly log: Log}, {id}: Pick<Instance, 'id'>): Promise<void> {
  try {
    await putAway(tools);
    await tools.pager.release(id);
  } catch (error) {
    tools.log.error({error: errorMessage(error)}, 'the instance could not be put away');
  }
}
