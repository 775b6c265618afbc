/**
 * From what is at rest to an instance that runs. The lease is asked for at once and waited for last: no process of the app runs without it, but
 * all that can be undone is done meanwhile.
 */
import {CodedError, errorMessage} from '../core/errors.ts';
import {type FencingToken, type InstanceId, instanceId, newInstanceName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {lostError} from './app-errors.ts';
import type {AppOptions} from './app-status.ts';
import {endInstance, type Instance, type Rest, startInstance} from './instance.ts';
import {finishRestore, type PreparedRestore, prepareRestore, type Restore} from './restore.ts';
import type {Standby} from './standby.ts';

/** An instance that is being made, and all layers of its file system. */
export interface Beginning {
  readonly id: InstanceId;
  readonly layers: readonly string[];
}

export interface Revival {
  readonly rest: Rest;
  readonly lease: Promise<FencingToken>;
  readonly trigger: Trigger;
  readonly standby: Standby;
  readonly log: Log;
  /** Called before anything of an instance exists. The layers of one that starts from its files have to be recorded before it can write any. */
  readonly begins: (beginning: Beginning) => void;
  /** Called for an app that starts from its files, before it does. */
  readonly save: (token: FencingToken) => Promise<void>;
  /** Why the memory of an instance cannot be served any more. */
  readonly lossOf: (instance: InstanceId) => string | undefined;
  readonly isStopping: () => boolean;
}

/** @throws CodedError; nothing of the app runs then */
export async function revive(options: AppOptions, revival: Revival): Promise<Instance> {
  const {rest} = revival;
  return rest.kind === 'files' ? start(options, rest, revival) : restore(options, rest, revival);
}

async function start(options: AppOptions, rest: Extract<Rest, {kind: 'files'}>, {lease, begins, save}: Revival): Promise<Instance> {
  const token = await lease;
  const name = newInstanceName(options.clock.nowMs());
  begins({id: instanceId(options.config.name, name), layers: [...rest.layers, name]});
  await save(token);
  return startInstance(options, {rest, name, token});
}

/** A restore that failed for a reason that may pass, such as having been prepared long ago, is tried once more. */
async function restore(options: AppOptions, rest: Restore['rest'], revival: Revival): Promise<Instance> {
  const {lease, trigger, standby, log} = revival;
  const ready = await standby.take(rest.generation);
  const prepare = (): Promise<PreparedRestore> => prepareRestore(options, rest.generation, {ahead: false});
  const attempt = async (prepared: PreparedRestore): Promise<Instance> => finish(options, prepared, {rest, lease, trigger}, revival);
  try {
    return await attempt(ready ?? (await prepare()));
  } catch (error) {
    await lease;
    if (revival.isStopping() || (ready === undefined && !(error instanceof CodedError && error.retryable))) throw error;
    log.warn({error: errorMessage(error)}, 'the restore failed and is tried once more');
    return attempt(await prepare());
  }
}

async function finish(options: AppOptions, prepared: PreparedRestore, how: Restore, {begins, lossOf}: Revival): Promise<Instance> {
  begins({id: prepared.id, layers: [...how.rest.meta.layers, prepared.name]});
  const instance = await finishRestore(options, prepared, how);
  const reason = lossOf(instance.id);
  if (reason === undefined) return instance;
  await endInstance(options, instance);
  throw lostError(options.config.name, reason);
}
