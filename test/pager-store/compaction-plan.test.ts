import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {CompactionBudget} from '../../src/pager/checkpoints/compaction-budget.ts';
import {liveShareMin, planWithin, type SegmentUse, segmentsMax, segmentsToRewrite} from '../../src/pager/checkpoints/compaction-plan.ts';
import {fc} from '../helpers/properties.ts';

test('few segments with little dead weight are left alone', (t) => {
  t.is(segmentsToRewrite([use(1, 18_000, 17_000), use(2, 300, 300), use(3, 40, 30)]).size, 0);
  t.is(segmentsToRewrite([]).size, 0);
});

test('a large segment that is mostly dead is rewritten, the others stay', (t) => {
  t.deepEqual([...segmentsToRewrite([use(1, 18_000, 4000), use(2, 3000, 3000)])], [1]);
});

test('of many segments the smallest are merged, the large one is not touched', (t) => {
  const chosen = segmentsToRewrite([use(1, 18_000, 17_000), ...Array.from({length: 8}, (_, number) => use(number + 2, 300, 290))]);
  t.false(chosen.has(1));
  t.true(9 - chosen.size + 1 <= segmentsMax);
});

test('after a rewrite nothing is left to do', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({storedPages: fc.integer({min: 1, max: 50_000}), dead: fc.double({min: 0, max: 1, noNaN: true})}), {maxLength: 40}),
      (drawn) => {
        const uses = drawn.map(({storedPages, dead}, number) => use(number + 1, storedPages, Math.max(1, Math.round(storedPages * (1 - dead)))));
        t.is(segmentsToRewrite(rewritten(uses)).size, 0);
      },
    ),
  );
});

test('a hundred sleeps that change the same pages rewrite less than they write', (t) => {
  const changedPages = 300;
  let uses: SegmentUse[] = [use(1, 18_000, 18_000)];
  let rewrittenPages = 0;
  for (let sleep = 2; sleep <= 101; sleep++) {
    // What changed lies in the newest segment from now on; whoever had it before has lost it.
    uses = uses.map(({segment, storedPages, livePages}) => use(segment, storedPages, segment === 1 ? 17_700 : livePages)).filter(({segment}) => segment === 1);
    uses.push(use(sleep, changedPages, changedPages));
    const chosen = segmentsToRewrite(uses);
    for (const {segment, livePages} of uses) if (chosen.has(segment)) rewrittenPages += livePages;
    if (chosen.size > 0) uses = rewritten(uses);
  }
  t.true(rewrittenPages <= 100 * changedPages);
});

test('a hundred sleeps that each change other pages rewrite each page a few times at most', (t) => {
  const changedPages = 100;
  let uses: SegmentUse[] = [use(1, 18_000, 18_000)];
  let rewrittenPages = 0;
  for (let sleep = 2; sleep <= 101; sleep++) {
    uses = [
      ...uses.map(({segment, storedPages, livePages}) => use(segment, storedPages, segment === 1 ? livePages - changedPages : livePages)),
      use(sleep * 100, changedPages, changedPages),
    ];
    const chosen = segmentsToRewrite(uses);
    for (const {segment, livePages} of uses) if (chosen.has(segment)) rewrittenPages += livePages;
    if (chosen.size > 0) uses = rewritten(uses);
    t.true(uses.length <= segmentsMax);
    t.true(sum(uses, 'livePages') >= sum(uses, 'storedPages') * liveShareMin);
  }
  t.true(rewrittenPages <= 8 * 100 * changedPages, `${rewrittenPages} pages were rewritten for ${100 * changedPages} that changed`);
});

test('of what is due the smallest fit into a limit, the two smallest always', (t) => {
  const uses = [use(1, 18_000, 17_000), ...Array.from({length: 9}, (_, number) => use(number + 2, 300, 300))];
  t.deepEqual(planWithin(uses, 1000), {segments: new Set([2, 3, 4]), pages: 900, isWhole: false});
  t.deepEqual(planWithin(uses, 10), {segments: new Set([2, 3]), pages: 600, isWhole: false});
  const {segments, isWhole} = planWithin(uses, Number.POSITIVE_INFINITY);
  t.deepEqual(segments, segmentsToRewrite(uses));
  t.true(isWhole);
});

test('an app that leaves time for some pages only keeps a chain of bounded length', (t) => {
  const [app, budget, changedPages, inTime] = [appName('shop'), new CompactionBudget(), 100, 1000];
  let uses: SegmentUse[] = [use(1, 50_000, 20_000)];
  let longest = 0;
  for (let sleep = 2; sleep <= 400; sleep++) {
    uses = [
      ...uses.map(({segment, storedPages, livePages}) => use(segment, storedPages, Math.floor(livePages * 0.995))).filter(({livePages}) => livePages > 0),
      use(sleep, changedPages, changedPages),
    ];
    const plan = planWithin(uses, budget.of(app));
    if (plan.segments.size === 0) continue;
    if (plan.pages > inTime) budget.givenUp(app, plan);
    else {
      budget.done(app, plan);
      uses = merged(uses, plan.segments);
    }
    longest = Math.max(longest, uses.length);
  }
  t.true(longest < 3 * segmentsMax, `${longest} segments`);
  // There is time again.
  for (let sleep = 1; sleep <= 10; sleep++) {
    const plan = planWithin(uses, budget.of(app));
    budget.done(app, plan);
    if (plan.segments.size > 0) uses = merged(uses, plan.segments);
  }
  t.is(segmentsToRewrite(uses).size, 0);
});

function use(segment: number, storedPages: number, livePages: number): SegmentUse {
  return {segment, storedPages, livePages};
}

let next = 1_000_000;

function rewritten(uses: readonly SegmentUse[]): SegmentUse[] {
  return merged(uses, segmentsToRewrite(uses));
}

function merged(uses: readonly SegmentUse[], chosen: ReadonlySet<number>): SegmentUse[] {
  const moved = uses.filter(({segment}) => chosen.has(segment)).reduce((pages, {livePages}) => pages + livePages, 0);
  next += 1;
  return [...uses.filter(({segment}) => !chosen.has(segment)), ...(moved > 0 ? [use(next, moved, moved)] : [])];
}

function sum(uses: readonly SegmentUse[], what: 'livePages' | 'storedPages'): number {
  return uses.reduce((total, entry) => total + entry[what], 0);
}
