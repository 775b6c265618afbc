/** Actions that several families of rules share. */
import {type Arguments, ConfigError} from '../arguments.ts';
import {atCondition} from '../expression/condition.ts';
import {readFormat} from '../expression/log-format.ts';
import {parseRegex} from '../expression/regex.ts';
import {checkVariableConditions, checkVariableName, type ExpressionContext, readExpressionWord, resolveInScope} from '../expression/sample-expression.ts';
import type {Word} from '../lex.ts';
import type {Capture, ChangePatterns, ChangeTracked, HeaderAction, HeaderPattern, SetVariable, TrackCounters, UnsetVariable} from '../rules.ts';
import type {Format, MatchMethod, SampleExpression} from '../sample.ts';
import {refer, takeSlot} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {parseInteger} from '../units.ts';
import type {ActionReader, ActionTable, CalledAction} from './action-table.ts';

export function takeFormat(args: Arguments, what = '<format>'): Format {
  return readFormat(args.take(what), args.scope, 'value');
}

export function takeExpression(args: Arguments, what = '<sample>'): SampleExpression {
  return readExpressionWord(args.take(what), args.scope).expression;
}

/** A regular expression that can be compiled, as written. */
export function takeRegex(args: Arguments): string {
  const word = args.take('<regex>');
  const parsed = parseRegex(word.text, {ignoreCase: false});
  if (!parsed.ok) throw args.invalid(word, parsed.reason);
  return word.text;
}

/** Takes a word if it is the next one. */
export function takeIf(args: Arguments, text: string): Word | null {
  return args.peek()?.text === text ? args.take(text) : null;
}

const logLevels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug', 'silent'] as const;

export function takeLogLevel(args: Arguments): string {
  const word = args.take('<level>');
  if (!logLevels.some((level) => level === word.text)) throw args.invalid(word, `${logLevels.join(', ')} are possible${didYouMean(word.text, logLevels)}`);
  return word.text;
}

const setVariable = (args: Arguments, {name, argument}: CalledAction): SetVariable => {
  const [variable = '', ...words] = argument.split(',');
  const context = checkName(args, variable);
  const target = {kind: 'set-var', name: variable, conditions: checkVariableConditions(words, context)} as const;
  if (name === 'set-var-fmt') return {...target, value: {kind: 'format', format: takeFormat(args)}};
  return {...target, value: {kind: 'expression', expression: takeExpression(args)}};
};

const unsetVariable = (args: Arguments, {argument}: CalledAction): UnsetVariable => {
  checkName(args, argument);
  return {kind: 'unset-var', name: argument};
};

function checkName(args: Arguments, variable: string): ExpressionContext {
  const context = {scope: args.scope, word: {text: variable, position: args.position}};
  checkVariableName(variable, context);
  return context;
}

export const variableActions = {'set-var': setVariable, 'set-var-fmt': setVariable, 'unset-var': unsetVariable} satisfies ActionTable<
  SetVariable | UnsetVariable
>;

const track: ActionReader<TrackCounters> = (args, {name}) => {
  const key = takeExpression(args, '<key>');
  const table = takeIf(args, 'table') === null ? null : args.take('<table>');
  if (table !== null) refer(args.scope, 'table', table);
  else refer(args.scope, 'table', {text: '', position: args.position});
  return {kind: 'track', counter: Number(name.at(-1)), key, table: table?.text ?? null};
};

export const trackActions = {'track-sc0': track, 'track-sc1': track, 'track-sc2': track} satisfies ActionTable<TrackCounters>;

function takeCounter(args: Arguments, argument: string): number {
  if (!/^[0-2]?$/.test(argument)) throw new ConfigError(`there is no counter '${argument}', only 0, 1 and 2`, args.position, argument);
  return Number(argument);
}

const countTracked =
  (what: 'gpc0' | 'gpc1'): ActionReader<ChangeTracked> =>
  (args, {argument}) => ({kind: 'count-tracked', counter: takeCounter(args, argument), what});

/** `<index>,<counter>`: an element of an array, and what the session tracks under that number. */
function takeElement(args: Arguments, {name, argument}: CalledAction): {readonly index: number; readonly counter: number} {
  const [, index, counter = ''] = /^(\d{1,9}),(.*)$/.exec(argument) ?? [];
  if (index === undefined) throw new ConfigError(`'${name}' expects an index and a counter: '${name}(<index>,<counter>)'`, args.position, argument);
  return {index: Number(index), counter: takeCounter(args, counter)};
}

const countElement: ActionReader<ChangeTracked> = (args, called) => {
  const {index, counter} = takeElement(args, called);
  return {kind: 'count-tracked', counter, what: `gpc[${index}]`};
};

function takeTag(args: Arguments): number | SampleExpression {
  const text = args.peek()?.text ?? '';
  return /^\d+$/.test(text) ? args.takeParsed('<value>', (word) => parseInteger(word, {min: 0, max: 4_294_967_295})) : takeExpression(args, '<value>');
}

const tagTracked: ActionReader<ChangeTracked> = (args, {argument}) => ({
  kind: 'tag-tracked',
  counter: takeCounter(args, argument),
  what: 'gpt0',
  value: takeTag(args),
});

