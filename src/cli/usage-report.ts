/** What `picogate usage` says, as pure functions of what Redis has. */
import type {UsageRates} from '../config/value.ts';
import {type AppUsage, msPerDay, type UsageSums} from '../store/usage.ts';
import {table} from './format.ts';

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

export function usageTable({apps, total}: UsageReport): string {
  const withCost = total.cost !== null;
  const cells = ({app, activeGbSeconds, storedGbSeconds, wakes, cost}: UsageRow): string[] => [
    app,
    activeGbSeconds.toFixed(3),
    storedGbSeconds.toFixed(3),
    String(wakes),
    ...(cost === null ? [] : [cost.toFixed(4)]),
  ];
  return table(['NAME', 'ACTIVE GB-S', 'STORED GB-S', 'WAKES', ...(withCost ? ['COST'] : [])], [...apps, total].map(cells));
}

/** Names of apps need no quotes. The total is left to whoever reads it. */
export function usageCsv({apps, total}: UsageReport): string {
  const head = ['app', 'active_gb_seconds', 'stored_gb_seconds', 'wakes', ...(total.cost === null ? [] : ['cost'])];
  const lines = apps.map(({app, activeGbSeconds, storedGbSeconds, wakes, cost}) =>
    [app, activeGbSeconds.toFixed(6), storedGbSeconds.toFixed(6), String(wakes), ...(cost === null ? [] : [cost.toFixed(6)])].join(','),
  );
  return `${[head.join(','), ...lines].join('\n')}\n`;
}
