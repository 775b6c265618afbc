/** What a process uses of its host, for metrics. */
import {readdir} from 'node:fs/promises';
import {openFilesLimits} from '../core/open-files.ts';

export interface ProcessNumbers {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Seconds since 1970. */
  readonly startedAtSeconds: number;
  readonly openFiles: number;
  readonly maxFiles: number;
}

/** Of this process. */
export async function processNumbers(): Promise<ProcessNumbers> {
  const {user, system} = process.cpuUsage();
  const {rss, heapUsed} = process.memoryUsage();
  const files = await readdir('/proc/self/fd');
  const {soft} = openFilesLimits();
  return {
    cpuSeconds: (user + system) / 1_000_000,
    residentBytes: rss,
    heapBytes: heapUsed,
    startedAtSeconds: Math.round(Date.now() / 1000 - process.uptime()),
    openFiles: files.length,
    maxFiles: Number.isFinite(soft) ? soft : 0,
  };
}
