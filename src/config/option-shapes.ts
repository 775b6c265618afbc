/** What may follow some `option ...` lines. */
import type {Arguments} from './arguments.ts';
import type {TcpCheckStep} from './health.ts';
import {mysqlSteps, postgresSteps} from './protocol-checks.ts';
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger} from './units.ts';

/** 0: only for the last attempt. */
export const redispatchInterval: Shape<number> = {
  usage: '[<attempts>]',
  read(args) {
    if (args.atEnd) return 0;
    const word = args.take('<attempts>');
    // Negative numbers count from the last attempt; with a few attempts that is the last one.
    if (/^-\d{1,4}$/.test(word.text)) return 0;
    const parsed = parseInteger(word.text, {min: 0, max: 10_000});
    if (!parsed.ok) throw args.invalid(word, parsed.reason);
    return parsed.value;
  },
};

/** A check without anything to say about it. */
export function fixedSteps(steps: () => readonly TcpCheckStep[]): Shape<readonly TcpCheckStep[]> {
  return {usage: '', read: steps};
}

function takeUser(args: Arguments): string {
  const keyword = args.take('user');
  if (keyword.text !== 'user') throw args.invalid(keyword, "'user' and a name are expected");
  const word = args.take('<name>');
  if (!/^[\x21-\x7e]{1,32}$/.test(word.text)) throw args.invalid(word, 'this cannot be the name of a user');
  return word.text;
}

export const checkUser: Shape<readonly TcpCheckStep[]> = {
  usage: '[user <name> [post-41 | pre-41]]',
  read(args) {
    if (args.atEnd) return mysqlSteps(null);
    const name = takeUser(args);
    if (args.peek() !== undefined) {
      const version = args.take('post-41');
      if (version.text !== 'post-41' && version.text !== 'pre-41') throw args.invalid(version, 'post-41 or pre-41 is expected');
      if (version.text === 'pre-41') return mysqlSteps({name, isOld: true});
    }
    return mysqlSteps({name, isOld: false});
  },
};

export const postgresCheck: Shape<readonly TcpCheckStep[]> = {usage: 'user <name>', read: (args) => postgresSteps(takeUser(args))};

/** `wake`: with our own fields. */
export type LogOption = boolean | 'wake';

/** @param ignored words of HAProxy that change nothing here */
export function logOption(ignored: readonly string[]): Shape<LogOption> {
  const words = ['wake', ...ignored];
  return {
    usage: words.map((word) => `[${word}]`).join(' '),
    read(args) {
      let value: LogOption = true;
      while (!args.atEnd) {
        const word = args.take('<option>');
        if (word.text === 'wake') value = 'wake';
        else if (ignored.includes(word.text)) args.warn(word, `'${word.text}' of '${args.keyword}' has no effect here`);
        else throw args.invalid(word, `${words.join(', ')} is possible${didYouMean(word.text, words)}`);
      }
      return value;
    },
  };
}
