/** What a check expects, compiled: does a text or a status match? Negation is the caller's. */
import {compileRegex} from '../../config/expression/regex.ts';
import type {Expectation} from '../../config/health.ts';
import type {Format} from '../../config/sample.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckContext} from './check-samples.ts';

/** @throws CodedError ERR_REGEX for a pattern that is none */
export function compileText({method, value}: Pick<Expectation, 'method' | 'value'>): (text: string) => boolean {
  switch (method) {
    case 'str':
      return (text) => text === value;
    case 'sub':
      return (text) => text.includes(value);
    case 'beg':
      return (text) => text.startsWith(value);
    case 'end':
      return (text) => text.endsWith(value);
    case 'reg': {
      const pattern = compileRegex(value, '');
      // The end is also before a newline at the end.
      return (text) => pattern.test(text) || (text.endsWith('\n') && pattern.test(text.slice(0, -1)));
    }
    default:
      return method satisfies never;
  }
}

/** The text of a format, which has to be one. @throws CodedError of the compiler; the function CheckFailure L7RSP */
export function compileWanted(format: Format, compiler: SampleCompiler): (context: CheckContext) => string {
  const make = compiler.compileFormat(format, 'value');
  return (context) => {
    const text = make(context);
    if (text === '') throw new CheckFailure('L7RSP', 'log-format string evaluated to an empty string');
    return text;
  };
}

/** `200,300-399`, or a pattern. */
export function compileStatus({method, value}: Pick<Expectation, 'method' | 'value'>): (status: number) => boolean {
  if (method === 'reg') {
    const matches = compileText({method, value});
    return (status) => matches(String(status));
  }
  const ranges = value.split(',').map((range) => {
    const [low = '', high = low] = range.split('-');
    return {low: Number(low), high: Number(high)};
  });
  return (status) => ranges.some(({low, high}) => status >= low && status <= high);
}

/** Of any field of such a name, whole or between commas; without a value it only has to be there. Names are in lower case, those of the expectation too. */
export function compileHeader(expectation: Expectation): (headers: readonly (readonly [name: string, value: string])[]) => boolean {
  const {name: wanted, nameMethod = 'str', value: expected, whole = false} = expectation;
  const isNamed = nameMethod === 'reg' ? namePattern(wanted ?? '') : compileText({method: nameMethod, value: (wanted ?? '').toLowerCase()});
  const matches = expected === '' ? () => true : compileText(expectation);
  return (headers) => headers.some(([name, value]) => isNamed(name) && (matches(value) || (!whole && value.split(',').some((part) => matches(part.trim())))));
}

/** The same where texts are made for each check. @throws CodedError of the compiler; the function CheckFailure L7RSP */
export function compileHeaderFormats(
  expectation: Expectation,
  compiler: SampleCompiler,
): (headers: Parameters<ReturnType<typeof compileHeader>>[0], context: CheckContext) => boolean {
  const {format, nameFormat} = expectation;
  if (format === undefined && nameFormat === undefined) return compileHeader(expectation);
  const name = nameFormat === undefined ? () => expectation.name : compileWanted(nameFormat, compiler);
  const value = format === undefined ? () => expectation.value : compileWanted(format, compiler);
  return (headers, context) => compileHeader({...expectation, name: name(context), value: value(context)})(headers);
}

/** The case of a name means nothing. */
function namePattern(pattern: string): (name: string) => boolean {
  const regex = compileRegex(pattern, 'i');
  return (name) => regex.test(name);
}
