// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax under test
import test from 'ava';
import {lexLine} from '../../src/config/lex.ts';

const env = {A: 'one', SPACED: ' two  words ', EMPTY: '', UTF: 'é'};

function lex(text: string): string[] | string {
  const lexed = lexLine(text, {file: 'a.cfg', line: 7, section: 'global', env});
  return lexed.ok ? lexed.words.map((word) => word.text) : (lexed.message.split('\n')[0] ?? '');
}

const lines: readonly {readonly text: string; readonly words: readonly string[]}[] = [
  {text: '', words: []},
  {text: '  \t ', words: []},
  {text: '# only a comment "with an open quote', words: []},
  {text: 'a b\tc  d ', words: ['a', 'b', 'c', 'd']},
  {text: 'a\r', words: ['a']},
  {text: 'a#b c', words: ['a']},
  {text: 'a "#b" \'#c\' \\#d', words: ['a', '#b', '#c', '#d']},
  {text: 'one\\ word', words: ['one word']},
  {text: '\\\\ \\\' \\" \\$ \\n\\r\\t', words: ['\\', "'", '"', '$', '\n\r\t']},
  {text: '\\1 \\a', words: ['\\1', '\\a']},
  {text: 'a\\', words: ['a\\']},
  {text: '\\x41\\x62 "\\x41"', words: ['Ab', 'A']},
  {text: '\\xe2\\x82\\xac', words: ['€']},
  {text: '"a b" \'a b\'', words: ['a b', 'a b']},
  {text: 'a"b c"d\'e f\'g', words: ['ab cde fg']},
  {text: '"it\'s" \'say "hi"\'', words: ["it's", 'say "hi"']},
  {text: '"a\\"b" "a\\\\" "\\$A" "a\\ b" "\\n"', words: ['a"b', 'a\\', '$A', 'a b', '\n']},
  {text: "'a\\nb' 'a\\\\'", words: ['a\\nb', 'a\\\\']},
  {text: '"" a "" \'\'', words: ['', 'a', '', '']},
  {text: '"$A" "${A}" "x$A-y" "x${A}y"', words: ['one', 'one', 'xone-y', 'xoney']},
  {text: "$A ${A} '$A' x$", words: ['$A', '${A}', '$A', 'x$']},
  {text: '"${NONE-other}" "${A-other}" "${EMPTY-other}" "${NONE-}"', words: ['other', 'one', '', '']},
  {text: 'a "$NONE" b "${NONE}"', words: ['a', 'b']},
  {text: 'a "x$NONE" "$NONE$A" "$NONE$NONE" b"$NONE" c', words: ['a', 'x', 'one', 'b', 'c']},
  {text: '"${SPACED[*]}" "<${SPACED[*]}>" "$SPACED"', words: ['two', 'words', '<two', 'words>', ' two  words ']},
  {text: '"${NONE[*]}" "${EMPTY[*]}" "${NONE[*]-a b}"', words: ['a', 'b']},
  {text: '"${.FILE}:${.LINE}" "$.SECTION"', words: ['a.cfg:7', 'global']},
  {text: '"${constructor}" "$UTF"', words: ['é']},
  {text: 'server s ${A}:80 $A.b x"$A" \'${A}\' \\$A', words: ['server', 's', 'one:80', 'one.b', 'xone', '${A}', '$A']},
  {text: 'bind ${NONE}:80 ${A-x} ${A $ $1 ${constructor}', words: ['bind', ':80', '${A-x}', '${A', '$', '$1', '']},
  {text: 'stats socket $A/x', words: ['stats', 'socket', 'one/x']},
  {text: 'stats uri $A', words: ['stats', 'uri', '$A']},
  {text: 'été "ü"', words: ['été', 'ü']},
];

for (const {text, words} of lines) test(`lexLine() splits ${JSON.stringify(text)}`, (t) => t.deepEqual(lex(text), words));

const errors: readonly {readonly text: string; readonly message: string}[] = [
  {text: 'a "b', message: 'unmatched quote at position 3:'},
  {text: "'", message: 'unmatched quote at position 1:'},
  {text: 'a\\"b" c', message: 'unmatched quote at position 5:'},
  {text: '\\x4', message: 'truncated or invalid hexadecimal sequence at position 1:'},
  {text: '\\xgg', message: 'truncated or invalid hexadecimal sequence at position 1:'},
  {text: 'a\\xc3', message: 'hexadecimal sequence that is not UTF-8 at position 2:'},
  {text: 'a \\x41\\x00', message: 'NUL character at position 7:'},
  {text: 'a\0', message: 'NUL character at position 2:'},
  {text: "'a\0'", message: 'NUL character at position 3:'},
  {text: 'a\rb', message: 'carriage return in the middle of a line at position 2:'},
  {text: '"${A"', message: 'unmatched brace in environment variable name at position 3:'},
  {text: '"${A-x"', message: 'unmatched brace in environment variable name at position 3:'},
  {text: '"${A+x}"', message: 'unmatched brace in environment variable name at position 3:'},
  {text: '"$1"', message: 'forbidden first char in environment variable name at position 3:'},
  {text: '"${}"', message: 'forbidden first char in environment variable name at position 4:'},
  {text: '"$"', message: 'forbidden first char in environment variable name at position 3:'},
  {text: '"${A[1]}"', message: 'truncated or invalid word expansion sequence at position 5:'},
  {text: '"${.OTHER}"', message: 'unknown internal variable at position 4:'},
];

for (const {text, message} of errors) {
  test(`lexLine() refuses ${JSON.stringify(text)}`, (t) => t.is(lex(text), message));
}

test('lexLine() in single quotes knows no escape, not even of the quote', (t) => {
  t.deepEqual(lex("a 'b\\'c d"), ['a', 'b\\c', 'd']);
});

test('lexLine() tells where each word begins, its quote included', (t) => {
  const lexed = lexLine('\ta  "b c"d \'e\' "${SPACED[*]}"', {file: 'a.cfg', line: 3, section: '', env});
  t.true(lexed.ok);
  const columns = lexed.ok ? lexed.words.map(({position}) => position.column) : [];
  t.deepEqual(columns, [2, 5, 12, 16, 17]);
  t.deepEqual(lexed.ok ? lexed.words[0]?.position : null, {file: 'a.cfg', line: 3, column: 2});
});

test('lexLine() shows a long line around the fault, with a caret below it', (t) => {
  const lexed = lexLine(`${'x'.repeat(500)}\t"y${'z'.repeat(500)}`, {file: 'a.cfg', line: 1, section: '', env});
  const [, line = '', caret = ''] = lexed.ok ? [] : lexed.message.split('\n');
  t.true(line.length < 120);
  t.is(line.charAt(caret.indexOf('^')), '"');
});
