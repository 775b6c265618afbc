/** After a gateway was killed: its keepers, which hold the page faults of processes that are to be gone by now, or taken over. */
import {rm} from 'node:fs/promises';
import {CodedError} from '../core/errors.ts';
import type {InstanceId} from '../core/ids.ts';
import {errnoName, SystemCallError} from '../core/libc.ts';
import {findKeepers, isNeeded, type Keeper, keeperRuns, stopKeeper} from './faults/parking.ts';
import {detachFuse, fuseMountsBelow} from './fuse/fuse-mount.ts';
import {stopDeviceKeepers} from './images/fuse-image-keeper.ts';
import {openRuntimeFiles} from './runtime-files.ts';

const pollMs = 20;

/** Of which a killed pager has left what its successor needs. Without its keeper an instance has read zeros by now. */
export function pagedInstances(runtimeDir: string): ReadonlySet<InstanceId> {
  return new Set(
    openRuntimeFiles(runtimeDir)
      .list()
      .filter(({keeper}) => keeper === null || keeperRuns(keeper))
      .map(({instance}) => instance),
  );
}

export interface LeftoverOptions {
  /** Those that are to be taken over. */
  readonly kept?: ReadonlySet<InstanceId>;
  readonly timeoutMs?: number;
}

/**
 * Ends the keepers of a killed gateway and removes the pager's files in its runtime directory. The apps' processes must have been killed
 * before: the last thing that an unfinished process may see is a fault without an answer, not a page of zeros. Where instances are kept, the next pager
 * finds what it would find if only the one before it had been killed.
 * @throws CodedError ERR_STILL_USED when a process that depends on a keeper lives for longer than `timeoutMs`; that keeper is left running
 */
export async function removePagerLeftovers(runtimeDir: string, {kept = new Set(), timeoutMs = 5000}: LeftoverOptions = {}): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const files = openRuntimeFiles(runtimeDir);
  if (kept.size > 0) {
    for (const {instance, keeper} of files.list()) {
      if (kept.has(instance)) continue;
      if (keeper !== null) await endKeeper(keeper, deadline);
      files.remove(instance);
    }
    return;
  }
  for (const keeper of findKeepers(runtimeDir)) await endKeeper(keeper, deadline);
  const {root, fuseMount} = files;
  // Roots of apps: their overlays are gone by now. First the mounts, then the keeper, or whoever still looks there would wait for ever.
  for (const mountPoint of await fuseMountsBelow(root)) detachIfThere(mountPoint);
  stopDeviceKeepers(runtimeDir);
  detachIfThere(fuseMount);
  await rm(root, {recursive: true, force: true});
}

async function endKeeper(keeper: Keeper, deadline: number): Promise<void> {
  while (isNeeded(keeper)) {
    if (performance.now() > deadline) {
      const message = `Cannot end the keeper of page faults (process ${keeper.pid}): a process of an app that needs it still lives`;
      throw new CodedError('ERR_STILL_USED', message, {source: 'host'});
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  stopKeeper(keeper);
}

function detachIfThere(mountPoint: string): void {
  try {
    detachFuse(mountPoint);
  } catch (error) {
    // Nothing was ever mounted in this runtime directory.
    if (!(error instanceof SystemCallError && errnoName(error.errno) === 'ENOENT')) throw error;
  }
}
