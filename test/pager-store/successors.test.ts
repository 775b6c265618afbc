import test from 'ava';
import fc from 'fast-check';
import {Successors} from '../../src/pager/successors.ts';

/** Pages that begin blocks. */
function starts(...blocks: readonly number[]): readonly number[] {
  return blocks.map((block) => block * 32);
}

test('following() names the blocks that came soon after a block, with the pages that were touched in them', (t) => {
  const successors = new Successors({reach: 2});
  successors.learn([...starts(7, 3), 3 * 32 + 5, ...starts(9, 1)]);
  t.deepEqual(successors.following(7), [
    {block: 7, pages: 1},
    {block: 3, pages: 0b100001},
    {block: 9, pages: 1},
  ]);
  t.deepEqual(successors.following(1), [{block: 1, pages: 1}]);
  t.deepEqual(successors.following(1000), []);
});

test('what does not follow any more is forgotten, what follows often is believed for longer', (t) => {
  const successors = new Successors({reach: 1});
  successors.learn(starts(1, 2));
  successors.learn(starts(1, 3));
  t.deepEqual(
    successors.following(1).map(({block}) => block),
    [1, 3],
  );
  for (let run = 0; run < 5; run += 1) successors.learn(starts(1, 4));
  successors.learn(starts(1, 5));
  t.deepEqual(
    successors.following(1).map(({block}) => block),
    [1, 4, 5],
  );
});

test('blocks and followers are bounded whatever is learned', (t) => {
  const run = fc.array(fc.integer({min: 0, max: 4000}), {maxLength: 100});
  fc.assert(
    fc.property(fc.array(run, {maxLength: 10}), (runs) => {
      const successors = new Successors({maxBlocks: 20, maxFollowers: 3});
      const touched = new Set<number>();
      for (const pages of runs) {
        successors.learn(pages);
        for (const page of pages) touched.add(page);
      }
      t.true(successors.size <= 20);
      for (let block = 0; block <= 125; block += 1) {
        const found = successors.following(block);
        t.true(found.length <= 4);
        for (const follower of found) {
          for (let slot = 0; slot < 32; slot += 1) if ((follower.pages & (1 << slot)) !== 0) t.true(touched.has(follower.block * 32 + slot));
        }
      }
    }),
  );
});
