/** An app that a gateway which was killed has left running goes on under the next one. */
import {CodedError, errorMessage} from '../core/errors.ts';
import {type InstanceName, instanceId} from '../core/ids.ts';
import type {AppOptions} from './app-status.ts';
import {rootImageOf, savedImage} from './image-settings.ts';
import {endInstance, type Instance} from './instance.ts';
import type {State} from './lifecycle.ts';
import type {RunningInstance} from './running-instances.ts';
import {signalAll} from './signals.ts';

/**
 * Packets for the app are held from now on, until whoever has the instance lets them through.
 * @param newestToken of the app; null where another worker has it, or nobody knows
 * @returns undefined when that fails; nothing of it runs then, and its last checkpoint counts
 */
export async function takeOver(options: AppOptions, left: RunningInstance, newestToken: number | null): Promise<Instance | undefined> {
  const {config, container, network, records, log} = options;
  const {name, layers, base} = left;
  const id = instanceId(config.name, name);
  // Connections that the last gateway let through are not to be answered with a RST.
  network.sleep('unknown');
  try {
    const {pid} = await container.takeOver(rootImageOf(left));
    if (left.address !== network.address)
      throw new CodedError('ERR_WRONG_ADDRESS', `It has address ${left.address}, and ${network.address} now`, {source: 'host'});
    if (left.token !== newestToken) throw new CodedError('ERR_OLD_TOKEN', 'Another worker has had it meanwhile', {source: 'host'});
    await network.takeOver();
    const token = await records.acquire();
    if (records.isStale()) throw new CodedError('ERR_OLD_TOKEN', 'Another worker has had it until now', {source: 'host'});
    // Stopped when its gateway ended, as another worker could have taken it. Elsewhere what is stopped has been stopped by the app itself.
    if (records.isShared) signalAll(container.pids(), 'SIGCONT');
    log.info({instance: id, pid}, 'an app that ran when the gateway was killed goes on');
    records.event('taken-over', {instance: id});
    return {id, token, pid, layers, base};
  } catch (error) {
    log.error({instance: id, error: errorMessage(error)}, 'an app that ran when the gateway was killed cannot be taken over; its last checkpoint counts');
    await endInstance(options, {id});
    network.sleep([]);
    return undefined;
  }
}

/** What the next gateway finds of an app, should this one be killed. */
export class RunningNote {
  readonly #options: Pick<AppOptions, 'config' | 'container' | 'network' | 'running'>;

  constructor(options: Pick<AppOptions, 'config' | 'container' | 'network' | 'running'>) {
    this.#options = options;
  }

  /** To be called before anybody is answered by the instance. Takes some tens of microseconds. */
  runs({id, token, layers, base}: Instance): void {
    const {config, container, network, running} = this.#options;
    const {address, range} = network;
    const name = id.slice(config.name.length + 1) as InstanceName;
    running.note({config, name, token, layers, base, ...savedImage(container.rootImage), address, range});
  }

  /** Before its processes are killed: what is left of them is nothing to go on with. */
  ends(): void {
    this.#options.running.forget(this.#options.config.name);
  }

  /** From the first moment at which its processes are touched for a checkpoint, the next gateway starts from the newest one. */
  moved(to: State): void {
    if (to !== 'running' && to !== 'draining') this.ends();
  }
}
