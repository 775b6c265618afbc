import test from 'ava';
import {WakeTurns} from '../../src/supervisor/wake-turns.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

test('so many take their turn at a time, in the order in which they asked, and one that takes long keeps nobody waiting', async (t) => {
  const clock = new FakeClock();
  const turns = new WakeTurns({clock, atATime: 2, turnMs: 100});
  const begun: string[] = [];
  const take = async (name: string): Promise<Disposable> => {
    const turn = await turns.take();
    begun.push(name);
    return turn;
  };
  const [first, second] = await Promise.all([take('first'), take('second')]);
  const [third, fourth, fifth] = [take('third'), take('fourth'), take('fifth')];
  await clock.advance(50);
  t.deepEqual(begun, ['first', 'second']);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await clock.advance(0);
  t.deepEqual(begun, ['first', 'second', 'third']);
  await clock.advance(50);
  t.deepEqual(begun, ['first', 'second', 'third', 'fourth'], 'the second has had its time');
  second[Symbol.dispose]();
  await clock.advance(0);
  t.deepEqual(begun.length, 4, 'and ends no turn twice');
  (await third)[Symbol.dispose]();
  await fifth;
  (await fourth)[Symbol.dispose]();
  (await fifth)[Symbol.dispose]();
  await Promise.all([take('sixth'), take('seventh')]);
  t.is(begun.length, 7);
});
