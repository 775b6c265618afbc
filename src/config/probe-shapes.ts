/** `health-check`: which requests and connections are health checks from outside. What is told by what it looks like becomes a condition. */
import {type Arguments, ConfigError} from './arguments.ts';
import {readTest} from './expression/acl.ts';
import {readCondition} from './expression/condition.ts';
import type {Word} from './lex.ts';
import type {Condition} from './sample.ts';
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseTime} from './units.ts';

export type ProbeRule =
  | {readonly kind: 'condition'; readonly condition: Condition /** It asks about HTTP. */; readonly needsHttp: boolean}
  /** A connection that says nothing: one that does so for longer than this is no check. */
  | {readonly kind: 'silent'; readonly ms: number};

/** The sample that each form asks for, with the flags that come before its patterns. */
const tests: Readonly<Record<string, readonly string[]>> = {
  path: ['path'],
  path_beg: ['path', '-m', 'beg'],
  'user-agent': ['req.fhdr(user-agent)', '-i', '-m', 'sub'],
  src: ['src'],
};
const forms = [...Object.keys(tests), 'tcp', 'if', 'unless'];
const defaultSilenceMs = 1000;

export const healthCheck: Shape<ProbeRule> = {
  usage: 'path | path_beg <path>... | user-agent <text>... | src <address>[/<mask>]... | tcp [<time>] | if | unless <condition>',
  read(args) {
    const word = args.peek();
    if (word?.text === 'if' || word?.text === 'unless') {
      const condition = readCondition(args);
      if (condition !== null) return {kind: 'condition', condition, needsHttp: false};
    }
    const form = args.take(forms.join(', '));
    if (form.text === 'tcp') return {kind: 'silent', ms: args.atEnd ? defaultSilenceMs : takeSilence(args)};
    const test = tests[form.text];
    if (test === undefined) throw args.invalid(form, `${forms.join(', ')} are possible${didYouMean(form.text, forms)}`);
    return {kind: 'condition', condition: conditionOf(form, test, args), needsHttp: form.text !== 'src'};
  },
};

function takeSilence(args: Arguments): number {
  const word = args.take('<time>');
  const parsed = parseTime(word.text);
  if (!parsed.ok) throw args.invalid(word, parsed.reason);
  if (parsed.value === 0) throw args.invalid(word, 'more than 0 is needed');
  return parsed.value;
}

/** True when one of the patterns that follow matches. */
function conditionOf(form: Word, test: readonly string[], args: Arguments): Condition {
  const patterns = args.takeRest();
  if (patterns.length === 0) throw new ConfigError(`missing argument for '${args.keyword} ${form.text}'`, form.position, form.text);
  const words = [...test, '--'].map((text) => ({text, position: form.position}));
  const text = `{ ${[...test, ...patterns.map((pattern) => pattern.text)].join(' ')} }`;
  const read = readTest([...words, ...patterns], {scope: args.scope, place: form, warn: (word, message) => args.warn(word, message)});
  return {unless: false, anyOf: [[{negated: false, text, tests: [read]}]]};
}
