/**
 * The directory `/tmp/.criu.mntns.XXXXXX` in which CRIU (4.2.1) puts the mounts of a restore together. CRIU makes it, and removes it when it ends by itself, not
 * when it is killed. Other CRIUs of the host have such directories too, and to remove one under them would take their mounts away: so it is known only from
 * the first process of our own restore, in whose mount namespace it is mounted while CRIU waits for us.
 */
import {readFileSync} from 'node:fs';
import {rmdir} from 'node:fs/promises';
import {errorCode} from '../core/errors.ts';
import {unmountBelow} from './mounts.ts';

const mounted = /^\S+ \S+ \S+ \/ (\/tmp\/\.criu\.mntns\.[A-Za-z0-9]{6}) /m;

/** At once, since a wake waits for it. @param pid of the process that CRIU has made, in which nothing of the app has run. @returns null where there is none */
export function rootsYardOf(pid: number): string | null {
  try {
    return mounted.exec(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'))?.[1] ?? null;
  } catch {
    return null; // CRIU was killed: its answer says so.
  }
}

/** When nobody is left who mounts it. Where the host shares its mounts, as systemd has it, what CRIU mounted there is mounted on the host too. */
export async function removeRootsYard(path: string): Promise<void> {
  unmountBelow(path);
  try {
    await rmdir(path);
  } catch (error) {
    // CRIU has removed it; or what is in it is not ours.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTEMPTY') throw error;
  }
}
