/**
 * How much of an app is rewritten at once. An app that is always woken before its compaction is done would never be compacted, and its chain would
 * grow with each sleep; so what was given up is tried again with half of the work, and what was done in time allows for more the next time.
 */
import type {AppName} from '../../core/ids.ts';
import type {RewritePlan} from './compaction-plan.ts';

export class CompactionBudget {
  readonly #pages = new Map<AppName, number>();

  /** Infinite for an app whose last compaction was not given up. */
  of(app: AppName): number {
    return this.#pages.get(app) ?? Number.POSITIVE_INFINITY;
  }

  /** @param plan undefined when it did not get as far as that */
  givenUp(app: AppName, plan: RewritePlan | undefined): void {
    if (plan !== undefined) this.#pages.set(app, Math.floor(plan.pages / 2));
  }

  done(app: AppName, plan: RewritePlan | undefined): void {
    if (plan?.isWhole === false) this.#pages.set(app, this.of(app) * 2);
    else this.#pages.delete(app);
  }
}
