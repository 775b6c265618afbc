/** `if` and `unless`: names of ACLs and tests in braces, `!` before them, `or` and `||` between them. */
import {type Arguments, ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import type {AclTest, Condition, ConditionTerm} from '../sample.ts';
import {didYouMean} from '../suggestion.ts';
import {readTest} from './acl.ts';
import {predefinedAcls} from './predefined-acls.ts';

/** Reads the condition at the end of a line; null when there is none. @throws ConfigError also for what is neither `if` nor `unless` */
export function readCondition(args: Arguments): Condition | null {
  const word = args.peek();
  if (word === undefined) return null;
  if (word.text !== 'if' && word.text !== 'unless') {
    throw new ConfigError(`'${args.keyword}' expects 'if' or 'unless' or the end of the line, found '${word.text}'`, word.position, word.text);
  }
  args.take('if');
  return {unless: word.text === 'unless', anyOf: readAlternatives(args, word)};
}

/** True at a word with which a condition begins. */
export function atCondition(args: Arguments): boolean {
  const word = args.peek();
  return word === undefined || word.text === 'if' || word.text === 'unless';
}

function readAlternatives(args: Arguments, start: Word): readonly (readonly ConditionTerm[])[] {
  const anyOf: ConditionTerm[][] = [];
  let terms: ConditionTerm[] = [];
  let negated = false;
  let last = start;
  const close = (): void => {
    if (terms.length === 0 || negated) throw new ConfigError(`a condition is expected after '${last.text}'`, last.position, last.text);
    anyOf.push(terms);
    terms = [];
  };
  while (!args.atEnd) {
    const word = args.take('a condition');
    if (word.text === 'or' || word.text === '||') {
      close();
    } else {
      const [marks = ''] = /^!*/.exec(word.text) ?? [];
      if (marks.length % 2 === 1) negated = !negated;
      const text = word.text.slice(marks.length);
      if (text !== '') {
        terms.push(readTerm({text, position: word.position}, negated, args));
        negated = false;
      }
    }
    last = word;
  }
  close();
  return anyOf;
}

function readTerm(word: Word, negated: boolean, args: Arguments): ConditionTerm {
  if (word.text === '{') return readAnonymous(word, negated, args);
  const {scope} = args;
  const declared = scope.acls.get(word.text);
  if (declared !== undefined) return {negated, text: word.text, tests: declared}; // Not a copy: lines of that name may follow.
  const predefined = predefinedAcls.get(word.text);
  if (predefined === undefined) {
    const names = [...scope.acls.keys(), ...predefinedAcls.keys()];
    const glued = word.text.startsWith('{') ? "; blanks are needed around '{' and '}'" : didYouMean(word.text, names);
    throw new ConfigError(`no such ACL: '${word.text}'${glued}`, word.position, word.text);
  }
  const words = predefined.map((text) => ({text, position: word.position}));
  return {negated, text: word.text, tests: [readTest(words, {scope, place: word, warn: () => undefined})]};
}

function readAnonymous(open: Word, negated: boolean, args: Arguments): ConditionTerm {
  const words: Word[] = [];
  for (;;) {
    const word = args.peek();
    if (word === undefined) throw new ConfigError("missing closing '}' in condition", open.position, open.text);
    args.take('}');
    if (word.text === '}') break;
    words.push(word);
  }
  const test: AclTest = readTest(words, {scope: args.scope, place: open, warn: (word, message) => args.warn(word, message)});
  return {negated, text: `{ ${words.map(({text}) => text).join(' ')} }`, tests: [test]};
}
