/** Expressions, patterns and formats as values; what is refused is in golden/bad-expressions.txt. */
import test from 'ava';
import {evaluateCondition} from '../../src/config/conditional/predicates.ts';
import {readTest} from '../../src/config/expression/acl.ts';
import {readArgumentList} from '../../src/config/expression/argument-list.ts';
import {converterSpecs, laterConverters} from '../../src/config/expression/converters.ts';
import {fetchSpecs, laterFetches} from '../../src/config/expression/fetches.ts';
import {parseIpPattern} from '../../src/config/expression/ip-pattern.ts';
import {readFormat} from '../../src/config/expression/log-format.ts';
import {predefinedAcls} from '../../src/config/expression/predefined-acls.ts';
import {parseRegex} from '../../src/config/expression/regex.ts';
import {readExpressionWord} from '../../src/config/expression/sample-expression.ts';
import {noFiles, openScope} from '../../src/config/scope.ts';

const scope = openScope('listen', {host: noFiles, paths: {defaultPath: null, crtBase: null, caBase: null}, env: {}});
const word = (text: string) => ({text, position: {file: 'a.cfg', line: 1, column: 1}});
const readOne = (...texts: string[]) => readTest(texts.map(word), {scope, place: word('a'), warn: () => undefined});

const argumentLists: readonly {readonly text: string; readonly args: readonly string[]}[] = [
  {text: ')', args: []},
  {text: 'a)', args: ['a']},
  {text: 'a,b)', args: ['a', 'b']},
  {text: ',b)', args: ['', 'b']},
  {text: 'a,)', args: ['a', '']},
  {text: '"")', args: ['']},
  {text: '"a,b",\'c)d\')', args: ['a,b', 'c)d']},
  {text: 'a\\ b\\\\\\"\\n)', args: ['a b\\"\n']},
  {text: '\\1\\x)', args: ['\\1\\x']},
  {text: "'\\n')", args: ['\\n']},
  {text: 'a"b"c)', args: ['abc']},
];

for (const {text, args} of argumentLists) {
  test(`readArgumentList() reads ${JSON.stringify(text)}`, (t) => t.deepEqual(readArgumentList(text, 0), {ok: true, args, end: text.length}));
}

test('readArgumentList() refuses a list that does not end', (t) => {
  for (const text of ['', 'a', 'a,b', '"a)', "'a)", 'a\\']) t.false(readArgumentList(text, 0).ok, text);
});

test('readExpressionWord() takes fetches with and without arguments, and converters', (t) => {
  t.deepEqual(readExpressionWord(word('req.hdr(host,-1),lower,field(1,:)'), scope), {
    expression: {
      text: 'req.hdr(host,-1),lower,field(1,:)',
      fetch: {name: 'req.hdr', args: ['host', '-1']},
      converters: [
        {name: 'lower', args: []},
        {name: 'field', args: ['1', ':']},
      ],
    },
    type: 'str',
    end: 33,
  });
  t.is(readExpressionWord(word('src'), scope).type, 'ip');
  t.is(readExpressionWord(word('path,length'), scope).type, 'int');
  t.deepEqual(readExpressionWord(word('nbsrv()'), scope).expression.fetch.args, []);
});

test('readTest() finds the matching method by flag, keyword and type', (t) => {
  t.is(readOne('hdr_beg(host)', 'x').method, 'beg');
  t.is(readOne('hdr_beg(host)', '-m', 'end', 'x').method, 'end');
  t.is(readOne('ssl_fc').method, 'bool');
  t.is(readOne('ssl_fc', '1').method, 'int');
  t.is(readOne('src', '10.0.0.1').method, 'ip');
  t.is(readOne('path', '/').method, 'str');
  t.is(readOne('path,length', '5').method, 'int');
  t.is(readOne('src_port', '1').method, 'int');
  t.deepEqual(readOne('method', 'GET').expression.fetch, {name: 'method', args: []});
});

test('readTest() keeps an operator for all numbers behind it', (t) => {
  t.deepEqual(readOne('req.hdr_cnt(x)', '1', 'ge', '5', '7', 'eq', '3:4', ':9').patterns, ['1', 'ge 5', 'ge 7', '3:4', ':9']);
});

test('readTest() reads patterns and keys from files', (t) => {
  const host = {...noFiles, readText: (path: string) => `# of ${path}\n\n a b \r\nc\n`};
  const withFiles = {...scope, host};
  const read = (...texts: string[]) => readTest(texts.map(word), {scope: withFiles, place: word('a'), warn: () => undefined});
  t.deepEqual(read('path', '-f', '/x', 'd').patterns, ['a b', 'c', 'd']);
  t.deepEqual(read('path', '-M', '-f', '/x').patterns, ['a', 'c']);
  t.deepEqual(read('path', '-i', '-f', '/x', '-f', '/y').files, ['/x', '/y']);
});

