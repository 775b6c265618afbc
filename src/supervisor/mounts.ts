/** Mounts of this host, and taking away those of ours. */
import {readFileSync} from 'node:fs';
import {tryDetach, umount} from '../core/libc.ts';

export interface MountEntry {
  readonly id: number;
  /** Directory of the file system that is mounted here; `/` unless it is a bind mount of a part. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** The text of /proc/PID/mountinfo, proc_pid_mountinfo(5), in the order in which things were mounted. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ');
    if (before === undefined || after === undefined) continue;
    const fields = before.split(' ');
    const [type, , superOptions] = after.split(' ');
    entries.push({
      id: Number(fields[0]),
      root: unescapePath(fields[3] ?? ''),
      mountPoint: unescapePath(fields[4] ?? ''),
      type: type ?? '',
      superOptions: (superOptions ?? '').split(','),
    });
  }
  return entries;
}

/** The kernel writes space, tab, newline and backslash as octal numbers. */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** At and below `directory`. @param pid whose mount namespace is asked */
export function mountsBelow(directory: string, pid: number | 'self' = 'self'): MountEntry[] {
  const mounts = parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  return mounts.filter(({mountPoint}) => mountPoint === directory || mountPoint.startsWith(`${directory}/`));
}

/** Unmounts everything at and below `directory`, the newest first. What is still in use vanishes with its last user. */
export function unmountBelow(directory: string): void {
  for (const {mountPoint} of mountsBelow(directory).reverse()) umount(mountPoint, {detach: true});
}

/** The same without keeping the thread from its other work: to unmount an overlay synchronises the file system below, which takes 10 ms and more on a busy disk. */
export async function unmountAside(directory: string): Promise<void> {
  for (const {mountPoint} of mountsBelow(directory).reverse()) if (!(await tryDetach(mountPoint))) umount(mountPoint, {detach: true});
}
