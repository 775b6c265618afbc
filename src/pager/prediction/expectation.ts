/** Plans in the form in which the fault worker is told of them. */

import {type PageRun, PageTable} from '../checkpoints/page-table.ts';
import {encodePageTable} from '../checkpoints/page-table-codec.ts';
import type {Expectation, ProcessTable} from '../faults/fault-messages.ts';
import type {PrefetchPlan} from './predicted-plan.ts';

export function encodedPlan({install, withheld}: PrefetchPlan): Expectation {
  return {predicted: encoded(install), withheld: encoded(withheld)};
}

function encoded(runs: ReadonlyMap<number, readonly PageRun[]>): ProcessTable[] {
  return [...runs].map(([vpid, wanted]) => ({vpid, table: encodePageTable(PageTable.from(wanted))}));
}