test('readTest() warns of a test that can never be true', (t) => {
  const warnings: string[] = [];
  const read = (...texts: string[]) => readTest(texts.map(word), {scope, place: word('a'), warn: (_, message) => warnings.push(message)});
  read('path');
  read('path', '--');
  read('path', '-m', 'found');
  t.is(warnings.length, 1);
});

test('every ACL that is there without being declared can be read', (t) => {
  for (const words of predefinedAcls.values()) t.notThrows(() => readOne(...words));
});

const networks: readonly {readonly text: string; readonly pattern: string | null}[] = [
  {text: '10.0.0.1', pattern: '10.0.0.1'},
  {text: '10/8', pattern: '10.0.0.0/8'},
  {text: '192.168/16', pattern: '192.168.0.0/16'},
  {text: '10.0.0.0/255.0.0.0', pattern: '10.0.0.0/8'},
  {text: '0.0.0.0/0.0.0.0', pattern: '0.0.0.0/0'},
  {text: '1.2.3.4/255.255.255.255', pattern: '1.2.3.4/32'},
  {text: '2001:db8::/32', pattern: '2001:db8::/32'},
  {text: '10', pattern: null},
  {text: '10.0.0.0/255.0.255.0', pattern: null},
  {text: '10.0.0.0/33', pattern: null},
  {text: '::/129', pattern: null},
  {text: '1.2.3.4/8/8', pattern: null},
  {text: 'example.com', pattern: null},
];

for (const {text, pattern} of networks) test(`parseIpPattern() makes ${pattern ?? 'nothing'} of ${text}`, (t) => t.is(parseIpPattern(text), pattern));

test('readFormat() takes text, variables, samples and flags apart', (t) => {
  const plain = {quote: false, escape: false, hex: false, dashIfMissing: true};
  const expression = {text: 'src', fetch: {name: 'src', args: []}, converters: []};
  t.deepEqual(readFormat(word('a  b %ci%{+Q,-M}r%[src] 5%% %{+X}o%cp'), scope, 'log'), [
    {kind: 'text', text: 'a b '},
    {kind: 'variable', name: 'ci', argument: '', options: plain},
    {kind: 'variable', name: 'r', argument: '', options: {...plain, quote: true, dashIfMissing: false}},
    {kind: 'sample', expression, options: plain},
    {kind: 'text', text: ' 5% '},
    {kind: 'variable', name: 'cp', argument: '', options: {...plain, hex: true}},
  ]);
  t.deepEqual(readFormat(word('a  b'), scope, 'value'), [{kind: 'text', text: 'a  b'}]);
  t.deepEqual(readFormat(word(''), scope, 'value'), []);
});

test('readFormat() finds the end of a sample behind brackets in its arguments', (t) => {
  const [part, rest] = readFormat(word('%[path,regsub("[a-z]]","x)")]!'), scope, 'value');
  t.deepEqual(part?.kind === 'sample' ? part.expression.converters : null, [{name: 'regsub', args: ['[a-z]]', 'x)']}]);
  t.deepEqual(rest, {kind: 'text', text: '!'});
});

test('parseRegex() takes flags and classes as PCRE has them', (t) => {
  const matches = (text: string, subject: string): boolean => {
    const parsed = parseRegex(text, {ignoreCase: false});
    return parsed.ok && parsed.value.test(subject);
  };
  t.true(matches('(?i)^abc$', 'ABC'));
  t.true(matches('^[[:alpha:]]+$', 'abc'));
  t.false(matches('^[[:digit:]]+$', 'abc'));
  t.true(matches('\\Aab\\z', 'ab'));
  t.false(parseRegex('(', {ignoreCase: false}).ok);
});

const conditions: readonly (readonly [text: string, value: boolean])[] = [
  ['', false],
  ['1', true],
  ['0', false],
  ['defined(A)', true],
  ['defined(B)', false],
  ['!defined(B)', true],
  ['! !defined(B)', false],
  ['feature(PICOGATE) && !feature(QUIC)', true],
  ['streq(a,b) || strneq(a,b)', true],
  ['streq(a,b) || 1 && 0', false],
  ['(streq(a,b) || 1) && 1', true],
  ['strstr("a b c",b)', true],
  ['version_atleast(2.4)', true],
  ['version_atleast(99)', false],
  ['version_before(2.6)', false],
  ['version_before(2.10)', true],
];

for (const [text, value] of conditions) {
  test(`evaluateCondition() says ${value} to ${JSON.stringify(text)}`, (t) => t.deepEqual(evaluateCondition(text, {A: 'x'}), {ok: true, value}));
}

test('what is known is not listed as not implemented', (t) => {
  t.deepEqual(
    [...fetchSpecs.map(({name}) => name)].filter((name) => laterFetches.has(name)),
    [],
  );
  t.deepEqual(
    [...converterSpecs.map(({name}) => name)].filter((name) => laterConverters.has(name)),
    [],
  );
});
