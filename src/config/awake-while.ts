/** What keeps an app awake besides traffic: `awake-while` in `app` and `defaults`. */
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';

/** What all lines of an app say together. */
export interface AwakeWhile {
  /** Established TCP connections with others, idle ones too. */
  readonly connections: boolean;
  /** More use of processors than so many percent of one; null: that does not count. */
  readonly cpuAbovePercent: number | null;
}

export type AwakeCondition = {readonly kind: 'connections' | 'never'} | {readonly kind: 'cpu'; readonly abovePercent: number};

const kinds = ['connections', 'cpu', 'never'] as const;

export const awakeWhile: Shape<AwakeCondition> = {
  usage: 'connections | cpu > <percent>% | never',
  read(args) {
    const word = args.take(kinds.join(', '));
    const kind = kinds.find((known) => known === word.text);
    if (kind === undefined) throw args.invalid(word, `${kinds.join(', ')} are possible${didYouMean(word.text, kinds)}`);
    if (kind !== 'cpu') return {kind};
    const sign = args.take('>');
    if (sign.text !== '>') throw args.invalid(sign, "'cpu > 5%' is how it is written");
    const share = args.take('<percent>%');
    const digits = /^(\d{1,6}(?:\.\d{1,3})?)%$/.exec(share.text)?.[1];
    if (digits === undefined) throw args.invalid(share, 'a share of one processor such as 5% is expected');
    return {kind, abovePercent: Number(digits)};
  },
};

/** Each line adds to those before it; `never` takes them back. */
export function allConditions(lines: readonly AwakeCondition[]): AwakeWhile {
  const counting = lines.slice(lines.findLastIndex(({kind}) => kind === 'never') + 1);
  const cpu = counting.findLast((line) => line.kind === 'cpu');
  return {connections: counting.some(({kind}) => kind === 'connections'), cpuAbovePercent: cpu?.abovePercent ?? null};
}
