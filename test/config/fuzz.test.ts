/** Whatever the text, checking it ends with a value or with messages that have a place. */
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {keywordNames, sections} from '../../src/config/keywords.ts';
import {lexLine} from '../../src/config/lex.ts';
import {checkFiles} from '../../src/config/load.ts';
import {fc} from '../helpers/properties.ts';

const env = {A: 'x y', HOME: '/root'};
const root = join(import.meta.dirname, '../..');
const samples = ['config', 'test/config/golden'].flatMap((directory) =>
  readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.cfg'))
    .map((name) => readFileSync(join(root, directory, name), 'utf8')),
);

function check(text: string): void {
  const {config, diagnostics} = checkFiles([{path: 'fuzz.cfg', text}], env);
  const lines = text.split('\n').length;
  const alerts = diagnostics.filter(({level}) => level === 'alert');
  if ((config === null) !== alerts.length > 0) throw new Error(`${config === null ? 'no value' : 'a value'} with ${alerts.length} alerts`);
  for (const {position, message} of diagnostics) {
    if (position.file !== 'fuzz.cfg' || position.line < 1 || position.line > lines || position.column < 1 || message === '') {
      throw new Error(`bad place ${JSON.stringify(position)}: ${message}`);
    }
  }
}

const awkward = fc.constantFrom(
  '"',
  "'",
  '\\',
  '\\x',
  '\\x4',
  '$',
  '${',
  '"${',
  '}',
  '[*]',
  '-',
  '#',
  ' ',
  '\t',
  '\r',
  '\n',
  '\0',
  '\ufeff',
  'é',
  '\ud800',
  '@',
  ':',
  ',',
  'app:',
);

test('lexLine() ends for any line, with words that begin within it', (t) => {
  const line = fc
    .array(fc.oneof(awkward, fc.string({unit: 'binary', maxLength: 5}), fc.constantFrom('A', 'B', '.LINE', '.FILE')), {maxLength: 40})
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(line, (text) => {
      const lexed = lexLine(text, {file: 'f', line: 1, section: '', env});
      const places = lexed.ok ? lexed.words.map(({position}) => position.column) : [lexed.position.column];
      return places.every((column, index) => column >= 1 && column <= text.length + 1 && column >= (places[index - 1] ?? 0));
    }),
    {numRuns: 3000},
  );
  t.pass();
});

test('lexLine() gives back any text that was put in single quotes', (t) => {
  const text = fc.string({unit: 'binary'}).map((value) => value.replace(/['\0\n]/g, ''));
  fc.assert(
    fc.property(text, (value) => {
      const lexed = lexLine(`a '${value}'`, {file: 'f', line: 1, section: '', env});
      return lexed.ok && lexed.words[1]?.text === value;
    }),
  );
  t.pass();
});

test('checkFiles() ends with a value or messages for any text', (t) => {
  fc.assert(fc.property(fc.string({unit: 'binary', maxLength: 300}), check), {numRuns: 500});
  t.pass();
});

test('checkFiles() ends with a value or messages for any order of keywords and values', (t) => {
  const word = fc.oneof(
    awkward,
    fc.constantFrom(
      ...keywordNames,
      ...sections.map(({kind}) => kind),
      'from',
      'no',
      'option',
      'tcp',
      'udp',
      'nat',
      'a',
      'b',
      's',
      '80',
      '5s',
      '1m',
      'a:80',
      ':80',
      'app:a:80',
      '/x',
      'A=1',
      'rootfs /',
    ),
  );
  const line = fc.array(word, {maxLength: 5}).map((words) => words.join(' '));
  fc.assert(
    fc.property(fc.array(line, {maxLength: 30}), (lines) => check(lines.join('\n'))),
    {numRuns: 1500},
  );
  t.pass();
});

test('checkFiles() ends with a value or messages for damaged samples', (t) => {
  const damage = fc.record({at: fc.nat(), length: fc.nat(12), insert: fc.oneof(awkward, fc.string({maxLength: 6}))});
  fc.assert(
    fc.property(fc.constantFrom(...samples), fc.array(damage, {minLength: 1, maxLength: 8}), (sample, damages) => {
      let text = sample;
      for (const {at, length, insert} of damages) {
        const from = at % (text.length + 1);
        text = text.slice(0, from) + insert + text.slice(from + length);
      }
      check(text);
    }),
    {numRuns: 1500},
  );
  t.pass();
});
