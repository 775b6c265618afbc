/** What the machine around the kernel gives us: rights, file systems, room. */
import {constants} from 'node:fs';
import {access, readFile, statfs} from 'node:fs/promises';
import {release} from 'node:os';
import {CodedError} from '../../core/errors.ts';
import {findCgroupMounts} from '../../supervisor/cgroup-mounts.ts';
import {bytes} from '../format.ts';
import type {Check} from './finding.ts';
import {defaultStateDirectory, nearestDirectory} from './state-directory.ts';

const usefulDiskBytes = 1024 ** 3;

/** Bit numbers of capabilities(7). */
const neededCapabilities = {
  chown: 0,
  setgid: 6,
  setuid: 7,
  net_admin: 12,
  net_raw: 13,
  sys_chroot: 18,
  sys_ptrace: 19,
  sys_admin: 21,
  mknod: 27,
  checkpoint_restore: 40,
} as const;
const resourceCapability = 24;

export const systemChecks: readonly Check[] = [
  {
    name: 'root',
    needed: true,
    cost: 'namespaces, nftables and CRIU need root: start the gateway as root',
    asRoot: false,
    probe: async () => {
      const uid = process.getuid?.() ?? -1;
      if (uid !== 0) throw notThere(`user id ${uid}`);
      return {found: 'user id 0'};
    },
  },
  {
    name: 'kernel',
    needed: true,
    cost: 'made for x86-64 and arm64, and tried on x86-64 only',
    asRoot: false,
    probe: async () => {
      if (process.arch !== 'x64' && process.arch !== 'arm64') throw notThere(process.arch);
      return {found: `Linux ${release()}, ${process.arch}, Node ${process.versions.node}`};
    },
  },
  {
    name: 'capabilities',
    needed: true,
    cost: 'apps cannot be started, dumped or restored: give the gateway the whole set of root',
    asRoot: true,
    probe: async () => {
      const held = await effectiveCapabilities();
      const absent = Object.entries(neededCapabilities).filter(([, bit]) => !hasBit(held, bit));
      if (absent.length > 0) throw notThere(`no ${absent.map(([name]) => `CAP_${name.toUpperCase()}`).join(', ')}`);
      return {found: 'all that are needed'};
    },
  },
  {
    name: 'CAP_SYS_RESOURCE',
    needed: false,
    cost: 'an app with a process under another user than uid 0 cannot be dumped (it stays running): run such apps as uid 0 inside their container',
    asRoot: true,
    probe: async () => {
      if (!hasBit(await effectiveCapabilities(), resourceCapability)) throw notThere('not held');
      return {found: 'held'};
    },
  },
  {
    name: 'control groups',
    needed: false,
    cost: 'memory, cpus and pids of an app cannot be limited: one that has such a line does not start',
    asRoot: false,
    probe: async () => {
      const {unified, unifiedLimits, legacy} = findCgroupMounts();
      if (unifiedLimits && unified !== undefined) {
        const controllers = (await readFile(`${unified}/cgroup.controllers`, 'utf8')).trim().split(' ');
        const absent = ['memory', 'cpu', 'pids'].filter((name) => !controllers.includes(name));
        if (absent.length > 0) throw notThere(`version 2 without ${absent.join(', ')}`);
        return {found: 'version 2'};
      }
      const absent = (['memory', 'cpu', 'pids'] as const).filter((name) => !legacy.has(name));
      if (absent.length > 0) throw notThere(`version 1 without ${absent.join(', ')}`);
      return {found: unified === undefined ? 'version 1' : 'version 1 with a version 2 hierarchy beside it'};
    },
  },
  {
    name: 'packet forwarding',
    needed: true,
    cost: 'no packet reaches an app: /proc/sys must be writable',
    asRoot: true,
    probe: async () => {
      const path = '/proc/sys/net/ipv4/ip_forward';
      await access(path, constants.W_OK);
      return {found: (await readFile(path, 'utf8')).trim() === '1' ? 'on' : 'off; the gateway switches it on'};
    },
  },
  {
    name: 'rp_filter',
    needed: true,
    cost: 'packets that were held would be dropped on their way back: the gateway must be able to set it for its interfaces',
    asRoot: true,
    probe: async () => {
      const path = '/proc/sys/net/ipv4/conf/all/rp_filter';
      await access(path, constants.W_OK);
      const value = (await readFile(path, 'utf8')).trim();
      const meaning = {'0': 'off', '1': 'strict', '2': 'loose'}[value] ?? value;
      return {found: `${meaning} on this host; the gateway sets loose on its own interfaces`};
    },
  },
  {
    name: '/run',
    needed: false,
    cost: 'CRIU does not keep its knowledge of the kernel by itself; the gateway keeps it on a tmpfs of its own',
    asRoot: false,
    probe: async () => {
      const tmpfs = 0x01021994;
      if ((await statfs('/run')).type !== tmpfs) throw notThere('not a tmpfs');
      return {found: 'a tmpfs'};
    },
  },
  {
    name: 'disk',
    needed: true,
    cost: 'checkpoints have no room, and an app that cannot be written stays running',
    asRoot: false,
    probe: async () => {
      const path = await nearestDirectory(defaultStateDirectory);
      const {bavail, bsize} = await statfs(path);
      const freeBytes = bavail * bsize;
      if (freeBytes === 0) throw notThere(`${path} is full`);
      const found = `${bytes(freeBytes)} free in ${path}`;
      return freeBytes < usefulDiskBytes ? {found, drawback: 'room for few checkpoints'} : {found};
    },
  },
];

function notThere(found: string): CodedError {
  return new CodedError('ERR_NOT_THERE', found, {source: 'host'});
}

async function effectiveCapabilities(): Promise<bigint> {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(await readFile('/proc/self/status', 'utf8'));
  return BigInt(`0x${match?.[1] ?? '0'}`);
}

function hasBit(set: bigint, bit: number): boolean {
  return ((set >> BigInt(bit)) & 1n) === 1n;
}
