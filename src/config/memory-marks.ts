/** The memory that apps may use together: `memory-high` and `memory-low` in `global`. */
import type {Shape} from './shapes.ts';
import {type Parsed, parseSize, refused} from './units.ts';

/** An amount of memory, or a share of what there is. */
export type MemoryMark = {readonly kind: 'bytes'; readonly bytes: number} | {readonly kind: 'share'; readonly percent: number};

export interface MemoryMarks {
  readonly high: MemoryMark;
  readonly low: MemoryMark;
}

const leastBytes = 1024 ** 2;

export const memoryMark: Shape<MemoryMark> = {
  usage: '<size> | <percent>%',
  read: (args) => args.takeParsed('<size> or <percent>%', parseMark),
};

function parseMark(text: string): Parsed<MemoryMark> {
  const share = /^(\d{1,3})%$/.exec(text)?.[1];
  if (share !== undefined) {
    const percent = Number(share);
    return percent >= 1 && percent <= 100 ? {ok: true, value: {kind: 'share', percent}} : refused('a share from 1% to 100% is expected');
  }
  const parsed = parseSize(text);
  if (!parsed.ok) return parsed;
  return parsed.value < leastBytes ? refused('at least 1m is needed') : {ok: true, value: {kind: 'bytes', bytes: parsed.value}};
}

/** @param totalBytes of what shares are */
export function markBytes(mark: MemoryMark, totalBytes: number): number {
  return mark.kind === 'bytes' ? mark.bytes : Math.floor((totalBytes * mark.percent) / 100);
}
