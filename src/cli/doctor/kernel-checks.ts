/** What the kernel offers, found out by doing it: in namespaces that end with the check, so that nothing is left behind. */
import {mkdir, mkdtemp, open, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../core/command.ts';
import {gatewayIdentity} from '../../core/ids.ts';
import {close, errnoName, open as openDescriptor, tryIoctl, trySyscall} from '../../core/libc.ts';
import {tableText} from '../../nat/nft-rules.ts';
import {neededFeatures} from '../../pager/faults/userfaultfd.ts';
import type {Check} from './finding.ts';
import {defaultStateDirectory, nearestDirectory} from './state-directory.ts';

const timeoutMs = 15_000;
const userfaultfdNumber = process.arch === 'arm64' ? 282 : 323;
const newUserfaultfd = 0xaa00;
const userfaultfdApi = 0xc018aa3f;
const closeOnExec = 0o2000000;

export const kernelChecks: readonly Check[] = [
  {
    name: 'userfaultfd',
    needed: true,
    cost: 'memory cannot be brought back page by page: no app can be woken',
    asRoot: true,
    probe: async () => ({found: `with fork, remap, remove and unmap events, by ${probeUserfaultfd()}`}),
  },
  {
    name: 'FUSE',
    needed: true,
    cost: 'CRIU cannot read its images from the store: no app can be woken. Load the module: modprobe fuse',
    asRoot: true,
    probe: () => opens('/dev/fuse'),
  },
  {
    name: 'TUN',
    needed: true,
    cost: 'packets for sleeping apps cannot be held. Load the module: modprobe tun',
    asRoot: true,
    probe: async () => {
      await opens('/dev/net/tun');
      await run(['unshare', '--net', 'ip', 'tuntap', 'add', 'dev', 'pgdoctor', 'mode', 'tun'], {timeoutMs});
      return {found: 'an interface can be made'};
    },
  },
  {
    name: 'veth',
    needed: true,
    cost: 'apps cannot be connected. Load the module: modprobe veth',
    asRoot: true,
    probe: async () => {
      await run(['unshare', '--net', 'ip', 'link', 'add', 'pgdoctor0', 'type', 'veth', 'peer', 'name', 'pgdoctor1'], {timeoutMs});
      return {found: 'a pair can be made'};
    },
  },
  {
    name: 'nftables',
    needed: true,
    cost: 'no packet can be redirected to an app (needs nf_tables with nat, masq, notrack, sets with time-out)',
    asRoot: true,
    probe: async () => {
      const text = tableText({identity: gatewayIdentity('/doctor'), range: {address: '10.77.0.0', prefixLength: 16}});
      await run(['unshare', '--net', 'nft', '-f', '-'], {timeoutMs, input: text});
      return {found: "the gateway's table is accepted"};
    },
  },
  {
    name: 'namespaces',
    needed: true,
    cost: 'apps cannot be kept apart',
    asRoot: true,
    probe: async () => {
      await run(['unshare', '--fork', '--pid', '--mount', '--uts', '--ipc', '--net', 'true'], {timeoutMs});
      return {found: 'pid, mount, uts, ipc, network'};
    },
  },
  {
    name: 'overlayfs',
    needed: true,
    cost: "an app's files cannot be kept apart from its root file system. Load the module (modprobe overlay), or choose a state-dir that is not itself on an overlay",
    asRoot: true,
    probe: async () => {
      await mountsOverlay();
      return {found: 'can be mounted'};
    },
  },
];

/** @returns how one was made: the device or the system call. Throws when neither gives one with the events we need. */
function probeUserfaultfd(): string {
  const way = openUserfaultfd();
  const request = Buffer.alloc(24);
  request.writeBigUInt64LE(0xaan, 0);
  request.writeBigUInt64LE(BigInt(neededFeatures), 8);
  const result = tryIoctl(way.fd, userfaultfdApi, request);
  close(way.fd);
  if (result < 0) throw new Error(`without the events for fork, remap, remove and unmap (${errnoName(-result)})`);
  return way.name;
}

function openUserfaultfd(): {readonly fd: number; readonly name: string} {
  const bySystemCall = trySyscall(userfaultfdNumber, closeOnExec);
  if (bySystemCall >= 0) return {fd: bySystemCall, name: 'system call'};
  const device = openDescriptor('/dev/userfaultfd', 2);
  const byDevice = tryIoctl(device, newUserfaultfd, closeOnExec);
  close(device);
  if (byDevice >= 0) return {fd: byDevice, name: '/dev/userfaultfd'};
  throw new Error(`refused (${errnoName(-byDevice)})`);
}

async function opens(path: string): Promise<{readonly found: string}> {
  const file = await open(path, 'r+');
  await file.close();
  return {found: path};
}

/** Where the state directory is by default: a file system that cannot be an upper layer there is what would fail later. */
async function mountsOverlay(): Promise<void> {
  const directory = await mkdtemp(join(await nearestDirectory(defaultStateDirectory), 'picogate-doctor-'));
  try {
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(join(directory, name));
    const layers = `lowerdir=${directory}/lower,upperdir=${directory}/upper,workdir=${directory}/work`;
    await run(['unshare', '--mount', 'mount', '-t', 'overlay', 'none', '-o', layers, join(directory, 'merged')], {timeoutMs});
  } finally {
    await rm(directory, {recursive: true, force: true});
  }
}
