/** The conversions of strftime(3) that logs and headers use, in the C locale. */

export const monthNames = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const monthsInFull = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'] as const;
const daysInFull = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;

export function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** `+0100` */
export function zoneOffset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${twoDigits(Math.floor(size / 60))}${twoDigits(size % 60)}`;
}

const conversions: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  C: (date) => twoDigits(Math.floor(date.getFullYear() / 100)),
  y: (date) => twoDigits(date.getFullYear() % 100),
  m: (date) => twoDigits(date.getMonth() + 1),
  b: (date) => monthNames[date.getMonth()] ?? '',
  h: (date) => monthNames[date.getMonth()] ?? '',
  B: (date) => monthsInFull[date.getMonth()] ?? '',
  d: (date) => twoDigits(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2, ' '),
  j: (date) => String(dayOfYear(date)).padStart(3, '0'),
  a: (date) => (daysInFull[date.getDay()] ?? '').slice(0, 3),
  A: (date) => daysInFull[date.getDay()] ?? '',
  u: (date) => String(date.getDay() || 7),
  w: (date) => String(date.getDay()),
  H: (date) => twoDigits(date.getHours()),
  I: (date) => twoDigits(date.getHours() % 12 || 12),
  M: (date) => twoDigits(date.getMinutes()),
  S: (date) => twoDigits(date.getSeconds()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
};

const compound: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  x: '%m/%d/%y',
  F: '%Y-%m-%d',
  r: '%I:%M:%S %p',
  R: '%H:%M',
  T: '%H:%M:%S',
  X: '%H:%M:%S',
};

function dayOfYear(date: Date): number {
  return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000) + 1;
}

/** What is no conversion stays as it is written. */
export function strftime(format: string, date: Date, utc: boolean): string {
  // A date whose local fields are those of UTC, so that one table does for both.
  const shown = utc ? new Date(date.getTime() + date.getTimezoneOffset() * 60_000) : date;
  return format.replace(/%(.)/gs, (whole, letter: string) => {
    if (letter === 's') return String(Math.floor(date.getTime() / 1000));
    if (letter === 'z') return utc ? '+0000' : zoneOffset(date);
    if (letter === 'Z') return utc ? 'GMT' : (new Intl.DateTimeFormat('en', {timeZoneName: 'short'}).formatToParts(date).find(isZone)?.value ?? '');
    const inner = compound[letter];
    return inner === undefined ? (conversions[letter]?.(shown) ?? whole) : strftime(inner, shown, false);
  });
}

function isZone(part: Intl.DateTimeFormatPart): boolean {
  return part.type === 'timeZoneName';
}
