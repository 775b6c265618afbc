import {cpus} from 'node:os';
import test from 'ava';
import {processorsIdleMs} from '../../src/core/processor-time.ts';

test('how long the processors were idle is what Node knows of it, and the time in which they waited for a disk', (t) => {
  const known = (): number => cpus().reduce((sum, {times}) => sum + times.idle, 0);
  const [before, found, after] = [known(), processorsIdleMs(), known()];
  t.true(found >= before, `${found} of ${before}`);
  t.true(found <= (after + 1000) * 2, `${found} of ${after}`);
});
