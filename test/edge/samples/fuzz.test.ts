/** Whatever a client sends and whatever an operator writes: a value, nothing, or a coded error. */
import test from 'ava';
import {compileRegex} from '../../../src/config/expression/regex.ts';
import {CodedError} from '../../../src/core/errors.ts';
import {converterNames, createSampleCompiler, fetchNames} from '../../../src/edge/samples/compile.ts';
import {parseRequestHead, type RequestHead} from '../../../src/edge/samples/payload-request.ts';
import {fc} from '../../helpers/properties.ts';
import {contextOf, environment} from './sample-fixture.ts';

const compiler = createSampleCompiler(environment());
const byteText = fc.uint8Array({maxLength: 60}).map((bytes) => Buffer.from(bytes).toString('latin1'));
const argument = fc.oneof(fc.constantFrom('', '1', '-1', '0', '24', ',', '/', 'txn.a', 'host', '16', '[a-z]+'), byteText);
const call = (names: readonly string[]): fc.Arbitrary<{name: string; args: string[]}> =>
  fc.record({name: fc.constantFrom(...names), args: fc.array(argument, {maxLength: 3})});
const headers = fc.array(fc.tuple(fc.constantFrom('host', 'Cookie', 'X-A', 'Authorization', 'X-Forwarded-For'), byteText), {maxLength: 5});
const addresses = fc.constantFrom('192.0.2.1', '2001:db8::1', '::ffff:10.0.0.1', '');

test('any expression on any request yields a value, nothing, or is refused when it is compiled', (t) => {
  const property = fc.property(
    fc.record({fetch: call(fetchNames), converters: fc.array(call(converterNames), {maxLength: 4})}),
    fc.record({headers, uri: byteText, source: addresses, payload: fc.uint8Array({maxLength: 80}), isHttp: fc.boolean(), ended: fc.boolean()}),
    ({fetch, converters}, {headers: fields, uri, source, payload, isHttp, ended}) => {
      const plain = contextOf();
      const connection = {...plain.connection, source: {host: source, port: 1}};
      const request = isHttp ? {method: 'GET', uri, version: '1.1', headers: fields, body: payload} : null;
      const context = contextOf({connection, request, payload, inspectionEnded: ended});
      try {
        const found = compiler.compileExpression({text: 'fuzz', fetch, converters})(context);
        if (found?.type === 'str') t.true(found.value.length < 100_000);
        compiler.compileCondition({
          unless: false,
          anyOf: [
            [
              {
                negated: false,
                text: '',
                tests: [
                  {
                    expression: {text: 'fuzz', fetch, converters},
                    method: 'sub',
                    ignoreCase: true,
                    patterns: ['a'],
                    files: [],
                    position: {file: '', line: 1, column: 1},
                  },
                ],
              },
            ],
          ],
        })(context);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
      }
    },
  );
  t.notThrows(() => fc.assert(property, {numRuns: 4000}));
});

test('any regular expression compiles or is refused with its text', (t) => {
  const piece = fc.constantFrom(
    'a',
    '.',
    '*',
    '+',
    '?',
    '(',
    ')',
    '(?i)',
    '(?:',
    '(?P<n>',
    '(?>',
    '[',
    ']',
    '[^',
    '[:alpha:]',
    '\\',
    '\\d',
    '\\Q',
    '\\E',
    '\\x',
    '{1,2}',
    '|',
    '^',
    '$',
    '(?s-i:',
    '(?#',
  );
  const pattern = fc.array(piece, {maxLength: 12}).map((pieces) => pieces.join(''));
  const property = fc.property(pattern, byteText, (text, subject) => {
    try {
      compileRegex(text, '').test(subject);
    } catch (error) {
      t.true(error instanceof CodedError && error.message.startsWith(`Cannot compile regular expression "${text}": `));
    }
  });
  t.notThrows(() => fc.assert(property, {numRuns: 3000}));
});

test('any bytes are a request, not yet one, or none, and more bytes never make one of none', (t) => {
  const start = fc.constantFrom('GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'POST /x HTTP/1.0\n\n', 'G', '');
  const property = fc.property(start, fc.uint8Array({maxLength: 40}), fc.nat(60), (head, noise, at) => {
    const whole = Buffer.concat([Buffer.from(head.slice(0, at)), noise, Buffer.from(head.slice(at))]);
    let before: RequestHead['kind'] = 'incomplete';
    for (let length = 0; length <= whole.length; length++) {
      const {kind} = parseRequestHead(whole.subarray(0, length));
      if (before !== 'incomplete') t.is(kind, before);
      before = kind;
    }
  });
  t.notThrows(() => fc.assert(property, {numRuns: 1000}));
});

test('long hostile values take no long time', (t) => {
  const hostile = [
    '"'.repeat(16_000),
    '"\\'.repeat(8000),
    ' '.repeat(16_000),
    `a${' '.repeat(16_000)}b ,c`,
    ':'.repeat(16_000),
    '%'.repeat(16_000),
    ',;='.repeat(5000),
    '/'.repeat(16_000),
  ];
  const expressions = [
    'hdr(x)',
    'cook(x)',
    'hdr(x),host_only',
    'hdr(x),url_dec',
    'hdr(x),json',
    'hdr(x),field(-1,/)',
    'hdr(x),regsub(/+,/,g)',
    'hdr_ip(x)',
    'hdr(x),b64dec',
  ];
  for (const value of hostile) {
    const fields = [
      ['x', value],
      ['Cookie', value],
    ] as const;
    const context = contextOf({request: {method: 'GET', uri: '/', version: '1.1', headers: fields, body: null}});
    for (const text of expressions) {
      const [, name = '', args = '', rest = ''] = /^(\w+)\(([^)]*)\),?(.*)$/.exec(text) ?? [];
      const [, converter = '', converterArgs = ''] = /^(\w+)\(?([^)]*)\)?$/.exec(rest) ?? [];
      const converters = converter === '' ? [] : [{name: converter, args: converterArgs === '' ? [] : converterArgs.split(',')}];
      const evaluate = compiler.compileExpression({text, fetch: {name, args: args.split(',')}, converters});
      const started = performance.now();
      evaluate(context);
      t.true(performance.now() - started < 500, `${text} on ${value.slice(0, 8)}`);
    }
  }
});
