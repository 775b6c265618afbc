import test from 'ava';
import {ReadAhead} from '../../src/pager/faults/read-ahead.ts';
import type {PageRange} from '../../src/pager/prediction/page-set.ts';
import {rootTest} from '../helpers/root-test.ts';
import {crcOf, faultLab, first} from './fault-lab.ts';

/** Touches pages in an order; what is brought does not fault. */
function touch(readAhead: ReadAhead, pages: Iterable<number>): {faults: number; brought: PageRange[]} {
  const there = new Set<number>();
  const brought: PageRange[] = [];
  let faults = 0;
  for (const page of pages) {
    if (there.has(page)) continue;
    faults++;
    there.add(page);
    const range = readAhead.after(page);
    if (range === undefined) continue;
    brought.push(range);
    for (let at = range.page; at < range.page + range.count; at++) there.add(at);
  }
  return {faults, brought};
}

const upwards = (from: number, count: number): number[] => Array.from({length: count}, (_, n) => from + n);

test('ReadAhead takes pages in a row for a stream, and doubles what it brings', (t) => {
  const {faults, brought} = touch(new ReadAhead(), upwards(1000, 256));
  t.true(faults <= 14, `${faults} faults`);
  t.deepEqual(
    brought.slice(0, 5).map(({count}) => count),
    [4, 8, 16, 32, 32],
  );
  const down = touch(new ReadAhead(), upwards(1000, 256).reverse());
  t.is(down.faults, faults);
});

test('what a stream has gone past was touched', (t) => {
  for (const pages of [upwards(1000, 256), upwards(1000, 256).reverse()]) {
    const readAhead = new ReadAhead();
    const brought = new Set<number>();
    const passed = new Set<number>();
    for (const page of pages) {
      if (brought.has(page)) continue;
      const stretch = readAhead.after(page);
      for (let at = 0; at < (stretch?.passed?.count ?? 0); at++) passed.add((stretch?.passed?.page ?? 0) + at);
      for (let at = 0; at < (stretch?.count ?? 0); at++) brought.add((stretch?.page ?? 0) + at);
    }
    t.deepEqual(
      [...passed].filter((page) => !brought.has(page)),
      [],
    );
    t.true(brought.size - passed.size <= 32, 'all but the last window');
  }
});

test('several threads that read in order are several streams', (t) => {
  const pages = upwards(0, 128).flatMap((n) => [1000 + n, 9000 - n, 20_000 + n]);
  t.true(touch(new ReadAhead(), pages).faults <= 40);
});

test('pages in no order bring next to nothing, and short rows ever less', (t) => {
  const scattered = Array.from({length: 400}, (_, n) => (n * 611_953) % 1_000_003);
  t.deepEqual(touch(new ReadAhead(), scattered).brought, []);
  const rows = Array.from({length: 200}, (_, n) => upwards(n * 1000, 4)).flat();
  const {brought} = touch(new ReadAhead(), rows);
  t.true(brought.reduce((sum, {count}) => sum + count, 0) < 200);
});

rootTest('what a process reads in a row is brought before it asks, and each page is right', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(1024), count: 1024});
  t.deepEqual(
    await app.ask(['read', first, 512]),
    upwards(first, 512).map((page) => crcOf(page)),
  );
  const stats = await lab.pager.stats(instance);
  t.true(stats.faults < 256 && stats.brought > 256, `${stats.faults} faults, ${stats.brought} brought`);
  t.is(stats.missing, 1024 - stats.faults - stats.brought);
  t.true(stats.faults + stats.brought <= 512 + 32);
});
