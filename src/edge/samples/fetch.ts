/** What a sample fetch and a converter are once they are compiled, and how their arguments are read. */
import {isVariableName} from '../../config/expression/variable-name.ts';
import type {SampleCall} from '../../config/sample.ts';
import {CodedError} from '../../core/errors.ts';
import type {SampleContext, SampleValue} from './context.ts';
import type {PatternLists} from './pattern-lists.ts';
import {byteString, type Found, toText} from './value.ts';

/** The start of a TLS stream, as the ClientHello parser sees it. */
export type ClientHelloResult =
  | {readonly kind: 'complete'; readonly sni: string | null; readonly alpn: readonly string[]; readonly version: number}
  | {readonly kind: 'incomplete'}
  | {readonly kind: 'none'};

/** What compiling needs besides the text: given once, at start. */
export interface SampleEnvironment {
  readonly lists: PatternLists;
  /** Reads a map file as UTF-8; called while compiling only. */
  readonly readFile: (path: string) => string;
  readonly parseClientHello: (payload: Uint8Array) => ClientHelloResult;
}

export interface Fetch {
  /** The value that is meant where one is wanted; of many occurrences the last, as in HAProxy. */
  readonly one: (context: SampleContext) => SampleValue;
  /** All occurrences, which a condition tries one after another; absent: there is one at most. */
  readonly all?: (context: SampleContext) => readonly Found[];
}

/** Null: there is nothing to convert to, and the whole expression finds nothing. */
export type Converter = (value: Found, context: SampleContext) => SampleValue;

export type FetchBuilder = (call: SampleCall, environment: SampleEnvironment) => Fetch;
export type ConverterBuilder = (call: SampleCall, environment: SampleEnvironment) => Converter;

/** A fetch without arguments. */
export function plain(one: Fetch['one']): FetchBuilder {
  return (call) => {
    noArguments(call);
    return {one};
  };
}

/** A converter without arguments. */
export function simple(convert: Converter): ConverterBuilder {
  return (call) => {
    noArguments(call);
    return convert;
  };
}

function noArguments(call: SampleCall): void {
  if (call.args.some((argument) => argument !== '')) throw badCall(call, 'it takes no arguments');
}

/** The error of a call that cannot be compiled. */
export function badCall(call: SampleCall, found: string): CodedError<'ERR_SAMPLE'> {
  return new CodedError('ERR_SAMPLE', `Cannot use "${call.name}": ${found}`, {source: 'host'});
}

/** An argument as a string of bytes; `''` when it is not there. */
export function textArgument(call: SampleCall, index: number): string {
  return byteString(call.args[index] ?? '');
}

/** @throws CodedError ERR_SAMPLE when it is empty or not there */
export function neededArgument(call: SampleCall, index: number, what: string): string {
  const argument = textArgument(call, index);
  if (argument === '') throw badCall(call, `it needs ${what} as argument ${index + 1}`);
  return argument;
}

/** @throws CodedError ERR_SAMPLE when it is no integer, or not there and there is no fallback */
export function integerArgument(call: SampleCall, index: number, fallback: number | null): number {
  const argument = call.args[index] ?? '';
  if (argument === '' && fallback !== null) return fallback;
  if (!/^[+-]?\d{1,19}$/.test(argument)) throw badCall(call, `argument ${index + 1} is "${argument}", not an integer`);
  return Number(argument);
}

/** An argument that is a variable, or a text. Null: the variable is not set. */
export function textOrVariable(text: string): (context: SampleContext) => string | null {
  if (!isVariableName(text)) return () => text;
  return ({variables}) => {
    const found = variables.get(text);
    return found === null ? null : toText(found);
  };
}

/** Marks that more payload may change what was found, unless there will be none. */
export function mayChange(context: SampleContext): void {
  if (!context.inspectionEnded) context.undecided = true;
}
