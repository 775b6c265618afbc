import test from 'ava';
import {listingCsv, listingTable} from '../../src/cli/listing.ts';
import {sinceDay} from '../../src/cli/since-day.ts';
import {usageListing, usageReport} from '../../src/cli/usage-report.ts';
import type {AppUsage} from '../../src/store/usage.ts';

const usages = new Map<string, AppUsage>([
  [
    'blog',
    {
      total: {activeGbSeconds: 7200, storedGbSeconds: 36_000, wakes: 9},
      days: new Map([
        [20_000, {activeGbSeconds: 3600, storedGbSeconds: 18_000, wakes: 4}],
        [20_001, {activeGbSeconds: 1800, storedGbSeconds: 3600, wakes: 2}],
      ]),
      storedBytes: 5,
    },
  ],
  ['wiki', {total: {activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0}, days: new Map(), storedBytes: 0}],
]);
const rates = {activePerGbHour: 0.06, storedPerGbHour: 0.001};

test('usageReport() sums days from the first one on, and says what that costs', (t) => {
  t.deepEqual(usageReport(usages, {sinceDay: 20_001, rates}), {
    since: '2024-10-05',
    apps: [
      {app: 'blog', activeGbSeconds: 1800, storedGbSeconds: 3600, wakes: 2, cost: 0.031},
      {app: 'wiki', activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0, cost: 0},
    ],
    total: {app: 'total', activeGbSeconds: 1800, storedGbSeconds: 3600, wakes: 2, cost: 0.031},
  });
  const ofAllTime = usageReport(usages, {sinceDay: null, rates: {activePerGbHour: null, storedPerGbHour: null}});
  t.like(ofAllTime.total, {activeGbSeconds: 7200, storedGbSeconds: 36_000, wakes: 9, cost: null});
  t.is(ofAllTime.since, null);
});

test('a table and comma-separated values have a column for the cost when there are rates', (t) => {
  const report = usageReport(usages, {sinceDay: 20_001, rates});
  const [csv, table] = [(listing: ReturnType<typeof usageListing>) => listingCsv(listing, {withHead: true}), usageListing(report)];
  t.is(csv(table), 'app,active_gb_seconds,stored_gb_seconds,wakes,cost\nblog,1800,3600,2,0.031\nwiki,0,0,0,0\n');
  t.regex(listingTable(table, 80), /^NAME +ACTIVE GB-S +STORED GB-S +WAKES +COST\nblog +1800\.000 +3600\.000 +2 +0\.0310\nwiki [^\n]*\ntotal +1800/);
  const free = usageListing(usageReport(usages, {sinceDay: null, rates: {activePerGbHour: null, storedPerGbHour: null}}));
  t.regex(csv(free), /^app,active_gb_seconds,stored_gb_seconds,wakes\n/);
  t.notRegex(listingTable(free, 80), /COST/);
});

test('sinceDay() takes a date or a time that has gone by', (t) => {
  const now = 20_001 * 86_400_000 + 5000;
  t.is(sinceDay('2024-10-04', now), 20_000);
  t.is(sinceDay('1s', now), 20_001);
  t.is(sinceDay('10s', now), 20_000);
  t.is(sinceDay('7d', now), 19_994);
  for (const text of ['2024-13-40', 'yesterday', '', '7w', '2024-1-1']) t.is(sinceDay(text, now), undefined, text);
});
