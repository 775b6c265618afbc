/** What an app that is awake takes, seen from outside. */
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {Json} from '../../src/store/json.ts';
import {proportionalBytes} from '../process-tree.ts';

export interface AppMemory {
  /** Of its processes. What they share with others counts in parts. */
  readonly pssBytes: number;
  /** The kernel's, for these: page tables, sockets, stacks. Zero where control groups do not count it. */
  readonly kernelBytes: number;
  /** Its control group, as `picogate usage` counts: without files that could be read again. */
  readonly groupBytes: number;
}

/** @param shown what the control command `show` says of it */
export async function appMemory(shown: Json): Promise<AppMemory> {
  const live = new Map<string, unknown>(typeof shown === 'object' && shown !== null ? Object.entries(shown) : []);
  const found = live.get('pids');
  const pids = Array.isArray(found) ? found.filter((pid: unknown) => typeof pid === 'number') : [];
  const [first] = pids;
  if (first === undefined) throw new Error('the app has no process');
  const groupBytes = live.get('memoryBytes');
  const pss = await Promise.all(pids.map(proportionalBytes));
  return {
    pssBytes: pss.reduce((sum, bytes) => sum + bytes, 0),
    kernelBytes: await groupKernelBytes(first),
    groupBytes: typeof groupBytes === 'number' ? groupBytes : Number.NaN,
  };
}

async function groupKernelBytes(pid: number): Promise<number> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const legacy = /^\d+:memory:(.*)$/m.exec(groups)?.[1];
  if (legacy !== undefined) return Number(await readFile(join('/sys/fs/cgroup/memory', legacy, 'memory.kmem.usage_in_bytes'), 'utf8').catch(() => '0'));
  const unified = /^0::(.*)$/m.exec(groups)?.[1] ?? '';
  const statistics = await readFile(join('/sys/fs/cgroup', unified, 'memory.stat'), 'utf8').catch(() => '');
  return Number(/^kernel (\d+)$/m.exec(statistics)?.[1] ?? 0);
}
