/**
 * A container that runc makes of the same root file system and the same settings as an app of ours has, in a network namespace of its
 * own. Its programs have no file of the host open, so that CRIU alone can save them.
 */
import {randomBytes} from 'node:crypto';
import {mkdirSync} from 'node:fs';
import {readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {run} from '../../src/core/command.ts';
import {prctl, reap} from '../../src/core/libc.ts';
import {createDeviceFiles} from '../../src/supervisor/device-files.ts';
import {unmountBelow} from '../../src/supervisor/mounts.ts';
import {ociSpec} from '../../src/supervisor/oci-spec.ts';
import {mountOverlay} from '../../src/supervisor/overlay.ts';
import {completeRoot} from '../../src/supervisor/rootfs-files.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import type {Server} from './servers.ts';

const fixtures = fileURLToPath(new URL('../../test/fixtures', import.meta.url));
const commandTimeoutMs = 30_000;
const endTimeoutMs = 10_000;
const openFiles = 1024;
const setChildSubreaper = 36;

export interface PeerContainer extends AsyncDisposable {
  readonly netnsPath: string;
  readonly rootDir: string;
  /** Bind mounts: where they come from, by their places inside. */
  readonly binds: readonly {readonly name: string; readonly inside: string; readonly outside: string}[];
  /** From nothing: `runc run`. Resolves when the program was started. */
  start(): Promise<void>;
  /** The first process, of the program that was started or of what somebody has restored. */
  pid: number | null;
  /** Ends what runs and waits until it is gone. */
  end(): Promise<void>;
}

/** The caller disposes it. @param directory must exist, on a file system with device files */
export async function openPeerContainer(
  {id, packages, exec}: Server,
  {directory, use}: {readonly directory: string; readonly use: string},
): Promise<PeerContainer> {
  await using scope = new AsyncDisposableStack();
  // What is started and restored is left to us by those who did it.
  prctl(setChildSubreaper, 1);
  const name = `picogate-b${randomBytes(3).toString('hex')}-${id}-${use}`;
  const place = join(directory, `${id}-${use}`);
  const [rootDir, deviceDir, layersDir, bundle] = ['root', 'dev', 'layers', 'bundle'].map((part) => join(place, part)) as [string, string, string, string];
  for (const path of [place, rootDir, layersDir, bundle]) mkdirSync(path);
  createDeviceFiles(deviceDir);
  await run(['ip', 'netns', 'add', name], {timeoutMs: commandTimeoutMs});
  scope.defer(() => run(['ip', 'netns', 'delete', name], {timeoutMs: commandTimeoutMs}).then(() => undefined));
  await run(['ip', '-n', name, 'link', 'set', 'lo', 'up'], {timeoutMs: commandTimeoutMs});
  mountOverlay({rootfs: await rootfsWith(...packages), layersDir, layers: [], newLayer: 'layer'}, rootDir);
  scope.defer(() => unmountBelow(rootDir));
  await completeRoot(rootDir, id);
  const netnsPath = `/run/netns/${name}`;
  const volume = {source: fixtures, destination: '/srv', readOnly: true} as const;
  const spec = ociSpec({
    app: {volumes: [volume]},
    start: {exec: ['/bin/sh', '-c', `exec ${exec} </dev/null >/dev/null 2>&1`], env: {}, workdir: '/', user: '0'},
    rootDir,
    deviceDir,
    netnsPath,
    cgroupPath: name,
    hostname: id,
    user: {uid: 0, gid: 0, additionalGids: [], home: '/root'},
    openFiles,
  });
  await writeFile(join(bundle, 'config.json'), JSON.stringify(spec));
  const runc = ['runc', '--root', join(place, 'runc')] as const;
  const container: PeerContainer = {
    netnsPath,
    rootDir,
    binds: [
      {name: 'dev', inside: '/dev', outside: deviceDir},
      {name: 'srv', inside: '/srv', outside: fixtures},
    ],
    pid: null,
    async start() {
      const pidFile = join(bundle, 'pid');
      await run([...runc, 'run', '--detach', '--bundle', bundle, '--pid-file', pidFile, name], {timeoutMs: commandTimeoutMs});
      container.pid = Number(await readFile(pidFile, 'utf8'));
    },
    async end() {
      await endTree(container.pid);
      container.pid = null;
      // Its record and control groups; there are none when it was restored.
      await run([...runc, 'delete', '--force', name], {timeoutMs: commandTimeoutMs});
      await rm(join(bundle, 'pid'), {force: true});
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  scope.defer(() => container.end());
  const owned = scope.move();
  return container;
}

/** With the first process of its namespace all others end. */
async function endTree(pid: number | null): Promise<void> {
  if (pid === null) return;
  for (const deadlineMs = performance.now() + endTimeoutMs; reap(pid) === undefined; ) {
    process.kill(pid, 'SIGKILL');
    if (performance.now() > deadlineMs) throw new Error(`process ${pid} does not end`);
    await sleep(1);
  }
}
