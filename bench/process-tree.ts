/** A process with all its descendants, seen from outside: what they cost in memory and processor time. */
import {readFileSync} from 'node:fs';
import {readdir} from 'node:fs/promises';

/**
 * Null when the process has ended meanwhile. At once: the other ways to read make a buffer of 64 KiB each, and so many of them that the garbage of looking at
 * processes was collected while a wake was measured.
 */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** The process and its descendants. */
export async function processTree(root: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids) {
    // The name in parentheses may contain anything; state and parent follow the last parenthesis.
    const [, parent] = read(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ') ?? [];
    if (parent !== undefined) children.set(Number(parent), [...(children.get(Number(parent)) ?? []), pid]);
  }
  const found = [root];
  for (let at = 0; at < found.length; at++) found.push(...(children.get(found[at] ?? 0) ?? []));
  return found;
}

async function threadTimeNs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  return threads.reduce((sum, thread) => sum + Number(read(`/proc/${pid}/task/${thread}/schedstat`)?.split(' ')[0] ?? 0), 0);
}

/** Processor time of all threads so far. Those of processes and threads that have ended are not in it. */
export async function treeTimeMs(root: number): Promise<number> {
  const times = await Promise.all((await processTree(root)).map(threadTimeNs));
  return times.reduce((sum, time) => sum + time, 0) / 1e6;
}

export interface ProcessMemory {
  readonly pid: number;
  readonly name: string;
  readonly residentBytes: number;
  /** Pages shared with others count in parts. */
  readonly proportionalBytes: number;
}

export async function treeMemory(root: number): Promise<ProcessMemory[]> {
  const found: ProcessMemory[] = [];
  for (const pid of await processTree(root)) {
    const rollup = read(`/proc/${pid}/smaps_rollup`);
    const name = read(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim();
    if (rollup === null || name === undefined) continue;
    const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
    found.push({pid, name, residentBytes: kilobytes('Rss') * 1024, proportionalBytes: kilobytes('Pss') * 1024});
  }
  return found;
}

/** The processes of a gateway themselves; the others below it are restores that are prepared. */
export const gatewayPattern = /cli\/main\.|pager\/main\.|redis-server|valkey-server/;

/** What the kernel has for itself and cannot give back: namespaces, interfaces, control groups. */
export async function kernelBytes(): Promise<number> {
  const text = read('/proc/meminfo') ?? '';
  const of = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return of('SUnreclaim') + of('Percpu') + of('KernelStack') + of('PageTables');
}

/** Pages shared with others count in parts; a process that has ended has none. */
export async function proportionalBytes(pid: number): Promise<number> {
  return Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0) * 1024;
}
