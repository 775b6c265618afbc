/** How times are spread, as the values of a sample: `p50Ms`, `p99Ms`. The p100 is the last or slowest one. */

import type {Series} from './paging/plot/panel.ts';
import type {Samples} from './paging/samples.ts';
import {quantile} from './statistics.ts';

export const percentiles = [0, 10, 25, 50, 75, 90, 95, 99, 100] as const;
export type Percentile = (typeof percentiles)[number];

export function percentileField(percentile: Percentile): string {
  return `p${percentile}Ms`;
}

export function spread(timesMs: readonly number[]): Record<string, number> {
  return Object.fromEntries(percentiles.map((percentile) => [percentileField(percentile), quantile(timesMs, percentile / 100)]));
}

/** Medians of all rounds. */
export function spreadSeries(samples: Samples, name: string, look: Pick<Series, 'name' | 'colour' | 'dashed'>): Series {
  const points = percentiles.flatMap((percentile) => {
    const y = samples.median(name, percentileField(percentile));
    return Number.isNaN(y) ? [] : [{x: percentile, y, high: y}];
  });
  return {...look, points};
}
