/** All containers of one gateway: what they share, and what a gateway that was killed has left of them. */
import {existsSync, mkdirSync, readdirSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {run} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import type {GatewayIdentity} from '../core/ids.ts';
import {keptPath} from '../core/kept-path.ts';
import {mount, mountFlag, prctl} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import {Cgroup} from './cgroup.ts';
import {type CgroupMounts, findCgroupMounts} from './cgroup-mounts.ts';
import {Container} from './container.ts';
import {GuestCommands} from './guest-commands.ts';
import type {MountImage} from './image-settings.ts';
import {innerPid} from './inner-pid.ts';
import {memoryTotal} from './memory-total.ts';
import {mountsBelow, unmountBelow} from './mounts.ts';
import {forgetOthers, notesName, type RunningInstance, readRunning} from './running-instances.ts';

export interface ContainersOptions {
  readonly identity: GatewayIdentity;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly mountImage: MountImage;
  readonly log: Log;
}

/** Where containers come from. Disposing leaves everything as it is while there are apps that are to be taken over and were not: see `findRunning()`. */
export interface Containers extends AsyncDisposable {
  /** A tmpfs of ours, mode 700, where device files work. */
  readonly directory: string;
  /** Of the control groups of all apps. */
  readonly cgroupDirectory: string;
  /** The caller disposes it, before these containers. */
  add(app: AppConfig, netnsPath: string): Container;
  /** Ends what runs of an app that was added, and leaves nothing of it, so that it can be added again. */
  remove(app: string): Promise<void>;
  /** Images may have been unmounted. */
  forgetImages(): void;
  /** What all of them may use of memory together. */
  memoryTotal(): Promise<number>;
}

const setChildSubreaper = 36;

/**
 * Mounts a tmpfs for the containers, or goes on with that of a gateway that was killed, and makes this process the parent of whatever loses its own (so
 * that ended apps can be reaped). Leftovers must have been removed before.
 * @throws CodedError ERR_NO_RUNC, ERR_NO_CGROUPS, ERR_SYSTEM_CALL
 */
export async function openContainers(options: ContainersOptions): Promise<Containers> {
  const {identity, stateDir, log} = options;
  await checkRunc();
  const mounts = findCgroupMounts();
  const directory = containersDirectory(options.runtimeDir);
  mkdirSync(directory, {recursive: true, mode: 0o700});
  if (!isMounted(directory)) {
    mount({source: 'picogate', target: directory, type: 'tmpfs', flags: mountFlag.noSuid, data: 'mode=700'});
    // Roots that are mounted below must not appear in other mount namespaces, where they would stay busy.
    mount({source: 'none', target: directory, type: '', flags: mountFlag.private});
    // Over itself, so that it can be unmounted in a copy of these mounts and stays here, whatever is shared with the host: see host-mounts.ts.
    mount({source: directory, target: directory, type: '', flags: mountFlag.bind});
  }
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
      if (findRunning(options).length > 0) return;
      unmountBelow(directory);
      await rm(directory, {recursive: true, force: true});
      removeCgroups(mounts, identity);
    },
  };
}

type Host = Pick<ContainersOptions, 'identity' | 'runtimeDir'>;

/** What runs of the apps of a gateway of this identity that was killed, or could not take it over, and was not on its way to sleep. */
export function findRunning({identity, runtimeDir}: Host): RunningInstance[] {
  const directory = containersDirectory(runtimeDir);
  if (!isMounted(directory)) return [];
  const mounts = findCgroupMounts();
  return readRunning(directory).filter(({config: {name}}) => {
    const pids = new Cgroup(mounts, join(cgroupPath(identity), name)).pids();
    return isMounted(join(directory, name, 'root')) && pids.some((pid) => innerPid(pid) === 1);
  });
}

/**
 * What a gateway of this identity that was killed has left: its apps' processes (killed, and gone when this resolves), mounts, control groups.
 * @param kept the apps that are to be taken over
 */
export async function removeContainerLeftovers({identity, runtimeDir}: Host, kept: ReadonlySet<string> = new Set()): Promise<void> {
  const mounts = findCgroupMounts();
  const own = cgroupPath(identity);
  const groups = cgroupsBelow(mounts, own).map((name) => ({isKept: kept.has(name), path: `${own}/${name}`}));
  for (const {path} of groups) await new GuestCommands(mounts, path).kill();
  for (const {path, isKept} of groups) if (!isKept) await new Cgroup(mounts, path).kill();
  const directory = containersDirectory(runtimeDir);
  if (kept.size === 0) {
    removeCgroups(mounts, identity);
    unmountBelow(directory);
    await rm(directory, {recursive: true, force: true});
    return;
  }
  for (const {path, isKept} of groups) if (!isKept) new Cgroup(mounts, path).remove();
  forgetOthers(directory, kept);
  for (const name of readdirSync(directory)) {
    if (kept.has(name) || name === notesName) continue;
    unmountBelow(join(directory, name));
    await rm(join(directory, name), {recursive: true, force: true});
  }
}

function isMounted(directory: string): boolean {
  return mountsBelow(directory).some(({mountPoint}) => mountPoint === directory);
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

/** Names of all control groups in that of `path`, in any hierarchy. */
function cgroupsBelow(mounts: CgroupMounts, path: string): string[] {
  const names = new Set<string>();
  for (const root of [mounts.unified, ...mounts.legacy.values()]) {
    if (root === undefined || !existsSync(join(root, path))) continue;
    for (const entry of readdirSync(join(root, path), {withFileTypes: true})) if (entry.isDirectory()) names.add(entry.name);
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
