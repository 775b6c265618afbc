/** `acl`, `use_backend` and `use-server`. */

import type {Arguments} from './arguments.ts';
import {readTest} from './expression/acl.ts';
import {readCondition} from './expression/condition.ts';
import {readFormat} from './expression/log-format.ts';
import type {Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import type {Rule, UseBackend, UseServer} from './rules.ts';
import type {AclTest, Format} from './sample.ts';
import {refer} from './scope.ts';
import type {Shape} from './shapes.ts';

const reserved: ReadonlySet<string> = new Set(['if', 'unless', 'or', '||', '!', '{', '}']);

/** Makes the test known to the lines that follow. */
export const acl: Shape<AclTest> = {
  usage: '<name> <sample>[,<converter>]... [<flag>]... [<pattern>]...',
  read(args) {
    const name = args.take('<name>');
    if (!isName(name.text)) throw args.invalid(name, nameRule);
    if (reserved.has(name.text)) throw args.invalid(name, 'it has a meaning of its own in conditions');
    const tests = args.scope.acls.get(name.text) ?? [];
    // It is declared even if its test means nothing: that is said once, not wherever the name is used.
    args.scope.acls.set(name.text, tests);
    const test = readTest(args.takeRest(), {scope: args.scope, place: name, warn: (word, message) => args.warn(word, message)});
    tests.push(test);
    return test;
  },
};

export const useBackend: Shape<Rule<UseBackend>> = {
  usage: '<backend> | <format> [if | unless <condition>]',
  read(args) {
    const {kind, word, format} = takeNameOrFormat(args, '<backend>');
    if (kind === 'name') refer(args.scope, 'backend', word);
    const backend: UseBackend['backend'] = kind === 'name' ? {kind, name: word.text} : {kind, format};
    return {action: {kind: 'use-backend', backend}, condition: readCondition(args), position: args.position};
  },
};

export const useServer: Shape<Rule<UseServer>> = {
  usage: '<server> | <format> if | unless <condition>',
  read(args) {
    const {kind, word, format} = takeNameOrFormat(args, '<server>');
    if (kind === 'name') refer(args.scope, 'server', word);
    const server: UseServer['server'] = kind === 'name' ? {kind, name: word.text} : {kind, format};
    return {action: {kind: 'use-server', server}, condition: readCondition(args), position: args.position};
  },
};

/** A word with an expression in it is made of the request. */
function takeNameOrFormat(args: Arguments, usage: string): {readonly kind: 'name' | 'format'; readonly word: Word; readonly format: Format} {
  const word = args.take(usage);
  const format = readFormat(word, args.scope, 'value');
  const isText = format.every((part) => part.kind === 'text');
  if (!isText) return {kind: 'format', word, format};
  if (!isName(word.text)) throw args.invalid(word, nameRule);
  return {kind: 'name', word, format};
}
