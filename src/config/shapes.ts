/** What may follow a keyword. A shape reads it, checks it and shows it in the reference. */

import {dirname, resolve} from 'node:path';
import type {Arguments} from './arguments.ts';
import type {Word} from './lex.ts';
import type {Position} from './position.ts';
import {didYouMean} from './suggestion.ts';
import {longestTimeMs, parseInteger, parseSize, parseTime, type Range} from './units.ts';

export interface Shape<Value> {
  /** As in the reference: `<time>`, `lazy | eager`. */
  readonly usage: string;
  /** @throws ConfigError */
  readonly read: (args: Arguments) => Value;
}

/** A name or path together with where it stands, for what is checked later. */
export interface Placed {
  readonly text: string;
  readonly position: Position;
}

export function integer(range: Range): Shape<number> {
  const usage = '<number>';
  return {usage, read: (args) => args.takeParsed(usage, (text) => parseInteger(text, range))};
}

/** A time in milliseconds of which HAProxy says that 0 means no limit; here that is the longest time there is. */
export function timeout(): Shape<number> {
  return {usage: '<time>', read: (args) => args.takeParsed('<time>', parseTime) || longestTimeMs};
}

/** A time in milliseconds; 0 is nothing but 0. */
export function milliseconds(): Shape<number> {
  return {usage: '<time>', read: (args) => args.takeParsed('<time>', parseTime)};
}

/** A time in milliseconds, more than 0. */
export function duration(): Shape<number> {
  return {usage: '<time>', read: readDuration};
}

/** As `duration`, or `never`: null. */
export function durationOrNever(): Shape<number | null> {
  return {
    usage: '<time> | never',
    read(args) {
      if (args.peek()?.text !== 'never') return readDuration(args);
      args.take('never');
      return null;
    },
  };
}

function readDuration(args: Arguments): number {
  const word = args.take('<time>');
  const parsed = parseTime(word.text);
  if (!parsed.ok) throw args.invalid(word, parsed.reason);
  if (parsed.value === 0) throw args.invalid(word, 'more than 0 is needed');
  return parsed.value;
}

/** Bytes. */
export function size({min, minText}: {min: number; minText: string}): Shape<number> {
  return {
    usage: '<size>',
    read(args) {
      const word = args.take('<size>');
      const parsed = parseSize(word.text);
      if (!parsed.ok) throw args.invalid(word, parsed.reason);
      if (parsed.value < min) throw args.invalid(word, `at least ${minText} is needed`);
      return parsed.value;
    },
  };
}

/** One of a few words. `later` are words that HAProxy or a later version knows. */
export function choice<const Value extends string>(values: readonly Value[], later: readonly string[] = []): Shape<Value> {
  const usage = values.join(' | ');
  return {
    usage,
    read(args) {
      const word = args.take(usage);
      const found = values.find((value) => value === word.text);
      if (found !== undefined) return found;
      if (later.includes(word.text)) throw args.invalid(word, `'${args.keyword} ${word.text}' is not implemented yet`);
      throw args.invalid(word, `${values.join(', ')} are possible${didYouMean(word.text, values)}`);
    },
  };
}

/** `on` or `off`. */
export function onOrOff(): Shape<boolean> {
  const {usage, read} = choice(['on', 'off']);
  return {usage, read: (args) => read(args) === 'on'};
}

/** All words to the end of the line, at least one unless it is `optional`. */
export function textLine({optional}: {optional: boolean} = {optional: false}): Shape<string> {
  return {
    usage: optional ? '[<text>...]' : '<text>...',
    read: (args) => (optional && args.atEnd ? '' : [args.take('<text>'), ...args.takeRest()].map(({text}) => text).join(' ')),
  };
}

/** One word, whatever it is. */
export function word(usage: string): Shape<string> {
  return {
    usage,
    read(args) {
      const found = args.take(usage);
      if (found.text === '') throw args.invalid(found, 'a value is expected');
      return found.text;
    },
  };
}

/** A line that says all by being there. */
export function flagLine(): Shape<boolean> {
  return {usage: '', read: () => true};
}

export function placedWord(usage: string): Shape<Placed> {
  return {usage, read: (args) => args.take(usage)};
}

/** A path of the host, made absolute: relative ones start at the directory of the configuration file. */
export function hostPath(): Shape<Placed> {
  return path((_, word) => resolveHostPath(word));
}

/** Of a directory that is made if need be. */
export function hostDirectory(): Shape<Placed> {
  return path(resolveHostDirectory);
}

function path(resolved: (args: Arguments, word: Word) => string): Shape<Placed> {
  return {
    usage: '<path>',
    read(args) {
      const word = args.take('<path>');
      if (word.text === '') throw args.invalid(word, 'a path is expected');
      return {text: resolved(args, word), position: word.position};
    },
  };
}

/** @param text of the word, or a part of it. @throws ConfigError where no directory can be made: there, mkdir() of Node 24 never ends */
export function resolveHostDirectory(args: Arguments, word: Word, text = word.text): string {
  const path = resolveHostPath({text, position: word.position});
  if (/^\/(proc|sys)(\/|$)/.test(path)) throw args.invalid(word, 'no directory can be made there');
  return path;
}

export function resolveHostPath({text, position}: Placed): string {
  return resolve(dirname(position.file), text);
}

/** True for a path from the root that goes straight down. */
export function isStraightPath(path: string): boolean {
  return path.startsWith('/') && !path.split('/').includes('..');
}
