/**
 * CRIU finds out what the kernel can do, which takes 25 ms and more, and keeps that in /run/criu.kdat, but only when
 * /run is a tmpfs (the file must not outlive a reboot). Where /run is none, as on machines without systemd, CRIU makes
 * the file here in a mount namespace of its own; it is put in /dev/shm, and a link in /run leads to it. It stays there for
 * all gateways of the host, as CRIU's own file would. After a reboot the link leads nowhere, and CRIU looks at the kernel again.
 */
import {copyFile, lstat, mkdir, rename, rm, stat, statfs, symlink, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../core/command.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {mount, mountFlag, umount} from '../core/libc.ts';
import type {Argv} from '../core/tools.ts';

const tmpfsType = 0x01021994;
const cachePath = '/run/criu.kdat';
const sharedPath = '/dev/shm/picogate';
const timeoutMs = 30_000;

/**
 * Makes the cache where CRIU cannot.
 * @param directory on a tmpfs, mounted privately: for the work
 * @throws CodedError when it cannot be made; CRIU works without
 */
export async function makeCriuCache(criu: Argv, directory: string): Promise<void> {
  if ((await statfs('/run')).type === tmpfsType || (await exists(cachePath))) return;
  const shared = await sharedDirectory();
  const file = join(shared, 'criu.kdat');
  if (!(await exists(file))) await makeCache(criu, join(directory, '+criu-cache'), file);
  await rm(cachePath, {force: true}); // A link that leads nowhere.
  try {
    await symlink(file, cachePath);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error; // Else another gateway was faster.
  }
}

/** Ours alone, in a place where anybody may make a directory. */
async function sharedDirectory(): Promise<string> {
  if ((await statfs('/dev/shm')).type !== tmpfsType)
    throw new CodedError('ERR_CRIU_CACHE', 'Cannot keep a file until the next reboot: /dev/shm is no tmpfs', {source: 'host'});
  await mkdir(sharedPath, {mode: 0o700, recursive: true});
  const {uid, mode} = await lstat(sharedPath);
  if (uid === 0 && (mode & 0o177_777) === 0o040_700) return sharedPath;
  throw new CodedError('ERR_CRIU_CACHE', `Cannot use "${sharedPath}": it is not a directory that only root can write to`, {source: 'host'});
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
    const copy = `${file}.${process.pid}`;
    await copyFile(join(cache, 'criu.kdat'), copy);
    await rename(copy, file);
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
