/**
 * Where this host keeps its control groups: pure v2, pure v1, or the hybrid of v1 controllers and a v2 hierarchy
 * without any, which serves for tracking.
 */
import {readFileSync} from 'node:fs';
import {join, relative} from 'node:path';
import {CodedError} from '../core/errors.ts';
import {parseMountInfo} from './mounts.ts';

/** Those that limit something of ours. */
export const limiting = ['memory', 'cpu', 'pids'] as const;
/** `cpuacct` counts processor time where there is no v2 hierarchy, which does so by itself. */
export type Controller = (typeof limiting)[number] | 'cpuacct';

export interface CgroupMounts {
  /** The v2 hierarchy, or undefined on a host with v1 only. */
  readonly unified: string | undefined;
  /** True when the limits are set in the v2 hierarchy. */
  readonly unifiedLimits: boolean;
  /** Mount point of each v1 controller that is used. */
  readonly legacy: ReadonlyMap<Controller, string>;
  /** The other v1 hierarchies: mount point, and the directory there in which this process is. */
  readonly unused: readonly {readonly root: string; readonly ownDirectory: string}[];
}

/** @throws CodedError ERR_NO_CGROUPS when neither version is mounted */
export function findCgroupMounts(
  mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
  ownCgroups: string = readFileSync('/proc/self/cgroup', 'utf8'),
): CgroupMounts {
  const own = ownPaths(ownCgroups);
  const unused: {root: string; ownDirectory: string}[] = [];
  const legacy = new Map<Controller, string>();
  const mounts = parseMountInfo(mountInfo);
  const unified = mounts.find(({type}) => type === 'cgroup2')?.mountPoint;
  const controllers: readonly Controller[] = unified === undefined ? [...limiting, 'cpuacct'] : limiting;
  for (const mount of mounts) {
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
