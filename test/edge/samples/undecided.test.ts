/** What conditions say while bytes are missing. */
import test from 'ava';
import type {Condition, ConditionTerm} from '../../../src/config/sample.ts';
import {createSampleCompiler} from '../../../src/edge/samples/compile.ts';
import type {SampleContext} from '../../../src/edge/samples/context.ts';
import type {ClientHelloResult} from '../../../src/edge/samples/fetch.ts';
import {contextOf, environment} from './sample-fixture.ts';
import {aclTest, condition, expression} from './sample-text.ts';

type Verdict = 'yes' | 'no' | 'wait';

/** Stands for the parser of ClientHello: `T` and a name is a whole one. */
function parseClientHello(payload: Uint8Array): ClientHelloResult {
  const text = Buffer.from(payload).toString('latin1');
  if (!'T'.startsWith(text.charAt(0))) return {kind: 'none'};
  return text.endsWith('.') ? {kind: 'complete', sni: text.slice(1, -1) || null, alpn: ['h2'], version: 0x0303} : {kind: 'incomplete'};
}

const compiler = createSampleCompiler(environment(parseClientHello));

function verdict(of: Condition, payload: string, inspectionEnded = false): Verdict {
  const context: SampleContext = contextOf({payload: Buffer.from(payload, 'latin1'), inspectionEnded});
  const holds = compiler.compileCondition(of)(context);
  if (context.undecided === true) return holds ? 'yes' : 'wait';
  return holds ? 'yes' : 'no';
}

const term = (text: string, method: 'str' | 'int' | 'found' | 'bool', patterns: readonly string[], negated = false): ConditionTerm => ({
  negated,
  text,
  tests: [aclTest(text, method, patterns)],
});
const sni = term('req.ssl_sni', 'str', ['a.example']);
const notSni = term('req.ssl_sni', 'str', ['a.example'], true);
const long = term('req.len', 'int', ['gt 5']);
const always = term('always_true', 'bool', []);
const never = term('always_false', 'bool', []);
const end = term('wait_end', 'bool', []);
const any = (...anyOf: ConditionTerm[][]): Condition => ({unless: false, anyOf});

const cases: readonly (readonly [string, Condition, string, Verdict, Verdict])[] = [
  ['a name that is not here yet', any([sni]), 'Ta.ex', 'wait', 'no'],
  ['the opposite of not yet', any([notSni]), 'Ta.ex', 'wait', 'yes'],
  ['a name that is here', any([sni]), 'Ta.example.', 'yes', 'yes'],
  ['another name', any([sni]), 'Tb.example.', 'no', 'no'],
  ['not TLS', any([sni]), 'GET /', 'no', 'no'],
  ['no bytes at all', any([sni]), '', 'wait', 'no'],
  ['not yet and never', any([sni, never]), 'T', 'no', 'no'],
  ['never and not yet', any([never, sni]), 'T', 'no', 'no'],
  ['not yet and always', any([sni, always]), 'T', 'wait', 'no'],
  ['not yet or always', any([sni], [always]), 'T', 'yes', 'yes'],
  ['not yet or never', any([sni], [never]), 'T', 'wait', 'no'],
  ['unless not yet', {unless: true, anyOf: [[sni]]}, 'T', 'wait', 'yes'],
  ['a length that may grow', any([long]), '12345', 'wait', 'no'],
  ['a length that is reached', any([long]), '123456', 'yes', 'yes'],
  ['the end of waiting', any([end]), '123456', 'wait', 'yes'],
  ['bytes that are not here', any([term('req.payload(2,3)', 'str', ['cde'])]), 'abcd', 'wait', 'no'],
  ['bytes that are here', any([term('req.payload(2,3)', 'str', ['cde'])]), 'abcdef', 'yes', 'yes'],
  ['all bytes so far', any([term('req.payload(0,0)', 'str', ['abc'])]), 'ab', 'wait', 'no'],
  ['a path whose head has no end', any([term('path', 'str', ['/x'])]), 'GET /x HTTP/1.1\r\nHost: a\r\n', 'wait', 'no'],
  ['a path in the first bytes', any([term('path', 'str', ['/x'])]), 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n', 'yes', 'yes'],
  ['a path in what is not HTTP', any([term('path', 'str', ['/x'])]), 'SSH-2.0-x\r\n', 'no', 'no'],
  ['whether it is HTTP', any([term('req.proto_http', 'bool', [])]), 'GET / HTTP/1.1\r\n\r\n', 'yes', 'yes'],
  ['that it is not', any([term('req.proto_http', 'bool', [], true)]), '\x16\x03\x01\n', 'yes', 'yes'],
];

for (const [name, of, payload, before, after] of cases) {
  test(`${name}: ${before}, and ${after} at the end`, (t) => {
    t.is(verdict(of, payload), before);
    t.is(verdict(of, payload, true), after);
  });
}

test('a condition leaves no mark of an earlier one', (t) => {
  const context = contextOf({payload: Buffer.from('T'), inspectionEnded: false});
  compiler.compileCondition(any([sni]))(context);
  t.true(context.undecided);
  t.true(compiler.compileCondition(condition(aclTest('always_true', 'bool', [])))(context));
  t.false(context.undecided);
});

test('an expression marks what may change', (t) => {
  const context = contextOf({payload: Buffer.from('T'), inspectionEnded: false});
  t.is(compiler.compileExpression(expression('req.ssl_sni'))(context), null);
  t.true(context.undecided);
});

test('a hello tells its version in two parts', (t) => {
  const hello = Buffer.from('Ta.');
  const version = (...patterns: string[]): boolean =>
    compiler.compileCondition(condition(aclTest('req.ssl_ver', 'int', patterns)))(contextOf({payload: hello}));
  t.true(version('3.3'));
  t.true(version('3:3.4'));
  t.false(version('3.1'));
  t.true(version('gt 3.2'));
});
