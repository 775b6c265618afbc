import test from 'ava';
import {readHttpAnswer} from '../../../src/edge/checks/http-answer.ts';
import {fc} from '../../helpers/properties.ts';

const read = (text: string, ended = false): ReturnType<typeof readHttpAnswer> => readHttpAnswer(Buffer.from(text, 'latin1'), ended);

test('an answer is read as far as it has come', (t) => {
  const whole = 'HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc';
  for (let length = 0; length < whole.indexOf('\r\n\r\n') + 4; length++) t.is(read(whole.slice(0, length)), null);
  t.like(read(whole.slice(0, -1)), {status: 200, reason: 'OK', body: 'ab', isComplete: false});
  t.like(read(whole), {body: 'abc', isComplete: true});
  t.like(read(`${whole}more`), {body: 'abc', isComplete: true});
  t.like(read(whole.slice(0, -1), true), {body: 'ab', isComplete: true});
});

test('chunks, bare line feeds, no reason, no length', (t) => {
  t.like(read('HTTP/1.1 200\n\nabc'), {status: 200, reason: '', body: 'abc', isComplete: false});
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n';
  t.like(read(chunked), {body: 'abcde', isComplete: true});
  t.like(read(chunked.slice(0, -7)), {body: 'abcde', isComplete: false});
});

test('what is no answer is invalid', (t) => {
  for (const text of ['garbage', 'HTTP/2 200 OK\r\n\r\n', 'HTTP/1.1 20 OK\r\n\r\n', 'HTTP/1.1 abc\r\n\r\n', 'HTTP/1.1 2000 OK\r\n\r\n'])
    t.is(read(text), 'invalid', text);
  t.is(read('', true), 'invalid');
  t.is(read('HTTP/1.1 200 OK\r\n', true), 'invalid');
});

test('any bytes are an answer, or none, or too few; never an exception', (t) => {
  const start = fc.constantFrom('', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
  fc.assert(
    fc.property(start, fc.string({unit: fc.constantFrom('\r\n', '0', 'a', ':', ' ', ';', '-', '\n')}), fc.boolean(), (head, rest, ended) => {
      const answer = read(head + rest, ended);
      return answer === null || answer === 'invalid' || answer.body.length <= rest.length;
    }),
  );
  t.pass();
});
