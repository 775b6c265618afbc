/** Dates in log lines. Many lines are written in one second, so the part that seconds decide is kept. */
import {monthNames, twoDigits, zoneOffset} from './strftime.ts';

function perSecond(format: (date: Date) => string): (second: number) => string {
  let kept = {second: Number.NaN, text: ''};
  return (second) => {
    if (kept.second !== second) kept = {second, text: format(new Date(second * 1000))};
    return kept.text;
  };
}

const localSecond = perSecond((date) => {
  const day = `${twoDigits(date.getDate())}/${monthNames[date.getMonth()] ?? ''}/${date.getFullYear()}`;
  return `${day}:${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}`;
});

const localSecondWithZone = perSecond((date) => `${localSecond(date.getTime() / 1000)} ${zoneOffset(date)}`);

const utcSecond = perSecond((date) => {
  const day = `${twoDigits(date.getUTCDate())}/${monthNames[date.getUTCMonth()] ?? ''}/${date.getUTCFullYear()}`;
  return `${day}:${twoDigits(date.getUTCHours())}:${twoDigits(date.getUTCMinutes())}:${twoDigits(date.getUTCSeconds())} +0000`;
});

/** `20/Nov/2026:10:50:42.174`, local time. */
export function logDate(atMs: number): string {
  const ms = Math.floor(atMs) % 1000;
  return `${localSecond(Math.floor(atMs / 1000))}.${String(ms).padStart(3, '0')}`;
}

/** `20/Nov/2026:11:50:42 +0100`, local time. */
export function clfDate(atMs: number): string {
  return localSecondWithZone(Math.floor(atMs / 1000));
}

/** `20/Nov/2026:10:50:42 +0000` */
export function utcClfDate(atMs: number): string {
  return utcSecond(Math.floor(atMs / 1000));
}
