/** The configuration that runc gets for the first start of an app: a pure function of what the operator wrote. */
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {containerCapabilities} from './capabilities.ts';
import type {ContainerUser} from './container-user.ts';
import {sharedMemoryDirectory} from './device-files.ts';
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

export interface GuestSpecOptions extends Person {
  readonly cgroupPath: string;
  /** Where the root of the app is mounted. */
  readonly rootDir: string;
  /** Of the app, whose namespaces are joined. */
  readonly pid: number;
  readonly args: readonly string[];
  readonly terminal: boolean;
  readonly consoleSize: {readonly width: number; readonly height: number} | null;
  /** Added to those of the app. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * A command beside the processes of an app: in its namespaces but for that of mounts, and with its restrictions. It sees the same files, and has a /dev of
 * its own, with terminals, of which no checkpoint has to know.
 * @returns the content of `config.json`
 */
export function guestSpec(options: GuestSpecOptions): object {
  const {app, rootDir, pid, args, env, terminal, consoleSize} = options;
  const joined = (type: string, file: string): object => ({type, path: `/proc/${pid}/ns/${file}`});
  return {
    ociVersion: '1.0.2',
    root: {path: rootDir, readonly: false},
    process: {...processOf(options), terminal, ...(consoleSize !== null && {consoleSize}), args, env: environment(options, env)},
    mounts: [
      procMount,
      {destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=64k']},
      {destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']},
      {destination: '/dev/shm', type: 'bind', source: join(rootDir, sharedMemoryDirectory), options: ['bind', 'rprivate', 'nosuid', 'nodev']},
      ...volumeMounts(app),
    ],
    linux: {
      namespaces: [joined('pid', 'pid'), joined('ipc', 'ipc'), joined('uts', 'uts'), joined('network', 'net'), {type: 'mount'}],
      cgroupsPath: `/${options.cgroupPath}`,
      rootfsPropagation: 'private',
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile(),
    },
  };
}

export type Person = Pick<SpecOptions, 'app' | 'start' | 'hostname' | 'user' | 'openFiles'>;

function environment({start, hostname, user}: Person, more: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries({PATH: defaultPath, HOME: user.home, HOSTNAME: hostname, ...start.env, ...more}).map(([name, value]) => `${name}=${value}`);
}

function processOf({start, user, openFiles}: Person): object {
  return {
    terminal: false,
    user: {uid: user.uid, gid: user.gid, additionalGids: user.additionalGids},
    cwd: start.workdir,
    capabilities: {bounding: containerCapabilities, effective: containerCapabilities, permitted: containerCapabilities},
    rlimits: [
      {type: 'RLIMIT_NOFILE', soft: openFiles, hard: openFiles},
      {type: 'RLIMIT_CORE', soft: 0, hard: 0},
    ],
    noNewPrivileges: true,
    oomScoreAdj: oomScoreAdjustment,
  };
}

const procMount = {destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev']} as const;

function volumeMounts({volumes}: Pick<AppConfig, 'volumes'>): object[] {
  return volumes.map(({source, destination, readOnly}) => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', 'rprivate', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'],
  }));
}

/** @returns the content of `config.json`, OCI runtime specification 1.0 */
export function ociSpec(options: SpecOptions): object {
  const {app} = options;
  return {
    ociVersion: '1.0.2',
    root: {path: options.rootDir, readonly: false},
    hostname: options.hostname,
    process: {...processOf(options), args: options.start.exec, env: environment(options)},
    mounts: [
      procMount,
      {destination: '/dev', type: 'bind', source: options.deviceDir, options: ['bind', 'rprivate', 'nosuid', 'noexec']},
      ...volumeMounts(app),
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
