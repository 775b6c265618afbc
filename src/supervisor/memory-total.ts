import {readFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import type {CgroupMounts} from './cgroup-mounts.ts';

/**
 * What the control groups at and below `path` may use together: the memory of the host, or less if a group above them, or the one at `path`, is
 * limited.
 * @throws Error when /proc cannot be read
 */
export async function memoryTotal(mounts: CgroupMounts, path: string): Promise<number> {
  const host = /^MemTotal:\s+(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1];
  const memory = mounts.legacy.get('memory');
  const root = memory ?? mounts.unified ?? '';
  const file = memory === undefined ? 'memory.max' : 'memory.limit_in_bytes';
  const limits = await Promise.all(upTo(path).map((group) => limitIn(join(root, group, file))));
  return Math.min(Number(host) * 1024, ...limits);
}

/** `a/b`: `a/b`, `a`, and the root. */
function upTo(path: string): string[] {
  return path === '.' ? ['.'] : [path, ...upTo(dirname(path))];
}

/** Infinite for a group that has none, or is not there. */
async function limitIn(file: string): Promise<number> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const value = Number.parseInt(text, 10);
  return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
}
