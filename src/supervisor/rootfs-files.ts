/**
 * Files in a mounted root that the gateway reads or writes from outside. An app may have replaced any of them by a
 * symbolic link that would lead out of its root, so none is followed; the app does not run while this is done.
 */
import {constants} from 'node:fs';
import {chmod, lstat, mkdir, open, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode} from '../core/errors.ts';
import {sharedMemoryDirectory} from './device-files.ts';

/** The text of /etc/<name>, or '' when there is none, or none that can be read safely. */
export async function readEtc(rootDir: string, name: string): Promise<string> {
  if (!(await isDirectory(join(rootDir, 'etc')))) return '';
  try {
    const handle = await open(join(rootDir, 'etc', name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return (await handle.stat()).isFile() ? await handle.readFile('utf8') : '';
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ELOOP' || errorCode(error) === 'ENXIO') return '';
    throw error;
  }
}

/** Writes name resolution, host name and the directory of shared memory into the new layer, where the root has none. */
export async function completeRoot(rootDir: string, hostname: string): Promise<void> {
  await makeDirectory(join(rootDir, sharedMemoryDirectory), 0o1777);
  await makeDirectory(join(rootDir, 'etc'), 0o755);
  if (!(await isDirectory(join(rootDir, 'etc')))) return;
  await writeNew(join(rootDir, 'etc', 'hostname'), `${hostname}\n`);
  await writeNew(join(rootDir, 'etc', 'hosts'), `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${hostname}\n`);
  await writeNew(join(rootDir, 'etc', 'resolv.conf'), await nameServers());
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path);
    await chmod(path, mode);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    const handle = await open(path, 'wx', 0o644);
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/** The host's, without a resolver that only the host itself can reach. */
async function nameServers(): Promise<string> {
  for (const path of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    const text = await readFile(path, 'utf8').catch(() => ''); // An app can do without.
    const lines = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1)/.test(line));
    if (lines.some((line) => /^\s*nameserver\s/.test(line))) return lines.join('\n');
  }
  return '';
}