const tagElement: ActionReader<ChangeTracked> = (args, called) => {
  const {index, counter} = takeElement(args, called);
  return {kind: 'tag-tracked', counter, what: `gpt[${index}]`, value: takeTag(args)};
};

export const countActions = {
  'sc-inc-gpc': countElement,
  'sc-inc-gpc0': countTracked('gpc0'),
  'sc-inc-gpc1': countTracked('gpc1'),
  'sc-set-gpt': tagElement,
  'sc-set-gpt0': tagTracked,
} satisfies ActionTable<ChangeTracked>;

const patternActionNames = ['set-map', 'del-map', 'add-acl', 'del-acl'] as const;

const changePatterns: ActionReader<ChangePatterns> = (args, {name, argument}) => {
  const kind = patternActionNames.find((known) => known === name) ?? 'set-map';
  if (argument === '') throw new ConfigError(`'${name}' expects a file: '${name}(<file>)'`, args.position, name);
  const file = resolveInScope({text: argument, position: args.position}, args.scope);
  return {kind, file, key: takeFormat(args, '<key>'), value: kind === 'set-map' ? takeFormat(args, '<value>') : null};
};

export const patternActions = Object.fromEntries(patternActionNames.map((name) => [name, changePatterns])) satisfies ActionTable<ChangePatterns>;

/** `capture <sample> len <length>` takes a slot of its own, `id <number>` one that was declared. */
export function captureAction(of: 'request' | 'response'): ActionReader<Capture> {
  return (args) => {
    const expression = takeExpression(args);
    const word = args.take("'len' or 'id'");
    if (word.text === 'len') {
      if (of === 'response') throw args.invalid(word, "'id' and the number of a declared capture is expected");
      if (args.scope.section !== 'frontend' && args.scope.section !== 'listen') throw args.invalid(word, "outside of frontends 'id' is expected");
      const length = args.takeParsed('<length>', (text) => parseInteger(text, {min: 1, max: 65_535}));
      return {kind: 'capture', expression, id: takeSlot(args.scope, {header: null, length, of}), length};
    }
    if (word.text !== 'id') throw args.invalid(word, "'len' or 'id' is expected");
    const {position} = args.peek() ?? args;
    const id = args.takeParsed('<number>', (text) => parseInteger(text, {min: 0, max: 1000}));
    const slot = args.scope.captures.filter((taken) => taken.of === of)[id];
    if (slot === undefined && args.scope.section !== 'backend') throw new ConfigError(`unable to find capture id '${id}'`, position, String(id));
    return {kind: 'capture', expression, id, length: slot?.length ?? 65_535};
  };
}

const headerMethods = ['str', 'beg', 'end', 'sub', 'reg'] as const satisfies readonly MatchMethod[];

export function takeHeaderName(args: Arguments): string {
  const word = args.take('<name>');
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(word.text)) throw args.invalid(word, 'this cannot be the name of a header');
  return word.text;
}

const setHeader =
  (kind: 'set-header' | 'add-header'): ActionReader<HeaderAction> =>
  (args) => ({kind, name: takeHeaderName(args), value: takeFormat(args)});

const replaceHeader =
  (kind: 'replace-header' | 'replace-value'): ActionReader<HeaderAction> =>
  (args) => ({kind, name: takeHeaderName(args), regex: takeRegex(args), value: takeFormat(args)});

const deleteHeader: ActionReader<HeaderAction> = (args) => ({kind: 'del-header', pattern: readHeaderPattern(args)});

function readHeaderPattern(args: Arguments): HeaderPattern {
  const name = args.take('<name>');
  if (takeIf(args, '-m') === null) return {name: name.text, method: 'str'};
  const word = args.take('<method>');
  const method = headerMethods.find((known) => known === word.text);
  if (method === undefined) throw args.invalid(word, `${headerMethods.join(', ')} are possible`);
  const parsed = method === 'reg' ? parseRegex(name.text, {ignoreCase: true}) : null;
  if (parsed !== null && !parsed.ok) throw args.invalid(name, parsed.reason);
  return {name: name.text, method};
}

export const headerActions = {
  'set-header': setHeader('set-header'),
  'add-header': setHeader('add-header'),
  'del-header': deleteHeader,
  'replace-header': replaceHeader('replace-header'),
  'replace-value': replaceHeader('replace-value'),
} satisfies ActionTable<HeaderAction>;

/** `set-src <sample>` and the like. */
export const addressActions = Object.fromEntries(
  (['set-src', 'set-src-port', 'set-dst', 'set-dst-port'] as const).map((kind) => [kind, (args: Arguments) => ({kind, expression: takeExpression(args)})]),
) as ActionTable<{readonly kind: 'set-src' | 'set-src-port' | 'set-dst' | 'set-dst-port'; readonly expression: SampleExpression}>;

/** Words to the condition that this program has no use for, such as `rst-ttl 5`. */
export function skipToCondition(args: Arguments): void {
  while (!atCondition(args)) args.take('<argument>');
}
