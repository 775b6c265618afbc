/** Numbers, times and sizes as HAProxy writes them, refusing what it lets pass (`10k` as a number, `15min`). */

/** A value, or what is wrong with the text, to follow "invalid value 'x' for 'keyword': ". */
export type Parsed<Value> = {readonly ok: true; readonly value: Value} | {readonly ok: false; readonly reason: string};

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** The longest time that HAProxy and Node's timers take, 24 days. */
export const longestTimeMs = 2 ** 31 - 1;

const millisecondsPer: ReadonlyMap<string, number> = new Map([
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
  ['us', 0.001],
]);
const bytesPer: ReadonlyMap<string, number> = new Map([
  ['g', 1024 ** 3],
  ['m', 1024 ** 2],
  ['k', 1024],
]);

/** A whole number without a unit. */
export function parseInteger(text: string, {min, max}: Range): Parsed<number> {
  if (!/^\d+$/.test(text)) {
    const unit = /^\d+[kmg]$/i.test(text) ? ' without a unit' : '';
    return refused(`a whole number${unit} is expected`);
  }
  const value = Number(text);
  if (value < min) return refused(`at least ${min} is needed`);
  return value > max ? refused(`at most ${max} is possible`) : {ok: true, value};
}

/** Milliseconds, of `500`, `500ms`, `30s`, `5m`, `1h`, `7d`, `800us` (rounded up). */
export function parseTime(text: string): Parsed<number> {
  const [, digits, unit = ''] = /^(\d+)([A-Za-z]*)$/.exec(text) ?? [];
  const scale = unit === '' ? 1 : millisecondsPer.get(unit);
  if (digits === undefined) return refused('a time is a whole number and one of us, ms, s, m, h, d');
  if (scale === undefined) return refused(`unknown unit '${unit}', the units of time are us, ms, s, m, h, d`);
  const value = Math.ceil(Number(digits) * scale);
  return value > longestTimeMs ? refused('at most 24d is possible') : {ok: true, value};
}

/** Bytes, of `1000`, `64k`, `256m`, `2g`; the unit in either case. */
export function parseSize(text: string): Parsed<number> {
  const [, digits, unit = ''] = /^(\d+)([A-Za-z%]*)$/.exec(text) ?? [];
  if (digits === undefined) return refused('a size is a whole number and one of k, m, g');
  if (unit === '%') return refused('a share of the memory is not possible here, the units of size are k, m, g');
  const scale = unit === '' ? 1 : bytesPer.get(unit.toLowerCase());
  if (scale === undefined) return refused(`unknown unit '${unit}', the units of size are k, m, g`);
  const value = Number(digits) * scale;
  return Number.isSafeInteger(value) ? {ok: true, value} : refused('it is too large');
}

export function parsePort(text: string): Parsed<number> {
  if (/^[+-]\d+$/.test(text)) return refused("a port relative to the client's is not implemented yet");
  const parsed = parseInteger(text, {min: 1, max: 65535});
  return parsed.ok ? parsed : refused('a port is a number from 1 to 65535');
}

/** The result for a text that means nothing here. */
export function refused<Value>(reason: string): Parsed<Value> {
  return {ok: false, reason};
}
