import test from 'ava';
import {evaluateWritten} from '../../src/config/conditional/predicates.ts';

for (const [text, value] of [
  ['defined(V) && streq("$V","1")', true],
  ['streq("$V",2)', false],
  ['streq($V,1)', false],
  ['streq("a b",a b)', true],
  ['', false],
] as const) {
  test(`a condition is read as it is on a line of the configuration: ${text}`, (t) => t.deepEqual(evaluateWritten(text, {V: '1'}), {ok: true, value}));
}

test('what is not a line is no condition', (t) => {
  t.false(evaluateWritten('streq("$V,1)', {V: '1'}).ok);
});
