import test from 'ava';
import {didYouMean, nearest} from '../../src/config/suggestion.ts';

const known = ['bind', 'mode', 'maxconn', 'server', 'default_backend', 'default-server', 'timeout client', 'exec', 'env'];

for (const [word, expected] of Object.entries({
  bnid: 'bind',
  bin: 'bind',
  Bind: 'bind',
  maxcon: 'maxconn',
  'default-backend': 'default_backend',
  default_server: 'default-server',
  'timeout clinet': 'timeout client',
  exce: 'exec',
  xyz: undefined,
  frobnicate: undefined,
  '': undefined,
})) {
  test(`nearest() to ${JSON.stringify(word)} is ${String(expected)}`, (t) => t.is(nearest(word, known), expected));
}

test('nearest() gives up on very long words', (t) => t.is(nearest('b'.repeat(100_000), known), undefined));

test('didYouMean() says nothing when nothing is near', (t) => {
  t.is(didYouMean('maxcon', known), "; did you mean 'maxconn' maybe ?");
  t.is(didYouMean('frobnicate', known), '');
});
