/** After a gateway was killed: its keepers, which hold the page faults of processes that are to be gone by now. */
import {rm} from 'node:fs/promises';
import {CodedError} from '../core/errors.ts';
import {errnoName, SystemCallError} from '../core/libc.ts';
import {findKeepers, isNeeded, stopKeeper} from './faults/parking.ts';
import {detachFuse, fuseMountsBelow} from './fuse/fuse-mount.ts';
import {stopDeviceKeepers} from './images/fuse-image-keeper.ts';
import {openRuntimeFiles} from './runtime-files.ts';

const pollMs = 20;

/**
 * Ends the keepers of a killed gateway and removes the pager's files in its runtime directory. The apps' processes must have been killed
 * before: the last thing that an unfinished process may see is a fault without an answer, not a page of zeros.
 * @throws CodedError ERR_STILL_USED when a process that depends on a keeper lives for longer than `timeoutMs`; that keeper is left running
 */
export async function removePagerLeftovers(runtimeDir: string, {timeoutMs = 5000}: {readonly timeoutMs?: number} = {}): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (const keeper of findKeepers(runtimeDir)) {
    while (isNeeded(keeper)) {
      if (performance.now() > deadline) {
        const message = `Cannot end the keeper of page faults (process ${keeper.pid}): a process of an app that needs it still lives`;
        throw new CodedError('ERR_STILL_USED', message, {source: 'host'});
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    stopKeeper(keeper);
  }
  const {root, fuseMount} = openRuntimeFiles(runtimeDir);
  // Roots of apps: their overlays are gone by now. First the mounts, then the keeper, or whoever still looks there would wait for ever.
  for (const mountPoint of await fuseMountsBelow(root)) detachIfThere(mountPoint);
  stopDeviceKeepers(runtimeDir);
  detachIfThere(fuseMount);
  await rm(root, {recursive: true, force: true});
}

function detachIfThere(mountPoint: string): void {
  try {
    detachFuse(mountPoint);
  } catch (error) {
    // Nothing was ever mounted in this runtime directory.
    if (!(error instanceof SystemCallError && errnoName(error.errno) === 'ENOENT')) throw error;
  }
}
