/**
 * Where this host keeps its control groups: pure v2, pure v1, or the hybrid of v1 controllers and a v2 hierarchy
 * without any, which serves for tracking.
 */
import {readFileSync} from 'node:fs';
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
}

const controllers = ['memory', 'cpu', 'pids'] as const satisfies readonly Controller[];

/** @throws CodedError ERR_NO_CGROUPS when neither version is mounted */
export function findCgroupMounts(mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8')): CgroupMounts {
  let unified: string | undefined;
  const legacy = new Map<Controller, string>();
  for (const mount of parseMountInfo(mountInfo)) {
    if (mount.type === 'cgroup2') unified ??= mount.mountPoint;
    if (mount.type !== 'cgroup') continue;
    for (const controller of controllers) {
      if (!legacy.has(controller) && mount.superOptions.includes(controller)) legacy.set(controller, mount.mountPoint);
    }
  }
  if (unified === undefined && legacy.size === 0) {
    throw new CodedError('ERR_NO_CGROUPS', 'Cannot find the control groups of this host: no cgroup file system is mounted', {source: 'host'});
  }
  return {unified, unifiedLimits: unified !== undefined && legacy.size === 0, legacy};
}
