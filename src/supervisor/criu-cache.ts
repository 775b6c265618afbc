/**
 * CRIU finds out what the kernel can do, which takes 25 ms and more, and keeps that in /run/criu.kdat, but only when
 * /run is a tmpfs (the file must not outlive a reboot). Where /run is none, as on machines without systemd, CRIU makes
 * the file here in a mount namespace of its own; it is put on our tmpfs, and a link in /run leads to it. After a reboot
 * the link leads nowhere, and CRIU looks at the kernel again.
 */
import {copyFile, mkdir, readlink, rm, stat, statfs, symlink, unlink, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../core/command.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {mount, mountFlag, umount} from '../core/libc.ts';
import type {Argv} from '../core/tools.ts';

const tmpfsType = 0x01021994;
const cachePath = '/run/criu.kdat';
const timeoutMs = 30_000;

/**
 * Makes the cache where CRIU cannot. Disposing takes the link away.
 * @param directory on a tmpfs, mounted privately
 * @throws CodedError when it cannot be made; CRIU works without
 */
export async function openCriuCache(criu: Argv, directory: string): Promise<AsyncDisposable> {
  const nothingToRemove = {[Symbol.asyncDispose]: () => Promise.resolve()};
  if ((await statfs('/run')).type === tmpfsType || (await exists(cachePath))) return nothingToRemove;
  const file = join(directory, 'criu.kdat');
  await makeCache(criu, join(directory, '+criu-cache'), file);
  await rm(cachePath, {force: true}); // A link that leads nowhere.
  try {
    await symlink(file, cachePath);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return nothingToRemove; // Another gateway was faster.
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      if ((await readlink(cachePath).catch(() => '')) === file) await unlink(cachePath);
    },
  };
}

async function makeCache(criu: Argv, scratch: string, file: string): Promise<void> {
  await mkdir(scratch);
  const namespace = join(scratch, 'mnt');
  const cache = join(scratch, 'run');
  await mkdir(cache);
  mount({source: 'picogate', target: cache, type: 'tmpfs', flags: mountFlag.noSuid, data: 'mode=700'});
  try {
    await writeFile(namespace, '');
    await run(['unshare', `--mount=${namespace}`, '--propagation', 'private', 'mount', '--bind', cache, '/run'], {timeoutMs});
    try {
      // Its verdict on the kernel is the operator's business (picogate doctor).
      await run(['nsenter', `--mount=${namespace}`, ...criu, 'check'], {timeoutMs}).catch(() => undefined);
    } finally {
      umount(namespace, {detach: true});
    }
    await copyFile(join(cache, 'criu.kdat'), file);
  } catch (cause) {
    throw new CodedError('ERR_CRIU_CACHE', "Cannot keep CRIU's knowledge of the kernel", {source: 'host', cause});
  } finally {
    umount(cache, {detach: true});
    await rm(scratch, {recursive: true, force: true});
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path); // Follows the link.
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
