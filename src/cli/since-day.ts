import {parseTime} from '../config/units.ts';

const msPerDay = 86_400_000;

/** What `--since` means: days since 1970, of a date or of a time that has gone by; undefined for another text. */
export function sinceDay(text: string, nowMs: number): number | undefined {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) {
    const at = Date.parse(`${text}T00:00:00Z`);
    return Number.isNaN(at) ? undefined : at / msPerDay;
  }
  const time = parseTime(text);
  return time.ok ? Math.floor((nowMs - time.value) / msPerDay) : undefined;
}
