/** Limits on wakes, in `app` and in `global`. */
import type {Shape} from './shapes.ts';
import {parseInteger, parseTime} from './units.ts';

/** `wake-rate 10/1m`: so many wakes in a period, of one app or caused by one source; unused ones may come in one burst. */
export interface WakeRate {
  readonly wakes: number;
  readonly periodMs: number;
}

const mostWakes = 1_000_000;

export const wakeRate: Shape<WakeRate> = {
  usage: '<number>/<time>',
  read(args) {
    const word = args.take('<number>/<time>');
    const [number = '', time = '', ...rest] = word.text.split('/');
    if (time === '' || rest.length > 0) throw args.invalid(word, 'a number and a time such as 10/1m are expected');
    const wakes = parseInteger(number, {min: 1, max: mostWakes});
    if (!wakes.ok) throw args.invalid(word, wakes.reason);
    const period = parseTime(time);
    if (!period.ok) throw args.invalid(word, period.reason);
    if (period.value === 0) throw args.invalid(word, 'the time must be longer than 0');
    return {wakes: wakes.value, periodMs: period.value};
  },
};

export const wakeRatePerSource: Shape<WakeRate> = {
  usage: 'per-source <number>/<time>',
  read(args) {
    const word = args.take('per-source');
    if (word.text !== 'per-source') throw args.invalid(word, "'per-source' is expected; the limit of one app stands in its section");
    return wakeRate.read(args);
  },
};
