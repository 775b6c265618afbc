/** The configuration that runc gets for the first start of an app: a pure function of what the operator wrote. */
import type {AppConfig} from '../config/value.ts';
import {containerCapabilities} from './capabilities.ts';
import type {ContainerUser} from './container-user.ts';
import type {StartSettings} from './image-settings.ts';
import {seccompProfile} from './seccomp.ts';

export interface SpecOptions {
  readonly app: Pick<AppConfig, 'volumes'>;
  readonly start: StartSettings;
  readonly rootDir: string;
  readonly deviceDir: string;
  readonly netnsPath: string;
  readonly cgroupPath: string;
  readonly hostname: string;
  readonly user: ContainerUser;
  /** Soft and hard limit of open files; raising the gateway's own hard limit is not everywhere allowed. */
  readonly openFiles: number;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** When the machine runs out of memory, apps go before the gateway. */
const oomScoreAdjustment = 500;

/**
 * What tells of the machine rather than of the app. Files only: a masked directory is a tmpfs, which costs every
 * checkpoint and wake a run of tar. (/proc/kcore needs a capability that no container has.)
 */
const maskedPaths = ['/proc/keys', '/proc/latency_stats', '/proc/sched_debug', '/proc/timer_list', '/proc/timer_stats'] as const;
/** What root of the container could change for the machine: without any capability it still owns these files. */
const readonlyPaths = ['/proc/acpi', '/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/scsi', '/proc/sys', '/proc/sysrq-trigger'] as const;

/** @returns the content of `config.json`, OCI runtime specification 1.0 */
export function ociSpec(options: SpecOptions): object {
  const {app, user, start} = options;
  const env = {PATH: defaultPath, HOME: user.home, HOSTNAME: options.hostname, ...start.env};
  return {
    ociVersion: '1.0.2',
    root: {path: options.rootDir, readonly: false},
    hostname: options.hostname,
    process: {
      terminal: false,
      user: {uid: user.uid, gid: user.gid, additionalGids: user.additionalGids},
      args: start.exec,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: start.workdir,
      capabilities: {bounding: containerCapabilities, effective: containerCapabilities, permitted: containerCapabilities},
      rlimits: [
        {type: 'RLIMIT_NOFILE', soft: options.openFiles, hard: options.openFiles},
        {type: 'RLIMIT_CORE', soft: 0, hard: 0},
      ],
      noNewPrivileges: true,
      oomScoreAdj: oomScoreAdjustment,
    },
    mounts: [
      {destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev']},
      {destination: '/dev', type: 'bind', source: options.deviceDir, options: ['bind', 'rprivate', 'nosuid', 'noexec']},
      ...app.volumes.map(({source, destination, readOnly}) => ({
        destination,
        type: 'bind',
        source,
        options: ['bind', 'rprivate', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'],
      })),
    ],
    linux: {
      namespaces: [{type: 'pid'}, {type: 'ipc'}, {type: 'uts'}, {type: 'mount'}, {type: 'network', path: options.netnsPath}],
      cgroupsPath: `/${options.cgroupPath}`,
      rootfsPropagation: 'private',
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile(),
    },
  };
}
