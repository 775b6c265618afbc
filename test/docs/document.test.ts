/** The helper that runs documents finds what is wrong with one. */
import test from 'ava';
import {blocksOf, isOutput, stepsOf} from '../helpers/document.ts';

test('blocks have a language, attributes and their place', (t) => {
  const document = 'a\n```haproxy file=/etc/x.cfg needs=systemd\nglobal\n\n    daemon\n```\n````text\n```\n````\n';
  t.deepEqual(blocksOf(document), [
    {
      language: 'haproxy',
      attributes: new Map([
        ['file', '/etc/x.cfg'],
        ['needs', 'systemd'],
      ]),
      text: 'global\n\n    daemon',
      line: 3,
    },
    {language: 'text', attributes: new Map(), text: '```', line: 8},
  ]);
  t.throws(() => blocksOf('```sh\ntrue\n'), {message: /line 1/});
});

test('a console block is commands with what they print', (t) => {
  t.deepEqual(stepsOf('# one \\\n  two\nout\nput\n$ three'), [
    {command: 'one \\\n  two', output: 'out\nput'},
    {command: 'three', output: null},
  ]);
  t.throws(() => stepsOf('out'));
});

test('what is printed is compared, but for what a document leaves out and the width of columns', (t) => {
  t.true(isOutput('NAME   STATE\nweb    hibernated   3 s ago \n\n', 'NAME  STATE\nweb  hibernated  ... ago'));
  t.true(isOutput('a\nb\nc', 'a\n...\nc'));
  t.false(isOutput('web running', 'web hibernated'));
  t.false(isOutput('a.c', 'abc'));
});
