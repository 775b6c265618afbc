/** Reads `fetch(args),converter(args),...`. */
import {dirname, resolve} from 'node:path';
import {ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import {type VariableCondition, variableConditions} from '../rules.ts';
import type {SampleCall, SampleExpression} from '../sample.ts';
import {refer, type Scope} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {readArgumentList} from './argument-list.ts';
import {checkConverterArguments} from './converter-checks.ts';
import {converterNamed, converterSpecs, laterConverters} from './converters.ts';
import {fetchNamed, fetchSpecs, laterFetches, testKeywords} from './fetches.ts';
import {parseIpPattern} from './ip-pattern.ts';
import {readPatternFile} from './pattern-file.ts';
import {parseRegex} from './regex.ts';
import type {ArgumentKind, CallSpec, SampleType} from './signatures.ts';
import {variableScopes} from './variable-name.ts';

export interface ReadExpression {
  readonly expression: SampleExpression;
  /** What the last converter, or the fetch, yields. */
  readonly type: SampleType;
  /** Behind the expression in the text of the word. */
  readonly end: number;
}

export interface ExpressionContext {
  readonly scope: Scope;
  /** The word in which the expression stands. */
  readonly word: Word;
}

/** Characters that cannot be part of a name: it ends there. */
const name = /[^\s(),\][]*/y;

/**
 * Reads an expression that is a whole word.
 * @throws ConfigError
 */
export function readExpressionWord(word: Word, scope: Scope): ReadExpression {
  const read = readExpression(0, {scope, word});
  if (read.end < word.text.length) throw fail({scope, word}, `unexpected '${word.text.slice(read.end)}' after sample expression '${read.expression.text}'`);
  return read;
}

/**
 * Reads an expression at a place of a word, as far as it goes.
 * @param resolveFetch finds the fetch of a name that is not one, for tests such as `hdr_beg`
 * @throws ConfigError
 */
export function readExpression(at: number, context: ExpressionContext, resolveFetch?: (name: string) => string | undefined): ReadExpression {
  const {text} = context.word;
  const first = readCall(at, context, (called) => fetchSpec(resolveFetch?.(called) ?? called, context));
  const converters: SampleCall[] = [];
  let {end, type} = first;
  while (text.charAt(end) === ',') {
    const next = readCall(end + 1, context, (called) => converterSpec(called, context));
    converters.push(next.call);
    end = next.end;
    type = next.type;
  }
  return {expression: {text: text.slice(at, end), fetch: first.call, converters}, type, end};
}

/** Between their parentheses nothing is an empty text. */
const takeNothing: ReadonlySet<string> = new Set(['str']);

interface ReadCall {
  readonly call: SampleCall;
  readonly type: SampleType;
  readonly end: number;
}

function readCall(at: number, context: ExpressionContext, specOf: (called: string) => CallSpec): ReadCall {
  const {text} = context.word;
  name.lastIndex = at;
  const called = name.exec(text)?.[0] ?? '';
  const spec = specOf(called);
  const open = at + called.length;
  if (text.charAt(open) !== '(') {
    checkArguments(spec, [], context);
    return {call: {name: spec.name, args: []}, type: spec.type, end: open};
  }
  const list = readArgumentList(text, open + 1);
  if (!list.ok) throw fail(context, `'${called}': ${list.reason}`);
  const args = list.args.length === 0 && takeNothing.has(spec.name) ? [''] : list.args;
  return {call: {name: spec.name, args: checkArguments(spec, args, context)}, type: spec.type, end: list.end};
}

function fetchSpec(called: string, context: ExpressionContext): CallSpec {
  const spec = fetchNamed(called);
  if (spec !== undefined) return spec;
  if (called === '') throw fail(context, 'missing fetch method in a sample expression');
  if (laterFetches.has(called)) throw fail(context, `sample fetch '${called}' is not implemented yet`);
  if (testKeywords.has(called)) throw fail(context, `'${called}' is possible in an ACL only`);
  const names = [...fetchSpecs.map((known) => known.name), ...testKeywords.keys()];
  throw fail(context, `unknown fetch method '${called}'${didYouMean(called, names)}`);
}

function converterSpec(called: string, context: ExpressionContext): CallSpec {
  const spec = converterNamed(called);
  if (spec !== undefined) return spec;
  if (called === '') throw fail(context, "missing converter after ','");
  if (laterConverters.has(called)) throw fail(context, `converter '${called}' is not implemented yet`);
  const names = converterSpecs.map((known) => known.name);
  throw fail(context, `unknown converter '${called}'${didYouMean(called, names)}`);
}

/** @returns the arguments, paths made absolute */
function checkArguments(spec: CallSpec, args: readonly string[], context: ExpressionContext): readonly string[] {
  if (args.length > spec.args.length) {
    throw fail(context, `'${spec.name}' takes ${spec.args.length === 0 ? 'no arguments' : `at most ${spec.args.length} arguments`}, found ${args.length}`);
  }
  const missing = args.length < spec.required || spec.args.slice(0, spec.required).some((kind, index) => kind !== 'string' && args[index] === '');
  if (missing) throw fail(context, `missing arguments of '${spec.name}' (got ${args.length}), ${spec.args.slice(0, spec.required).join(', ')} expected`);
  if (spec.name === 'var' || spec.name === 'set-var' || spec.name === 'unset-var') checkVariableName(args[0] ?? '', context);
  if (spec.name === 'set-var') checkVariableConditions(args.slice(1), context);
  if (spec.name === 'regsub') checkRegex(args, context);
  if (needsOwnTable(spec, args)) refer(context.scope, 'table', {text: '', position: context.word.position});
  if (spec.args[0] === 'backend' && (args[0] ?? '') === '' && context.scope.section === 'frontend') {
    throw fail(context, `'${spec.name}' needs the name of a backend: a frontend is none`);
  }
  const checked = args.map((argument, index) => checkArgument(spec, spec.args[index] ?? 'string', argument, context));
  return checkConverterArguments(spec.name, checked, context);
}

/** Without the name of a table it is that of the section. What a session tracks says itself which one it is. */
function needsOwnTable({name: called, args}: CallSpec, given: readonly string[]): boolean {
  const at = args.indexOf('table');
  return at >= 0 && (given[at] ?? '') === '' && !/^sc\d?_/.test(called);
}

function checkArgument(spec: CallSpec, kind: ArgumentKind, argument: string, context: ExpressionContext): string {
  const refuse = (what: string): ConfigError => fail(context, `'${spec.name}': failed to parse '${argument}' as ${what}`);
  switch (kind) {
    case 'string':
    case 'regex':
      return argument;
    case 'int':
      if (argument !== '' && !/^[+-]?\d{1,15}$/.test(argument)) throw refuse('an integer');
      return argument;
    case 'ip':
    case 'mask': {
      const parsed = kind === 'mask' && /^\d{1,3}$/.test(argument) && Number(argument) <= 128;
      if (!parsed && parseIpPattern(argument) === null) throw refuse(kind === 'ip' ? 'an address' : 'a netmask');
      return argument;
    }
    case 'map':
      return readPatternFile(argument, context.word, context.scope).path;
    case 'server':
    case 'backend':
    case 'frontend':
    case 'table':
    case 'userlist':
      if (argument !== '') refer(context.scope, kind, {text: argument, position: context.word.position});
      return argument;
    default:
      return kind satisfies never;
  }
}

function checkRegex([pattern = '', , flags = '']: readonly string[], context: ExpressionContext): void {
  const parsed = parseRegex(pattern, {ignoreCase: false});
  if (!parsed.ok) throw fail(context, `'regsub': ${parsed.reason}`);
  if (/[^gi]/.test(flags)) throw fail(context, `'regsub': flags are g and i, found '${flags}'`);
}

/** @throws ConfigError for a name that has no scope, or characters that names do not have */
export function checkVariableName(variable: string, context: ExpressionContext): void {
  const [, scope = '', rest = ''] = /^([^.]*)\.(.*)$/s.exec(variable) ?? [];
  if (rest === '') throw fail(context, `invalid variable name '${variable}': a scope and a name are expected, such as 'txn.name'`);
  if (!variableScopes.some((known) => known === scope)) {
    throw fail(context, `invalid variable name '${variable}': scopes are ${variableScopes.join(', ')}${didYouMean(scope, variableScopes)}`);
  }
  if (!/^[A-Za-z0-9_.]+$/.test(rest)) throw fail(context, `invalid variable name '${variable}': letters, digits, dots and underscores are possible`);
}

/** Of `set-var`. @throws ConfigError for one that there is not */
export function checkVariableConditions(words: readonly string[], context: ExpressionContext): readonly VariableCondition[] {
  return words.map((word) => {
    const condition = variableConditions.find((known) => known === word);
    if (condition !== undefined) return condition;
    throw fail(context, `unknown condition '${word}' of 'set-var': ${variableConditions.join(', ')} are possible${didYouMean(word, variableConditions)}`);
  });
}

function fail({word}: ExpressionContext, message: string): ConfigError {
  return new ConfigError(message, word.position, word.text);
}

/** An absolute path: relative ones start at `default-path`, or where the configuration file is. */
export function resolveInScope({text, position}: Word, {paths}: Scope): string {
  return resolve(paths.defaultPath ?? dirname(position.file), text);
}
