import test from 'ava';
import {reasonOf} from '../../tools/reg-tests.ts';

test('reasonOf() tells a refused configuration by its first alert, with the line and without the directory', (t) => {
  const log = `**** dT    0.1
***  h1    debug|[WARNING]  (77) : option '-dM' is accepted, and has no effect.
***  h1    debug|[ALERT]    (77) : config : parsing [/tmp/x/vtc.1.2/h1/cfg:14:9] : 'option spop-check' is not supported: there is no SPOE
***  h1    debug|[ALERT]    (77) : config : parsing [/tmp/x/vtc.1.2/h1/cfg:20:9] : another
---- c1    HTTP rx timeout (fd:6 10000 ms)
`;
  t.deepEqual(reasonOf(log), {outcome: 'refused', reason: ":14 'option spop-check' is not supported: there is no SPOE"});
});

test('reasonOf() tells anything else by what did not come as expected', (t) => {
  t.deepEqual(reasonOf('**** c1    http[ 1] |400\n---- c1    EXPECT resp.status (400) == "200" failed\n---- s1    late\n'), {
    outcome: 'differs',
    reason: 'c1    EXPECT resp.status (400) == "200" failed',
  });
  t.deepEqual(reasonOf('**** dT    0.1\n'), {outcome: 'differs', reason: 'it took too long'});
});
