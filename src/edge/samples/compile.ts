/**
 * Compiles what the configuration says about traffic into functions: once, at start. A request then costs calls of closures that were made
 * here, and no parsing.
 */
import type {Condition, Format, SampleCall, SampleExpression} from '../../config/sample.ts';
import {CodedError} from '../../core/errors.ts';
import {conditionCompiler} from './compile-condition.ts';
import {type FormatUse, formatCompiler} from './compile-format.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {bytesConverters} from './convert-bytes.ts';
import {jsonConverters} from './convert-json.ts';
import {mapConverters} from './convert-map.ts';
import {mqttConverters} from './convert-mqtt.ts';
import {numberConverters} from './convert-number.ts';
import {textConverters} from './convert-text.ts';
import type {Converter, ConverterBuilder, Fetch, FetchBuilder, SampleEnvironment} from './fetch.ts';
import {connectionFetches} from './fetch-connection.ts';
import {headerFetches} from './fetch-headers.ts';
import {httpFetches} from './fetch-http.ts';
import {internalFetches} from './fetch-internal.ts';
import {payloadFetches} from './fetch-payload.ts';
import {tableConverters, tableFetches} from './fetch-tables.ts';
import type {Found} from './value.ts';

export interface SampleCompiler {
  /**
   * False, and `context.undecided` set, while more payload may still decide; else whether it holds, and `context.undecided` is false.
   * @throws CodedError ERR_SAMPLE, ERR_PATTERN, ERR_REGEX, ERR_MAP, ERR_VARIABLE
   */
  compileCondition(condition: Condition): (context: SampleContext) => boolean;
  /** Sets `context.undecided` when more payload may still change the value. Throws as `compileCondition`. */
  compileExpression(expression: SampleExpression): (context: SampleContext) => SampleValue;
  /** @param use `log`: runs of blanks are one, as in HAProxy's log lines. The text is a string of bytes. Throws as `compileCondition` */
  compileFormat(format: Format, use: FormatUse): (context: SampleContext) => string;
}

const fetches: ReadonlyMap<string, FetchBuilder> = new Map(
  [headerFetches, httpFetches, connectionFetches, payloadFetches, internalFetches, tableFetches].flatMap((table) => Object.entries(table)),
);

const converters: ReadonlyMap<string, ConverterBuilder> = new Map(
  [textConverters, numberConverters, bytesConverters, jsonConverters, mqttConverters, mapConverters, tableConverters].flatMap((table) => Object.entries(table)),
);

/** All names, for whoever checks or completes them; the forms with a matching method (`path_beg`) are not among them. */
export const fetchNames: readonly string[] = [...fetches.keys()];
export const converterNames: readonly string[] = [...converters.keys()];

export function createSampleCompiler(environment: SampleEnvironment): SampleCompiler {
  const compile = (expression: SampleExpression): Fetch => compileFetch(expression, environment);
  return {
    compileCondition: conditionCompiler(compile, environment.lists),
    compileExpression: (expression) => compile(expression).one,
    compileFormat: formatCompiler((expression) => compile(expression).one),
  };
}

/** @throws CodedError as told above, with the text of the expression in its message */
function compileFetch(expression: SampleExpression, environment: SampleEnvironment): Fetch {
  try {
    const fetch = findFetch(expression.fetch)(expression.fetch, environment);
    return expression.converters.map((call) => findConverter(call)(call, environment)).reduce(converted, fetch);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new CodedError(error.code, `Cannot compile expression "${expression.text}": ${error.message}`, {source: error.source, cause: error.cause});
  }
}

function findFetch(call: SampleCall): FetchBuilder {
  const known = fetches.get(call.name) ?? fetches.get(call.name.replace(/_(beg|dir|dom|end|len|reg|sub)$/, ''));
  if (known === undefined) throw new CodedError('ERR_SAMPLE', `there is no fetch "${call.name}"`, {source: 'host'});
  return known;
}

function findConverter(call: SampleCall): ConverterBuilder {
  const known = converters.get(call.name);
  if (known === undefined) throw new CodedError('ERR_SAMPLE', `there is no converter "${call.name}"`, {source: 'host'});
  return known;
}

function converted(fetch: Fetch, convert: Converter): Fetch {
  const {one, all} = fetch;
  const single: Fetch['one'] = (context) => {
    const value = one(context);
    return value === null ? null : convert(value, context);
  };
  if (all === undefined) return {one: single};
  return {
    one: single,
    all(context) {
      const values: Found[] = [];
      for (const value of all(context)) {
        const result = convert(value, context);
        if (result !== null) values.push(result);
      }
      return values;
    },
  };
}
