/** The static /dev of an app: one directory, bind-mounted, which CRIU therefore neither saves nor restores. */
import {chmodSync, mkdirSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {mknod} from '../core/libc.ts';

const characterDevice = 0o020000;

const devices = [
  {name: 'null', major: 1, minor: 3},
  {name: 'zero', major: 1, minor: 5},
  {name: 'full', major: 1, minor: 7},
  {name: 'random', major: 1, minor: 8},
  {name: 'urandom', major: 1, minor: 9},
  {name: 'tty', major: 5, minor: 0},
] as const;

/** POSIX shared memory lies in the app's root, in a directory with this name: a tmpfs of its own would cost every checkpoint and wake a run of tar. */
export const sharedMemoryDirectory = '.shm';

const links = [
  {name: 'fd', target: '/proc/self/fd'},
  {name: 'stdin', target: '/proc/self/fd/0'},
  {name: 'stdout', target: '/proc/self/fd/1'},
  {name: 'stderr', target: '/proc/self/fd/2'},
  {name: 'shm', target: `/${sharedMemoryDirectory}`},
] as const;

/** Fills a new directory, which must be on a file system mounted without `nodev`. */
export function createDeviceFiles(directory: string): void {
  mkdirSync(directory, {mode: 0o755});
  for (const {name, major, minor} of devices) {
    const path = join(directory, name);
    mknod(path, characterDevice | 0o666, major, minor);
    chmodSync(path, 0o666); // mknod(2) takes the umask away.
  }
  for (const {name, target} of links) symlinkSync(target, join(directory, name));
}
