/** An app that a gateway has left, since it was killed or could not put it to sleep, goes on under the next one. */
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
    if (records.isShared || left.standsStill === true) signalAll(container.pids(), 'SIGCONT');
    log.info({instance: id, pid}, 'an app that ran when the gateway ended goes on');
    records.event('taken-over', {instance: id});
    return {id, token, pid, layers, base};
  } catch (error) {
    log.error({instance: id, error: errorMessage(error)}, 'an app that ran when the gateway ended cannot be taken over; its last checkpoint counts');
    await endInstance(options, {id});
    network.sleep([]);
    return undefined;
  }
}

type NoteOptions = Pick<AppOptions, 'config' | 'container' | 'network' | 'running' | 'records' | 'log'>;

/** What the next gateway finds of an app, should this one end while it runs. */
export class RunningNote {
  readonly #options: NoteOptions;

  constructor(options: NoteOptions) {
    this.#options = options;
  }

  /** To be called before anybody is answered by the instance. Takes some tens of microseconds. */
  runs(instance: Instance): void {
    this.#write(instance, {});
  }

  #write({id, token, layers, base}: Instance, more: Pick<RunningInstance, 'standsStill'>): boolean {
    const {config, container, network, running} = this.#options;
    const {address, range} = network;
    const name = id.slice(config.name.length + 1) as InstanceName;
    return running.note({config, name, token, layers, base, ...savedImage(container.rootImage), address, range, ...more});
  }

  /**
   * Instead of ending an app that cannot be put to sleep, when the gateway ends: it stands still, and the next gateway lets it go on. It must not run meanwhile:
   * who ends the gateway may also end the keepers of its missing pages, which then read as zeros.
   * @returns false where that is not to be: an app that is not to sleep, that does not run, or that another worker may wake
   */
  leaves(instance: Instance): boolean {
    const {config, container, records, log} = this.#options;
    if (config.onStop !== 'hibernate' || records.isShared || !container.alive()) return false;
    if (!this.#write(instance, {standsStill: true})) return false;
    const stopped = new Set<number>();
    for (let found = container.pids(); found.length > 0; found = container.pids().filter((pid) => !stopped.has(pid))) {
      signalAll(found, 'SIGSTOP');
      for (const pid of found) stopped.add(pid);
    }
    records.event('left', {instance: instance.id});
    log.warn(
      {instance: instance.id},
      'the app could not be put to sleep; it stands still, and the next gateway lets it go on ("picogate cleanup" ends it). A reboot goes back to its last checkpoint',
    );
    return true;
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
