import {readFileSync} from 'node:fs';

/** How many descriptors this process may have open, by proc_pid_limits(5); Infinity: as many as it wants. */
export function openFilesLimits(): {readonly soft: number; readonly hard: number} {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return {soft: numberOf(soft), hard: numberOf(hard)};
}

function numberOf(text: string | undefined): number {
  return text === undefined || text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
}
