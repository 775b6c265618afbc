/** What `npm run bench -- soak` does for hours, each of its steps once: nothing is lost but what may be, and nothing is left over. */
import {growing} from '../../bench/soak/growth.ts';
import {type Interval, soak} from '../../bench/soak/soak.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';

/** At first, apps only start. */
const intervals: readonly Interval[] = [{kind: 'time', durationMs: 500, isHard: false}, {kind: 'each'}];

rootTest('traffic, sleeps, wakes, kills and reloads: everybody gets an answer or a refusal, every write is there, nothing grows', async (t) => {
  t.timeout(300_000);
  const interval = (index: number): Interval | null => intervals[index] ?? null;
  const {rests, tally, acknowledged, lost} = await soak({seed: 1, signal: new AbortController().signal, interval, onRest: () => undefined});
  t.log(`${tally.answers} answers, ${acknowledged} acknowledged writes, ${lost} lost with the gateway`, Object.fromEntries(tally.refusals));
  t.deepEqual(tally.violations, []);
  // Files, and what holds them open, become more until there are as many generations as are kept; and wakes are prepared when there is time.
  const isSteady = (name: string): boolean => !/^(?:files|descriptors|threads|processes|mounts|shared memory)/.test(name);
  t.deepEqual(growing(rests).filter(isSteady), []);
  t.true(acknowledged > 5);
});
