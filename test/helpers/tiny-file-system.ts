import {mkdir} from 'node:fs/promises';
import {mount, mountFlag, umount} from '../../src/core/libc.ts';

/** Mounts a tmpfs of a given size on a new directory `path`, unmounted when disposed. Needs root. */
export async function tinyFileSystem(path: string, sizeBytes: number): Promise<AsyncDisposable> {
  await mkdir(path, {recursive: true});
  mount({source: 'tmpfs', target: path, type: 'tmpfs', flags: mountFlag.noSuid | mountFlag.noDev, data: `size=${sizeBytes}`});
  return {
    async [Symbol.asyncDispose]() {
      umount(path, {detach: true});
    },
  };
}
