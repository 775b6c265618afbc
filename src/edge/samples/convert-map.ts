/** `map` and its relatives, and converters that ask or change the session's surroundings. HAProxy's manual, section 7.3.1. */

import {compileRegex} from '../../config/expression/regex.ts';
import {variableConditions} from '../../config/rules.ts';
import type {SampleCall} from '../../config/sample.ts';
import {expandReferences} from './convert-text.ts';
import {badCall, type Converter, type ConverterBuilder, neededArgument, type SampleEnvironment, textArgument} from './fetch.ts';
import {type PatternList, type PatternMethod, readMapFile} from './pattern-lists.ts';
import {byteString, type Found, intValue, leadingInteger, textValue, toAddress, toText} from './value.ts';
import {mayStore} from './variable-conditions.ts';
import {checkVariableName} from './variables.ts';

type Output = 'str' | 'int' | 'ip';

const mapMethods = ['str', 'beg', 'sub', 'dir', 'dom', 'end', 'reg', 'int', 'ip', 'len'] as const satisfies readonly PatternMethod[];

function outputValue(text: string, output: Output): Found | null {
  const bytes = byteString(text);
  if (output === 'str') return textValue(bytes);
  if (output === 'int') return intValue(leadingInteger(bytes));
  const address = toAddress(textValue(bytes));
  return address === null ? null : {type: 'ip', value: address};
}

function mapFile(call: SampleCall, environment: SampleEnvironment): PatternList {
  const path = neededArgument(call, 0, 'a file');
  return environment.lists.openMap(path, () => readMapFile(path, environment.readFile));
}

/** The value when nothing matches; null: then there is none. */
function fallbackOf(call: SampleCall, output: Output): Found | null {
  return call.args.length > 1 ? outputValue(call.args[1] ?? '', output) : null;
}

function map(method: PatternMethod, output: Output): ConverterBuilder {
  return (call, environment) => {
    const fallback = fallbackOf(call, output);
    const list = mapFile(call, environment);
    if (output !== 'str') {
      for (const entry of list.entries) checkValue(call, entry.value, output);
    }
    const lookup = list.lookup(method, {ignoreCase: false});
    return (value) => {
      const entry = lookup(value);
      return entry === null ? fallback : outputValue(entry.value, output);
    };
  };
}

function checkValue(call: SampleCall, value: string, output: Output): void {
  if (output === 'int' && !/^[+-]?\d+$/.test(value)) throw badCall(call, `"${value}" in "${call.args[0] ?? ''}" is not an integer`);
  if (output === 'ip' && outputValue(value, output) === null) throw badCall(call, `"${value}" in "${call.args[0] ?? ''}" is not an address`);
}

/** `map_regm`: references in the value are groups of the match. */
const mapWithReferences: ConverterBuilder = (call, environment) => {
  const fallback = fallbackOf(call, 'str');
  const lookup = mapFile(call, environment).lookup('reg', {ignoreCase: false});
  const expressions = new WeakMap<object, RegExp>();
  return (value) => {
    const entry = lookup(value);
    if (entry === null) return fallback;
    const regex = expressions.get(entry) ?? compileRegex(entry.pattern, '');
    expressions.set(entry, regex);
    const match = regex.exec(toText(value));
    return match === null ? fallback : textValue(expandReferences(byteString(entry.value), match));
  };
};

/** Nothing is found where it is not stored. */
const setVariable: ConverterBuilder = (call): Converter => {
  const name = checkVariableName(neededArgument(call, 0, 'the name of a variable'));
  const conditions = call.args.slice(1).map((text) => {
    const condition = variableConditions.find((known) => known === text);
    if (condition === undefined) throw badCall(call, `"${text}" is none of ${variableConditions.join(', ')}`);
    return condition;
  });
  return (value, {variables}) => (mayStore(variables, {name, conditions}, value) && variables.set(name, value) ? value : null);
};

const unsetVariable: ConverterBuilder = (call): Converter => {
  const name = checkVariableName(neededArgument(call, 0, 'the name of a variable'));
  return (value, context) => {
    context.variables.unset(name);
    return value;
  };
};

const usableServers: ConverterBuilder = (call) => {
  if (textArgument(call, 0) !== '') throw badCall(call, 'it takes no arguments');
  return (value, context) => {
    const count = context.surroundings.usableServers(toText(value));
    return count === null ? null : intValue(count);
  };
};

export const mapConverters: Readonly<Record<string, ConverterBuilder>> = {
  map: map('str', 'str'),
  ...Object.fromEntries(
    mapMethods.flatMap((method) => [
      [`map_${method}`, map(method, 'str')] as const,
      [`map_${method}_int`, map(method, 'int')] as const,
      [`map_${method}_ip`, map(method, 'ip')] as const,
    ]),
  ),
  map_regm: mapWithReferences,
  'set-var': setVariable,
  'unset-var': unsetVariable,
  nbsrv: usableServers,
};
