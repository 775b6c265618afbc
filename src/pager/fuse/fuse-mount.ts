import {constants} from 'node:fs';
import {mkdir, readFile, realpath} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {errorCode} from '../../core/errors.ts';
import {close, errnoName, mount, mountFlag, open, SystemCallError, umount} from '../../core/libc.ts';
import {maxReadBytes} from './fuse-protocol.ts';

const sourceName = 'picogate';

/** `private`: only root reads it, and nothing in it is executed. `root`: a root file system that programs run from. */
export type FuseKind = 'private' | 'root';

export interface FuseMount {
  /** /dev/fuse, non-blocking and close-on-exec: a child that inherited it would keep the mount hanging after our death. */
  readonly device: number;
  /** The real path. */
  readonly mountPoint: string;
}

/**
 * Mounts a FUSE file system that nobody serves yet. The caller serves and closes the device, and unmounts.
 * A mount of ours that a killed process left at the same place is detached first: the mount point belongs to the caller alone.
 */
export async function mountFuse(mountPoint: string, kind: FuseKind = 'private'): Promise<FuseMount> {
  // Nothing may look at the mount point itself before stale mounts are gone: a dead one answers ENOTCONN, a hung one never.
  await mkdir(dirname(mountPoint), {recursive: true, mode: 0o700});
  const target = join(await realpath(dirname(mountPoint)), basename(mountPoint));
  for (const type of await mountsAt(target)) {
    if (type === `fuse ${sourceName}`) umount(target, {detach: true});
  }
  try {
    await mkdir(target, {mode: 0o700});
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  const device = open('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const {readOnly, noSuid, noDev, noExec} = mountFlag;
    // The kernel checks the modes we give, although other users may pass through the mount.
    const data = `fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=${maxReadBytes}`;
    mount({source: sourceName, target, type: 'fuse', flags: readOnly | noSuid | noDev | (kind === 'private' ? noExec : 0), data});
  } catch (error) {
    close(device);
    throw error;
  }
  return {device, mountPoint: target};
}

/**
 * Takes the mount away at once; files still open elsewhere end with the connection. Must not be called by the thread
 * that serves it: the kernel may wait for requests under way.
 */
export function detachFuse(mountPoint: string): void {
  try {
    umount(mountPoint, {detach: true});
  } catch (error) {
    // Somebody unmounted it before us: that is the wanted state.
    if (!(error instanceof SystemCallError && errnoName(error.errno) === 'EINVAL')) throw error;
  }
}

/** What is mounted at exactly this path, topmost last: `type source`. */
async function mountsAt(path: string): Promise<string[]> {
  return (await mountTable()).filter((entry) => entry.path === path).map(({what}) => what);
}

/** Where below a directory FUSE file systems of ours are mounted, whoever serves them. */
export async function fuseMountsBelow(directory: string): Promise<string[]> {
  const root = await realpath(directory);
  return (await mountTable()).filter(({path, what}) => what === `fuse ${sourceName}` && path.startsWith(`${root}/`)).map(({path}) => path);
}

async function mountTable(): Promise<{readonly path: string; readonly what: string}[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table.split('\n').map((line) => {
    const [mountFields = '', typeFields = ''] = line.split(' - ');
    const path = mountFields.split(' ')[4] ?? '';
    return {
      path: path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
      what: typeFields.split(' ').slice(0, 2).join(' '),
    };
  });
}
