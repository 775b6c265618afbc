/**
 * Conditions know three answers, as in HAProxy: yes, no, and not yet, which is when a fetch found less than it might find in more payload. `and`
 * and `or` are Kleene's: what a known part decides is decided, and the opposite of not yet is not yet.
 */
import type {AclTest, Condition, ConditionTerm, SampleExpression} from '../../config/sample.ts';
import type {SampleContext} from './context.ts';
import type {Fetch} from './fetch.ts';
import {createPatternList, type Lookup, type PatternLists, type PatternMethod} from './pattern-lists.ts';
import type {PatternOptions} from './patterns.ts';
import {type Found, toBoolean} from './value.ts';

/** The order makes `and` a minimum and `or` a maximum. */
const failed = 0;
const undecided = 1;
const passed = 2;
type Answer = typeof failed | typeof undecided | typeof passed;

type Test = (context: SampleContext) => Answer;

export function conditionCompiler(
  compile: (expression: SampleExpression) => Fetch,
  lists: PatternLists,
): (condition: Condition) => (context: SampleContext) => boolean {
  const compileTerm = (term: ConditionTerm): Test => {
    const any = anyOf(term.tests.map((test) => aclTest(test, compile, lists)));
    return term.negated ? (context) => (2 - any(context)) as Answer : any;
  };
  return (condition) => {
    const holds = anyOf(condition.anyOf.map((terms) => allOf(terms.map(compileTerm))));
    const wanted = condition.unless ? failed : passed;
    return (context) => {
      const answer = holds(context);
      context.undecided = answer === undecided;
      return answer === wanted;
    };
  };
}

function allOf(tests: readonly Test[]): Test {
  const [first] = tests;
  if (first !== undefined && tests.length === 1) return first;
  return (context) => {
    let answer: Answer = passed;
    for (const test of tests) {
      const next = test(context);
      if (next < answer) answer = next;
      if (answer === failed) return failed;
    }
    return answer;
  };
}

function anyOf(tests: readonly Test[]): Test {
  const [first] = tests;
  if (first !== undefined && tests.length === 1) return first;
  return (context) => {
    let answer: Answer = failed;
    for (const test of tests) {
      const next = test(context);
      if (next > answer) answer = next;
      if (answer === passed) return passed;
    }
    return answer;
  };
}

function aclTest(test: AclTest, compile: (expression: SampleExpression) => Fetch, lists: PatternLists): Test {
  const {one, all} = compile(test.expression);
  const matches = matcher(test, lists);
  return (context) => {
    context.undecided = false;
    if (all === undefined) {
      const value = one(context);
      if (value !== null && matches(value)) return passed;
    } else {
      for (const value of all(context)) if (matches(value)) return passed;
    }
    // The fetches set it meanwhile, which the compiler cannot see.
    return (context.undecided as boolean) ? undecided : failed;
  };
}

function matcher(test: AclTest, lists: PatternLists): (value: Found) => boolean {
  switch (test.method) {
    case 'found':
      return () => true;
    case 'bool':
      return (value) => toBoolean(value) === true;
    case 'int':
    case 'ip':
    case 'bin':
    case 'len':
    case 'str':
    case 'sub':
    case 'reg':
    case 'beg':
    case 'end':
    case 'dir':
    case 'dom': {
      const lookup = patternLookup(test, test.method, lists);
      return (value) => lookup(value) !== null;
    }
    default:
      return test.method satisfies never;
  }
}

/** Patterns of files are lists that the runtime API changes; others are nobody else's. */
function patternLookup(test: AclTest, method: PatternMethod, lists: PatternLists): Lookup {
  const options: PatternOptions = {ignoreCase: test.ignoreCase, dottedNumbers: isVersion(test.expression)};
  if (test.files.length > 0) return lists.openList(test.files, test.patterns).lookup(method, options);
  return createPatternList(
    'acl',
    [],
    test.patterns.map((pattern) => ({pattern, value: ''})),
  ).lookup(method, options);
}

function isVersion(expression: SampleExpression): boolean {
  return expression.converters.length === 0 && /^req[._]ssl_ver$/.test(expression.fetch.name);
}
