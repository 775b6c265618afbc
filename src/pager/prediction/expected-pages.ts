import type {Checkpoint} from '../checkpoints/checkpoint.ts';
import type {PageRun} from '../checkpoints/page-table.ts';
import {pagesOfPlans} from './predicted-plan.ts';
import type {PredictedSets} from './predicted-set.ts';

/** The pages of a wake of which nothing is known yet, by process: what the last run had, and what is likely in general. */
export async function expectedPages(predicted: PredictedSets, {app, tables: processes}: Checkpoint): Promise<ReadonlyMap<number, readonly PageRun[]>> {
  const prediction = await predicted.load(app);
  const plans = (['last', 'predict'] as const).map((mode) => prediction.plan({mode, processes, trigger: {kind: 'operator'}}));
  return pagesOfPlans(plans);
}
