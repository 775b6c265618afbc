/** Plans that are made while an app sleeps, one for each kind of trigger that is known, so that its wake only takes one of them. */
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {PageRun} from '../checkpoints/page-table.ts';
import {encodedPlan} from './expectation.ts';
import {type Model, wholeApp} from './predicted-model.ts';
import {type PlanRequest, type PlanRules, type PrefetchPlan, pagesOfPlans, planFor} from './predicted-plan.ts';

/** Of all plans together. What is beyond is planned when it is needed. */
const plannedPagesMax = 1 << 16;

export type WakeToPlan = Omit<PlanRequest, 'keys'>;

export class PlansAhead {
  readonly #tools: {readonly random: () => number; readonly rules: PlanRules};
  #wake: WakeToPlan | undefined;
  #model: Model | undefined;
  #plans = new Map<string, PrefetchPlan>();

  constructor(tools: {readonly random: () => number; readonly rules: PlanRules}) {
    this.#tools = tools;
  }

  /** Makes the plans for a wake; those of triggers that were seen last come first. */
  async make(model: Model, wake: WakeToPlan): Promise<void> {
    const plans = new Map<string, PrefetchPlan>();
    let pages = 0;
    this.#wake = wake;
    this.#model = model;
    this.#plans = plans;
    for (const {key} of [...model.levels.values()].sort((a, b) => b.lastWake - a.lastWake)) {
      if (pages > plannedPagesMax) return;
      const plan = planFor(model, {...wake, keys: chainOf(model, key)}, this.#tools);
      plans.set(key, {...plan, expectation: encodedPlan(plan)});
      pages += plan.installPages + plan.withheldPages;
      await nextTurn(); // One plan may take some milliseconds, and others wait for this thread too.
    }
  }

  /** As above, after something was learned. */
  async again(model: Model): Promise<void> {
    if (this.#wake !== undefined) await this.make(model, this.#wake);
  }

  /** The pages of all these plans, by process. */
  pages(): ReadonlyMap<number, readonly PageRun[]> {
    return pagesOfPlans(this.#plans.values());
  }

  plan(model: Model, wake: PlanRequest): PrefetchPlan {
    const isMade = this.#model === model && this.#wake?.mode === wake.mode && this.#wake.processes === wake.processes;
    const made = isMade ? this.#plans.get(wake.keys.find((key) => model.levels.has(key)) ?? wholeApp) : undefined;
    return made === undefined ? planFor(model, wake, this.#tools) : {...made, keys: wake.keys};
  }
}

/** The known keys that `triggerKeys()` would give with this one: each more general one is the beginning of it. */
function chainOf(model: Model, key: string): readonly string[] {
  const general = [...model.levels.keys()].filter((other) => other !== wholeApp && key.startsWith(`${other} `));
  return key === wholeApp ? [] : [key, ...general.sort((a, b) => b.length - a.length)];
}
