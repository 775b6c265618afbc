/** Whatever stands in arguments, expressions, conditions and formats, reading ends with a value or a message. */
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {evaluateCondition} from '../../src/config/conditional/predicates.ts';
import {readArgumentList} from '../../src/config/expression/argument-list.ts';
import {parseIpPattern} from '../../src/config/expression/ip-pattern.ts';
import {checkFiles} from '../../src/config/load.ts';
import {fc} from '../helpers/properties.ts';

const golden = join(import.meta.dirname, 'golden');
const words = new Set(
  readdirSync(golden)
    .filter((name) => name.endsWith('.cfg'))
    .flatMap((name) => readFileSync(join(golden, name), 'utf8').split(/\s+/)),
);
const pieces = [
  '%[',
  ']',
  '%{+Q}',
  '%%',
  '%ci',
  '(',
  ')',
  ',',
  '"',
  "'",
  '\\',
  '{',
  '}',
  '!',
  '||',
  'or',
  'if',
  'unless',
  '-m',
  '-i',
  '-f',
  '--',
  'ge',
  ' ',
  '\t',
];
const piece = fc.oneof(fc.constantFrom(...pieces, ...words), fc.string({unit: 'binary', maxLength: 4}));
const places = [
  'acl a ',
  'http-request deny if ',
  'http-request set-header X ',
  'http-request ',
  'http-response ',
  'tcp-request content ',
  'use_backend ',
  'log-format ',
  'server s ',
  'bind ',
  'stick-table ',
  'stats ',
  'option ',
  'log ',
  'http-check ',
  'tcp-check ',
  'record ',
  '.if ',
];

test('checkFiles() ends with a value or messages for any pieces of the language on a line', (t) => {
  const line = fc.tuple(fc.constantFrom(...places), fc.array(fc.tuple(piece, fc.constantFrom('', ' ')), {maxLength: 12}));
  fc.assert(
    fc.property(fc.array(line, {minLength: 1, maxLength: 6}), (lines) => {
      const text = lines.map(([place, parts]) => `    ${place}${parts.map(([part, gap]) => part + gap).join('')}`).join('\n');
      const {config, diagnostics} = checkFiles([{path: 'fuzz.cfg', text: `listen l\n    mode http\n${text}\n`}], {});
      const alerts = diagnostics.filter(({level}) => level === 'alert');
      return (
        (config === null) === alerts.length > 0 && diagnostics.every(({message, position}) => message !== '' && position.line >= 1 && position.column >= 1)
      );
    }),
    {numRuns: 4000},
  );
  t.pass();
});

test('readArgumentList() gives back any arguments that were quoted', (t) => {
  const argument = fc.string({unit: 'binary'}).map((text) => text.replaceAll("'", ''));
  fc.assert(
    fc.property(fc.array(argument, {minLength: 1, maxLength: 5}), (args) => {
      const text = `${args.map((text) => `'${text}'`).join(',')})rest`;
      const list = readArgumentList(text, 0);
      return list.ok && JSON.stringify(list.args) === JSON.stringify(args) && text.slice(list.end) === 'rest';
    }),
  );
  t.pass();
});

test('evaluateCondition() ends for any text, and what it refuses has a reason', (t) => {
  const part = fc.oneof(
    fc.constantFrom('!', '&&', '||', '(', ')', 'defined(A)', 'feature(PICOGATE)', 'streq(a,b)', 'version_atleast(2.6)', '1', '0', ' '),
    fc.string({maxLength: 3}),
  );
  fc.assert(
    fc.property(fc.array(part, {maxLength: 30}), (parts) => {
      const verdict = evaluateCondition(parts.join(''), {A: 'x'});
      return verdict.ok || verdict.reason !== '';
    }),
    {numRuns: 3000},
  );
  t.pass();
});

test('evaluateCondition() takes and refuses many brackets without running out of stack', (t) => {
  t.false(evaluateCondition(`${'('.repeat(100_000)}1${')'.repeat(100_000)}`, {}).ok);
  t.false(evaluateCondition('!'.repeat(100_001), {}).ok);
});

test('parseIpPattern() gives a pattern that means the same when it is read again', (t) => {
  const network = fc.oneof(
    fc.tuple(fc.ipV4(), fc.integer({min: 0, max: 32})).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(fc.ipV6(), fc.integer({min: 0, max: 128})).map(([address, bits]) => `${address}/${bits}`),
    fc.string({maxLength: 20}),
  );
  fc.assert(
    fc.property(network, (text) => {
      const pattern = parseIpPattern(text);
      return pattern === null || parseIpPattern(pattern) === pattern;
    }),
  );
  t.pass();
});
