/** Everything of a gateway that could become more and more: counted while all of its apps sleep, so that each count is a matter of the apps alone. */
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../src/core/command.ts';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {namespaceDirectory, namespacePrefix, tableName} from '../../src/nat/names.ts';
import {leftovers} from '../../test/helpers/gateway.ts';
import {processTree, treeMemory} from '../process-tree.ts';

const commandTimeoutMs = 10_000;
const controlGroups = '/sys/fs/cgroup';

/** Of the gateway's own processes. */
const roles = {gateway: /cli\/main\./, pager: /pager\/main\./, redis: /redis-server|valkey-server/} as const;
export type Role = keyof typeof roles;

export interface ProcessUse {
  readonly role: Role;
  readonly pid: number;
  readonly proportionalBytes: number;
  readonly descriptors: number;
  readonly threads: number;
}

export interface Resources {
  readonly processes: readonly ProcessUse[];
  /** By what is counted. */
  readonly counts: Readonly<Record<string, number>>;
}

/** @param pid of the gateway */
export async function countResources({stateDir, pid}: {readonly stateDir: string; readonly pid: number}): Promise<Resources> {
  const identity = gatewayIdentity(stateDir);
  const processes = await ownProcesses(pid);
  const [links, routes, rules] = await Promise.all([
    lines(['ip', '-o', 'link']),
    lines(['ip', '-o', 'route', 'show', 'table', 'all']),
    lines(['nft', 'list', 'tables']),
  ]);
  const tables = rules.filter((line) => line.includes(tableName(identity)));
  const contents = await Promise.all(tables.map((table) => lines(['nft', 'list', ...table.split(' ')])));
  const namespaces = (await readdir(namespaceDirectory).catch(() => [])).filter((name) => name.startsWith(namespacePrefix(identity)));
  const mounts = (await readFile(`/proc/${pid}/mounts`, 'latin1')).split('\n').filter((line) => line.includes(stateDir));
  return {
    processes,
    counts: {
      processes: (await leftovers(stateDir)).filter((line) => line.startsWith('process ')).length,
      ...total('descriptors', processes),
      ...total('threads', processes),
      namespaces: namespaces.length,
      links: links.filter((line) => line.includes(`pg${identity}`)).length,
      routes: routes.filter((line) => line.includes(`pg${identity}`)).length,
      'lines of nft': contents.flat().length,
      mounts: mounts.length,
      'control groups': await countControlGroups(identity),
      'shared memory': await countSharedMemory(pid),
      ...(await countFiles(stateDir)),
    },
  };
}

async function lines(argv: readonly [string, ...string[]]): Promise<string[]> {
  const {stdout} = await run(argv, {timeoutMs: commandTimeoutMs});
  return stdout.split('\n').filter((line) => line.trim() !== '');
}

async function ownProcesses(root: number): Promise<ProcessUse[]> {
  const found: ProcessUse[] = [];
  for (const {pid, name, proportionalBytes} of await treeMemory(root)) {
    const role = (['gateway', 'pager', 'redis'] as const).find((candidate) => roles[candidate].test(name));
    if (role === undefined) continue;
    const [descriptors, threads] = await Promise.all(['fd', 'task'].map(async (kind) => (await readdir(`/proc/${pid}/${kind}`)).length));
    found.push({role, pid, proportionalBytes, descriptors: descriptors ?? 0, threads: threads ?? 0});
  }
  return found;
}

function total(what: 'descriptors' | 'threads', processes: readonly ProcessUse[]): Record<string, number> {
  return Object.fromEntries(processes.map((one) => [`${what} of ${one.role}`, one[what]]));
}

async function countControlGroups(identity: string): Promise<number> {
  const hierarchies = ['.', ...(await readdir(controlGroups, {withFileTypes: true})).filter((entry) => entry.isDirectory()).map(({name}) => name)];
  const found = await Promise.all(
    hierarchies.map(async (hierarchy) => {
      const entries = await readdir(join(controlGroups, hierarchy, 'picogate', identity), {recursive: true, withFileTypes: true}).catch(() => []);
      return entries.filter((entry) => entry.isDirectory()).length;
    }),
  );
  return found.reduce((sum, count) => sum + count, 0);
}

/** Segments that the gateway and what it has started have mapped: of System V, of POSIX, without a name. */
async function countSharedMemory(root: number): Promise<number> {
  const maps = await Promise.all((await processTree(root)).map((pid) => readFile(`/proc/${pid}/maps`, 'latin1').catch(() => '')));
  return maps.flatMap((text) => text.split('\n').filter((line) => /\/SYSV|\/dev\/shm\/|\/memfd:|\/dev\/zero/.test(line))).length;
}

/** Files and directories, by the part of the state directory. */
async function countFiles(stateDir: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const part of await readdir(stateDir, {withFileTypes: true})) {
    if (part.isDirectory()) counts[`files in ${part.name}/`] = (await lines(['find', join(stateDir, part.name), '-xdev'])).length;
  }
  return counts;
}
