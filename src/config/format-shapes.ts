/** Keywords whose value is a format. */
import {readFormat} from './expression/log-format.ts';
import type {Format} from './sample.ts';
import type {Shape} from './shapes.ts';

/** One word, whose blanks need quotes. */
export function format(use: 'log' | 'value'): Shape<Format> {
  return {usage: '<format>', read: (args) => readFormat(args.take('<format>'), args.scope, use)};
}
