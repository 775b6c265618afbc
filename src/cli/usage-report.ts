/** What `picogate usage` says, as pure functions of what Redis has. */
import type {UsageRates} from '../config/value.ts';
import {type AppUsage, msPerDay, type UsageSums} from '../store/usage.ts';
import type {Column, Listing} from './listing.ts';

export interface UsageRow extends UsageSums {
  readonly app: string;
  /** Null without rates. */
  readonly cost: number | null;
}

export interface UsageReport {
  /** The first day (UTC), `2026-11-28`; null: of all time. */
  readonly since: string | null;
  readonly apps: readonly UsageRow[];
  readonly total: UsageRow;
}

const secondsPerHour = 3600;
const none: UsageSums = {activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0};

/** @param options.sinceDay days since 1970; null: of all time */
export function usageReport(
  usages: ReadonlyMap<string, AppUsage>,
  {sinceDay, rates}: {readonly sinceDay: number | null; readonly rates: UsageRates},
): UsageReport {
  const sums = [...usages].map(([app, usage]): readonly [string, UsageSums] => [app, sumSince(usage, sinceDay)]);
  const row = (app: string, sum: UsageSums): UsageRow => ({app, ...sum, cost: costOf(sum, rates)});
  const total = sums.reduce((all, [, sum]) => plus(all, sum), none);
  const since = sinceDay === null ? null : new Date(sinceDay * msPerDay).toISOString().slice(0, 10);
  return {since, apps: sums.map(([app, sum]) => row(app, sum)), total: row('total', total)};
}

function sumSince({total, days}: AppUsage, sinceDay: number | null): UsageSums {
  if (sinceDay === null) return total;
  return [...days].filter(([day]) => day >= sinceDay).reduce((all, [, sum]) => plus(all, sum), none);
}

function plus(a: UsageSums, b: UsageSums): UsageSums {
  return {
    activeGbSeconds: a.activeGbSeconds + b.activeGbSeconds,
    storedGbSeconds: a.storedGbSeconds + b.storedGbSeconds,
    wakes: a.wakes + b.wakes,
  };
}

function costOf({activeGbSeconds, storedGbSeconds}: UsageSums, {activePerGbHour, storedPerGbHour}: UsageRates): number | null {
  if (activePerGbHour === null && storedPerGbHour === null) return null;
  return (activeGbSeconds * (activePerGbHour ?? 0) + storedGbSeconds * (storedPerGbHour ?? 0)) / secondsPerHour;
}

/** The last row is the total; comma-separated values leave it to whoever reads them. */
export function usageListing(report: UsageReport): Listing<UsageRow> {
  const {apps, total} = report;
  const columns: readonly Column<UsageRow>[] = [
    {head: 'NAME', name: 'app', value: ({app}) => app, shortest: 12},
    {head: 'ACTIVE GB-S', name: 'active_gb_seconds', value: ({activeGbSeconds}) => rounded(activeGbSeconds), text: (row) => row.activeGbSeconds.toFixed(3)},
    {
      head: 'STORED GB-S',
      name: 'stored_gb_seconds',
      value: ({storedGbSeconds}) => rounded(storedGbSeconds),
      text: (row) => row.storedGbSeconds.toFixed(3),
      rank: 1,
    },
    {head: 'WAKES', name: 'wakes', value: ({wakes}) => wakes, rank: 2},
  ];
  const costs: Column<UsageRow> = {
    head: 'COST',
    name: 'cost',
    value: ({cost}) => (cost === null ? null : rounded(cost)),
    text: (row) => (row.cost ?? 0).toFixed(4),
  };
  return {columns: total.cost === null ? columns : [...columns, costs], rows: apps, total, json: () => report};
}

/** To millionths: more is noise. */
function rounded(value: number): number {
  return Number(value.toFixed(6));
}
