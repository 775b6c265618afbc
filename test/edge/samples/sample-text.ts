/** Expressions and conditions for tests from a short text, without the parser of configurations. */
import type {AclTest, Condition, MatchMethod, SampleCall, SampleExpression} from '../../../src/config/sample.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

/** `fetch(a,"b,c"),converter(d)`; quotes and backslashes as in the second quoting level. */
export function expression(text: string): SampleExpression {
  const calls: SampleCall[] = [];
  for (const [, name = '', args] of text.matchAll(/([a-zA-Z0-9._+-]+)(?:\(((?:"[^"]*"|'[^']*'|\\.|[^)"'\\])*)\))?(?:,|$)/g)) {
    calls.push({name, args: args === undefined || args === '' ? [] : argumentsOf(args)});
  }
  const [fetch = {name: '', args: []}, ...converters] = calls;
  return {text, fetch, converters};
}

function argumentsOf(text: string): string[] {
  const args = [''];
  for (const [whole, quoted, apostrophes, escaped] of text.matchAll(/"([^"]*)"|'([^']*)'|\\(.)|./gs)) {
    if (whole === ',') args.push('');
    else args.push(`${args.pop() ?? ''}${quoted ?? apostrophes ?? escaped ?? whole}`);
  }
  return args;
}

export interface TestOptions {
  readonly ignoreCase?: boolean;
  readonly files?: readonly string[];
}

export function aclTest(text: string, method: MatchMethod, patterns: readonly string[], {ignoreCase = false, files = []}: TestOptions = {}): AclTest {
  return {expression: expression(text), method, ignoreCase, patterns, files, position};
}

/** A condition of a single test. */
export function condition(test: AclTest, {negated = false, unless = false}: {negated?: boolean; unless?: boolean} = {}): Condition {
  return {unless, anyOf: [[{negated, text: '{ }', tests: [test]}]]};
}
