/** A minute part of `npm run bench -- soak`: each of its steps twice, while clients ask. Nothing is lost but what may be, and nothing is left over. */
import {growing} from '../../bench/soak/growth.ts';
import {soak} from '../../bench/soak/soak.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';

const rounds = 2;

rootTest('traffic, sleeps, wakes, kills and reloads: everybody gets an answer or a refusal, every write is there, nothing grows', async (t) => {
  t.timeout(120_000);
  const interval = (index: number): {kind: 'each'} | null => (index <= rounds ? {kind: 'each'} : null);
  const {rests, tally, acknowledged, lost} = await soak({seed: 1, signal: new AbortController().signal, interval, onRest: () => undefined});
  t.log(`${tally.answers} answers, ${acknowledged} acknowledged writes, ${lost} lost with the gateway`, Object.fromEntries(tally.refusals));
  t.deepEqual(tally.violations, []);
  t.deepEqual(growing(rests), []);
  t.true(acknowledged > 10);
});
