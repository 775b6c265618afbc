/**
 * From what is at rest to an instance that runs. The lease is asked for at once and waited for last: no process of the app runs without it, but
 * all that can be undone is done meanwhile.
 *
 * A restore that fails is tried again, and then what `on-restore-failure` allows. Nothing here removes a checkpoint: the newest one stays what the app
 * has, until another one is committed.
 */
import {type CodedError, errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {type FencingToken, type Generation, type InstanceId, instanceId, newInstanceName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {type Loss, lostError} from './app-errors.ts';
import type {AppOptions, Fallback} from './app-status.ts';
import {endInstance, type Instance, type Rest, startInstance} from './instance.ts';
import {finishRestore, type PreparedRestore, prepareRestore, type Restore} from './restore.ts';
import {isFaultOfCheckpoint, mayPass} from './restore-failure.ts';
import type {Standby} from './standby.ts';
import type {WakeTimes} from './wake-times.ts';

/** What is waited before the second attempt, and before the third. */
const retryPausesMs = [100, 1000] as const;

/** An instance that is being made, and all layers of its file system. */
export interface Beginning {
  readonly id: InstanceId;
  readonly layers: readonly string[];
}

export interface Revival {
  readonly rest: Rest;
  readonly lease: Promise<FencingToken>;
  readonly trigger: Trigger;
  readonly times: WakeTimes;
  readonly standby: Standby;
  readonly log: Log;
  /** Called before anything of an instance exists. The layers of one that starts from its files have to be recorded before it can write any. */
  readonly begins: (beginning: Beginning) => void;
  /** What the app has from now on, if it comes to run: files only, when its checkpoint is passed over, or what was not known of that. */
  readonly startsFrom: (rest: Rest) => void;
  /** Called for an app that starts from its files, before it does. */
  readonly save: (token: FencingToken) => Promise<void>;
  /** Why the memory of an instance cannot be served any more. */
  readonly lossOf: (instance: InstanceId) => Loss | undefined;
  /** Generations of which instances did not live long, since the memory that is stored is damaged. They are only tried when nothing else is allowed. */
  readonly unfit: ReadonlyMap<Generation, CodedError>;
  readonly isStopping: () => boolean;
}

type Checkpoint = Restore['rest'];
type Files = Extract<Rest, {kind: 'files'}>;

export interface Revived {
  readonly instance: Instance;
  readonly fallback: Fallback | null;
}

/** @throws CodedError; nothing of the app runs then */
export async function revive(options: AppOptions, revival: Revival): Promise<Revived> {
  const {rest} = revival;
  if (rest.kind === 'files') return {instance: await start(options, rest, revival), fallback: null};
  const unfit = revival.unfit.get(rest.generation);
  if (unfit !== undefined) {
    const revived = await fallBack(options, {rest, error: unfit}, revival);
    if (revived !== undefined) return revived;
  }
  try {
    return {instance: await restoreNewest(options, rest, revival), fallback: null};
  } catch (error) {
    if (unfit !== undefined || revival.isStopping() || !isFaultOfCheckpoint(error)) throw error;
    const revived = await fallBack(options, {rest, error}, revival);
    if (revived === undefined) throw error;
    return revived;
  }
}

async function start(options: AppOptions, rest: Files, {lease, standby, begins, save, times, log}: Revival): Promise<Instance> {
  // What is prepared has the root mounted.
  const [token] = await Promise.all([lease, standby.drop()]);
  const name = newInstanceName(options.clock.nowMs());
  begins({id: instanceId(options.config.name, name), layers: [...rest.layers, name]});
  // After a checkpoint that was given up the kernel takes connections for such that let nobody else have their port (TCP_REPAIR, tcp(7)), also when they
  // outlive the app: its next start could not listen.
  await Promise.all([save(token), dropSockets(options, log)]);
  faultPoint('start:recorded');
  return startInstance(options, {rest, name, token, times});
}

/** One that was prepared long ago may fail for that reason alone: this is no attempt yet. */
async function restoreNewest(options: AppOptions, given: Checkpoint, revival: Revival): Promise<Instance> {
  const {lease, standby, log, isStopping} = revival;
  const rest = await known(options, given, revival);
  const ready = await standby.take(rest);
  try {
    if (ready !== undefined) return await finish(options, ready, rest, revival);
  } catch (error) {
    await lease;
    if (isStopping()) throw error;
    log.warn({error: errorMessage(error)}, 'the prepared restore failed, and another one is made');
    await dropSockets(options, log);
  }
  const pauses = options.config.onRestoreFailure.includes('retry') ? retryPausesMs : [];
  for (const pauseMs of pauses) {
    try {
      return await restore(options, rest, revival);
    } catch (error) {
      await lease;
      if (isStopping() || !mayPass(error)) throw error;
      log.warn({error: errorMessage(error), pauseMs}, 'the restore failed and is tried again');
      options.records.event('restore-retried', {message: errorMessage(error)});
      await new Promise<void>((resolve) => void options.clock.after(pauseMs, resolve));
      if (isStopping()) throw error;
      await dropSockets(options, log);
    }
  }
  return restore(options, rest, revival);
}

/** An attempt that was killed half way leaves connections of the app to the kernel, which CRIU then cannot make once more. */
async function dropSockets({network}: AppOptions, log: Log): Promise<void> {
  try {
    await network.dropSockets();
  } catch (error) {
    log.warn({error: errorMessage(error)}, 'what is left of connections of the app could not be closed');
  }
}

/** Memory must not be restored without the files that belong to it: those of a checkpoint that could not be read are asked for again. @throws CodedError */
async function known(options: AppOptions, {unread, ...rest}: Checkpoint, {startsFrom}: Revival): Promise<Checkpoint> {
  if (unread === undefined) return rest;
  const read: Checkpoint = {...rest, meta: await options.metaOf(rest.generation)};
  startsFrom(read);
  return read;
}

async function restore(options: AppOptions, rest: Checkpoint, revival: Revival): Promise<Instance> {
  return finish(options, await prepareRestore(options, {generation: rest.generation, layers: rest.meta.layers}, null), rest, revival);
}

async function finish(options: AppOptions, prepared: PreparedRestore, rest: Checkpoint, {begins, lossOf, lease, trigger, times}: Revival): Promise<Instance> {
  begins({id: prepared.id, layers: [...rest.meta.layers, prepared.name]});
  const instance = await finishRestore(options, prepared, {rest, lease, trigger, times});
  const loss = lossOf(instance.id);
  if (loss === undefined) return instance;
  await endInstance(options, instance);
  throw lostError(options.config.name, loss);
}

/** Undefined when nothing is allowed, or nothing of it succeeded either. */
async function fallBack(options: AppOptions, failed: {readonly rest: Checkpoint; readonly error: unknown}, revival: Revival): Promise<Revived | undefined> {
  const {rest, error} = failed;
  const newest = rest.generation;
  await revival.standby.drop();
  const reason = errorMessage(error);
  for (const kind of options.config.onRestoreFailure) {
    if (kind === 'retry') continue;
    try {
      if (kind === 'cold-start') {
        // Of one that cannot be read nobody knows what its files are, and nothing is no replacement for them.
        const files: Files = {kind: 'files', layers: (await known(options, rest, revival)).meta.layers};
        revival.startsFrom(files);
        return {instance: await start(options, files, revival), fallback: {kind, newest, generation: null, reason}};
      }
      const previous = await restorePrevious(options, newest, revival);
      if (previous !== undefined) return {instance: previous, fallback: {kind, newest, generation: previous.base, reason}};
    } catch (another) {
      if (revival.isStopping()) return undefined;
      revival.log.error({error: errorMessage(another), tried: kind}, 'what was tried instead of the newest checkpoint failed too');
    }
  }
  return undefined;
}

/**
 * What runs then is no other app: its next checkpoint gets a number above that of the newest, which is kept like any other until then.
 * @returns undefined when there is no older generation. @throws CodedError when none of them can be restored
 */
async function restorePrevious(options: AppOptions, newest: Generation, revival: Revival): Promise<Instance | undefined> {
  const older = (await options.pager.generations(options.config.name)).filter((generation) => generation < newest && !revival.unfit.has(generation)).reverse();
  for (const [at, generation] of older.entries()) {
    try {
      return await restore(options, {kind: 'checkpoint', generation, meta: await options.metaOf(generation)}, revival);
    } catch (error) {
      if (revival.isStopping() || !isFaultOfCheckpoint(error) || at === older.length - 1) throw error;
      revival.log.warn({generation, error: errorMessage(error)}, 'this older generation cannot be restored either');
    }
  }
  return undefined;
}
