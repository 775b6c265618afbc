import {setImmediate as nextTurn} from 'node:timers/promises';
import test from 'ava';
import {Rush} from '../../../src/edge/pool/rush.ts';

test('enter() lets few go on at once, and of many only some in each turn of the event loop, in their order', async (t) => {
  const rush = new Rush();
  const passed: number[] = [];
  const count = 100;
  for (let number = 0; number < count; number++) rush.enter(() => void passed.push(number));
  const turns = [passed.length];
  while (passed.length < count) {
    await nextTurn();
    turns.push(passed.length);
  }
  t.deepEqual(turns, [32, 64, 96, 100]);
  t.deepEqual(
    passed,
    Array.from({length: count}, (_, number) => number),
  );
  await nextTurn();
  rush.enter(() => void passed.push(count));
  t.is(passed.at(-1), count, 'a single one does not wait');
});
