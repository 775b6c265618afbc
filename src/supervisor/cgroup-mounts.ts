/**
 * Where this host keeps its control groups: pure v2, pure v1, or the hybrid of v1 controllers and a v2 hierarchy
 * without any, which serves for tracking.
 */
import {readFileSync} from 'node:fs';
import {join, relative} from 'node:path';
import {CodedError} from '../core/errors.ts';
import {parseMountInfo} from './mounts.ts';

export type Controller = 'memory' | 'cpu' | 'pids';

export interface CgroupMounts {
  /** The v2 hierarchy, or undefined on a host with v1 only. */
  readonly unified: string | undefined;
  /** True when the limits are set in the v2 hierarchy. */
  readonly unifiedLimits: boolean;
  /** Mount point of each v1 controller that limits something of ours. */
  readonly legacy: ReadonlyMap<Controller, string>;
  /** The other v1 hierarchies: mount point, and the directory there in which this process is. */
  readonly unused: readonly {readonly root: string; readonly ownDirectory: string}[];
}

const controllers = ['memory', 'cpu', 'pids'] as const satisfies readonly Controller[];

/** @throws CodedError ERR_NO_CGROUPS when neither version is mounted */
export function findCgroupMounts(
  mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
  ownCgroups: string = readFileSync('/proc/self/cgroup', 'utf8'),
): CgroupMounts {
  const own = ownPaths(ownCgroups);
  const unused: {root: string; ownDirectory: string}[] = [];
  let unified: string | undefined;
  const legacy = new Map<Controller, string>();
  for (const mount of parseMountInfo(mountInfo)) {
    if (mount.type === 'cgroup2') unified ??= mount.mountPoint;
    if (mount.type !== 'cgroup') continue;
    const found = controllers.filter((controller) => mount.superOptions.includes(controller));
    for (const controller of found) if (!legacy.has(controller)) legacy.set(controller, mount.mountPoint);
    const path = mount.superOptions.flatMap((option) => own.get(option) ?? [])[0];
    if (found.length === 0 && path !== undefined) unused.push({root: mount.mountPoint, ownDirectory: join(mount.mountPoint, relative(mount.root, path))});
  }
  if (unified === undefined && legacy.size === 0) {
    throw new CodedError('ERR_NO_CGROUPS', 'Cannot find the control groups of this host: no cgroup file system is mounted', {source: 'host'});
  }
  return {unified, unifiedLimits: unified !== undefined && legacy.size === 0, legacy, unused};
}

/** `4:memory:/a/b` and `9:name=systemd:/`: the path by each option of the hierarchy's mount. */
function ownPaths(text: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, options, ...path] = line.split(':');
    for (const option of options?.split(',') ?? []) if (option !== '') paths.set(option, path.join(':'));
  }
  return paths;
}
