/** Numbers and tables as people read them. */
import {fittedTable} from './fitted-table.ts';
import {lineWidth} from './terminal.ts';

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

export function milliseconds(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}

/** `3 min`, nothing below zero. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** `3 min ago`; times are milliseconds since 1970. */
export function ago(atMs: number, nowMs: number): string {
  return `${span(nowMs - atMs)} ago`;
}

/** Columns without borders, as `systemctl` and `redis-cli` users expect. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = head.map((text) => ({head: text, rank: 0, shortest: null}));
  return fittedTable(columns, rows, lineWidth());
}
