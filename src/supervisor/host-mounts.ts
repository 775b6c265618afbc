/**
 * CRIU makes an app's namespaces from a copy of the host's mounts, which it keeps until the restore has ended. Roots of other apps would stay mounted in it
 * when they are unmounted on the host, for hours, with the disk space of what was deleted in them; and the end of the restore, for which a client waits, would
 * be the last to unmount them, which synchronises the whole file system below each: 8 ms and more.
 */
import {lendCalls} from '../core/ptrace.ts';
import {mountsBelow} from './mounts.ts';

/** Of x86-64. */
const umount2 = 166;
const detach = 2;

/**
 * Takes all containers out of that copy, once CRIU has put the app's own mounts together elsewhere.
 * @param pid CRIU's first task of the app
 * @param containersDir mounted twice, as `openContainers()` does
 * @throws CodedError
 */
export async function leaveContainers(pid: number, containersDir: string): Promise<void> {
  const found = mountsBelow(containersDir, pid).filter(({mountPoint}) => mountPoint === containersDir);
  // A parent that is shared with the host would take the host's away too; a gateway of an older version has mounted it once.
  if (found.length < 2) return;
  await lendCalls(pid, (task) => task.call('leave the containers', umount2, task.put(Buffer.from(`${containersDir}\0`)), detach));
}
