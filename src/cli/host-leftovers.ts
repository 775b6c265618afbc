/** What a gateway that was killed has left in the kernel: apps that run, which the next one takes over, and all else, which it removes. */
import type {Config} from '../config/value.ts';
import {gatewayIdentity, instanceId} from '../core/ids.ts';
import {removeLeftovers as removeNatLeftovers} from '../nat/host-network.ts';
import {appIndex, rangeText} from '../nat/ipv4.ts';
import {pagedInstances, removePagerLeftovers} from '../pager/leftovers.ts';
import type {State} from '../store/state.ts';
import {findRunning, removeContainerLeftovers} from '../supervisor/containers.ts';
import type {RunningInstance} from '../supervisor/running-instances.ts';
import {savedRange} from './private-range.ts';

interface Kept {
  readonly instance: RunningInstance;
  /** Of the app, by which its network is named. */
  readonly index: number;
}

/**
 * Removes all but what can be taken over, which is returned. Where several workers share the apps another one may have had them meanwhile: that is found
 * out under the lease of each.
 * @throws CodedError, CommandError; nothing is lost then
 */
export async function takeLeftovers(config: Config, state: Pick<State, 'readApps'>): Promise<readonly RunningInstance[]> {
  const kept = await findKept(config, state);
  await remove(config, kept);
  return kept.map(({instance}) => instance);
}

/** Removes everything: processes first, then what they used. */
export async function removeLeftovers(config: Config): Promise<void> {
  await remove(config, []);
}

/** Those that have the address which they are to have now. */
async function findKept({global, apps}: Config, state: Pick<State, 'readApps'>): Promise<Kept[]> {
  const {stateDir, runtimeDir, privateRange} = global;
  const found = findRunning({identity: gatewayIdentity(stateDir), runtimeDir});
  // What a pager has left is looked at only then: after a power failure it may be half of what it was.
  if (found.length === 0) return [];
  const paged = pagedInstances(runtimeDir);
  // Whose pages nobody can serve must not go on.
  const running = found.filter(({base, config, name}) => base === null || paged.has(instanceId(config.name, name)));
  const range = privateRange === 'auto' ? await savedRange(stateDir) : privateRange;
  const records = await state.readApps(running.map(({config: {name}}) => name));
  return running.flatMap((instance, at) => {
    const index = range === undefined || rangeText(range) !== instance.range ? undefined : appIndex(range, instance.address);
    return index === undefined || records[at]?.index !== index ? [] : [{instance: completed(instance, apps), index}];
  });
}

/** An older program, which was killed while it was replaced, knew fewer settings than this one. */
function completed(instance: RunningInstance, apps: Config['apps']): RunningInstance {
  const now = apps.find(({name}) => name === instance.config.name);
  return {...instance, config: {...now, ...instance.config}};
}

async function remove({global: {stateDir, runtimeDir}}: Config, kept: readonly Kept[]): Promise<void> {
  const identity = gatewayIdentity(stateDir);
  const instances = kept.map(({instance: {config, name}}) => ({app: config.name, id: instanceId(config.name, name)}));
  await removeContainerLeftovers({identity, runtimeDir}, new Set(instances.map(({app}) => app)));
  await removePagerLeftovers(runtimeDir, {kept: new Set(instances.map(({id}) => id))});
  await removeNatLeftovers(
    identity,
    kept.map(({index}) => index),
  );
}
