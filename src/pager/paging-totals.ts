/** How much paging the instances of an app have cost, those that have ended included. */
import {addCounts, nothingCounted} from '../core/histogram.ts';
import type {InstanceStats} from './faults/fault-messages.ts';
import type {PagingTotals} from './protocol.ts';
import type {Served} from './served-instances.ts';

const nothing: PagingTotals = {faults: 0, zeroFaults: 0, predictedPages: 0, unusedPages: 0, broughtPages: 0, faultTimes: nothingCounted};

export function totalsOf({prefetch}: Pick<Served, 'prefetch'>, stats: Pick<InstanceStats, 'faults' | 'zeroFaults' | 'brought' | 'faultTimes'>): PagingTotals {
  const predictedPages = prefetch?.installPages ?? 0;
  const unusedPages = Math.round(predictedPages * (prefetch?.expectedUnused ?? 0));
  return {faults: stats.faults, zeroFaults: stats.zeroFaults, predictedPages, unusedPages, broughtPages: stats.brought, faultTimes: stats.faultTimes};
}

export function sum(a: PagingTotals, b: PagingTotals): PagingTotals {
  return {
    faults: a.faults + b.faults,
    zeroFaults: a.zeroFaults + b.zeroFaults,
    predictedPages: a.predictedPages + b.predictedPages,
    unusedPages: a.unusedPages + b.unusedPages,
    broughtPages: a.broughtPages + b.broughtPages,
    faultTimes: addCounts(a.faultTimes, b.faultTimes),
  };
}

/** What instances that have ended have done, by app. */
export class EndedInstances {
  readonly #totals = new Map<string, PagingTotals>();

  add(app: string, totals: PagingTotals): void {
    this.#totals.set(app, sum(this.of(app), totals));
  }

  of(app: string): PagingTotals {
    return this.#totals.get(app) ?? nothing;
  }

  get apps(): Iterable<string> {
    return this.#totals.keys();
  }
}
