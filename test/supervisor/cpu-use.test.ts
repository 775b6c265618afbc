import test from 'ava';
import {CpuUse} from '../../src/supervisor/cpu-use.ts';

test('CpuUse tells of the last seconds, and of nothing that it has seen for too short', (t) => {
  const use = new CpuUse();
  t.is(use.add({atMs: 1000, usedUs: 7_000_000}), null);
  t.is(use.add({atMs: 1400, usedUs: 7_400_000}), null);
  t.is(use.add({atMs: 2000, usedUs: 7_500_000}), 50);
  t.is(use.add({atMs: 6000, usedUs: 7_500_000}), 10);
  // The first second has no weight any more.
  t.is(use.add({atMs: 7000, usedUs: 7_500_000}), 0);
  t.is(use.add({atMs: 8000, usedUs: 9_500_000}), (2000 / 6000) * 100);
  use.restart();
  t.is(use.add({atMs: 9000, usedUs: 100}), null);
});
