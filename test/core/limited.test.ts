import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import {limited} from '../../src/core/limited.ts';

test('limited() has no more under way than it may, and answers in order', async (t) => {
  let underWay = 0;
  let most = 0;
  const results = await limited([5, 1, 3, 0, 2], 2, async (ms, index) => {
    underWay += 1;
    most = Math.max(most, underWay);
    await sleep(ms);
    underWay -= 1;
    return `${index}:${ms}`;
  });
  t.deepEqual(results, ['0:5', '1:1', '2:3', '3:0', '4:2']);
  t.is(most, 2);
  t.deepEqual(await limited([], 2, async () => Promise.resolve(1)), []);
});

test('limited() begins nothing more after a failure, waits for what has begun, and throws the first', async (t) => {
  const done: number[] = [];
  const work = async (item: number): Promise<void> => {
    await sleep(item === 1 ? 1 : 10);
    if (item !== 0) throw new Error(`failure ${item}`);
    done.push(item);
  };
  await t.throwsAsync(limited([0, 1, 2, 3], 2, work), {message: 'failure 1'});
  t.deepEqual(done, [0]);
});
