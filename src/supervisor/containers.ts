/** All containers of one gateway: what they share, and what a gateway that was killed has left of them. */
import {existsSync, mkdirSync, readdirSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import type {GatewayIdentity} from '../core/ids.ts';
import {keptPath} from '../core/kept-path.ts';
import {mount, mountFlag, prctl} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import {Cgroup} from './cgroup.ts';
import {type CgroupMounts, findCgroupMounts} from './cgroup-mounts.ts';
import {Container, type Containers} from './container.ts';
import {GuestCommands} from './guest-commands.ts';
import type {MountImage} from './image-settings.ts';
import {memoryTotal} from './memory-total.ts';
import {unmountBelow} from './mounts.ts';

export interface ContainersOptions {
  readonly identity: GatewayIdentity;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly mountImage: MountImage;
  readonly log: Log;
}

const setChildSubreaper = 36;

/**
 * Mounts a tmpfs for the containers and makes this process the parent of whatever loses its own (so that ended apps
 * can be reaped). Leftovers must have been removed before.
 * @throws CodedError ERR_NO_RUNC, ERR_NO_CGROUPS, ERR_SYSTEM_CALL
 */
export async function openContainers(options: ContainersOptions): Promise<Containers> {
  const {identity, stateDir, log} = options;
  await checkRunc();
  const mounts = findCgroupMounts();
  const directory = containersDirectory(options.runtimeDir);
  mkdirSync(directory, {recursive: true, mode: 0o700});
  mount({source: 'picogate', target: directory, type: 'tmpfs', flags: mountFlag.noSuid, data: 'mode=700'});
  // Roots that are mounted below must not appear in other mount namespaces, where they would stay busy.
  mount({source: 'none', target: directory, type: '', flags: mountFlag.private});
  prctl(setChildSubreaper, 1);
  const added = new Map<string, Container>();
  const runcRoot = join(directory, '+runc');
  return {
    directory,
    cgroupDirectory: new Cgroup(mounts, cgroupPath(identity)).directory,
    add(app, netnsPath) {
      const cgroup = keptPath(cgroupPath(identity), app.name);
      const container = new Container({
        app,
        netnsPath,
        cgroup: new Cgroup(mounts, cgroup),
        guests: new GuestCommands(mounts, cgroup),
        directory: keptPath(directory, app.name),
        runcRoot,
        appDir: keptPath(stateDir, 'apps', app.name),
        mountImage: options.mountImage,
        log,
      });
      added.set(app.name, container);
      return container;
    },
    async remove(app) {
      const container = added.get(app);
      added.delete(app);
      await container?.[Symbol.asyncDispose]();
    },
    forgetImages() {
      for (const container of added.values()) container.forgetImage();
    },
    memoryTotal: () => memoryTotal(mounts, cgroupPath(identity)),
    async [Symbol.asyncDispose]() {
      unmountBelow(directory);
      await rm(directory, {recursive: true, force: true});
      removeCgroups(mounts, identity);
    },
  };
}

/** What a gateway of this identity that was killed has left: its apps' processes (killed, and gone when this resolves), mounts, control groups. */
export async function removeContainerLeftovers(options: Pick<ContainersOptions, 'identity' | 'runtimeDir'>): Promise<void> {
  const mounts = findCgroupMounts();
  for (const path of cgroupsBelow(mounts, cgroupPath(options.identity))) {
    await new GuestCommands(mounts, path).kill();
    await new Cgroup(mounts, path).kill();
  }
  removeCgroups(mounts, options.identity);
  const directory = containersDirectory(options.runtimeDir);
  unmountBelow(directory);
  await rm(directory, {recursive: true, force: true});
}

/** Ours, and the parent when no other gateway has groups in it. */
function removeCgroups(mounts: CgroupMounts, identity: GatewayIdentity): void {
  new Cgroup(mounts, cgroupPath(identity)).remove();
  new Cgroup(mounts, 'picogate').removeIfUnused();
}

function containersDirectory(runtimeDir: string): string {
  return join(runtimeDir, 'containers');
}

function cgroupPath(identity: GatewayIdentity): string {
  return `picogate/${identity}`;
}

/** Paths of all control groups at and below `path`, in any hierarchy. */
function cgroupsBelow(mounts: CgroupMounts, path: string): string[] {
  const names = new Set<string>();
  for (const root of [mounts.unified, ...mounts.legacy.values()]) {
    if (root === undefined || !existsSync(join(root, path))) continue;
    for (const entry of readdirSync(join(root, path), {withFileTypes: true})) if (entry.isDirectory()) names.add(`${path}/${entry.name}`);
  }
  return [...names];
}

async function checkRunc(): Promise<void> {
  try {
    await run(['runc', '--version'], {timeoutMs: 10_000});
  } catch (cause) {
    throw new CodedError('ERR_NO_RUNC', 'Cannot start containers: runc does not work here; install it (Debian: apt-get install runc)', {source: 'host', cause});
  }
}
