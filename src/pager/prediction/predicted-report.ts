/** What was learned of an app, as people and programs read it. Plain JSON. */

import {blockPages, pageSizeBytes} from '../checkpoints/page-table.ts';
import {likelihoodOf} from './page-likelihoods.ts';
import {expectedPages, type Level, type Likelihoods, type Model, wholeApp} from './predicted-model.ts';
import {planRules} from './predicted-plan.ts';

export type PredictedReport = {
  /** Wakes that it was learned from. */
  readonly wakes: number;
  /** The app as a whole first, then the triggers, the one seen last before the others. */
  readonly triggers: readonly TriggerReport[];
};

export type TriggerReport = {
  /** As `triggerKeys()` has it; null for the app as a whole. */
  readonly trigger: string | null;
  readonly wakes: number;
  /** Pages that are likely to be touched. */
  readonly pages: number;
  /** Moving averages of its wakes: pages installed before they were touched, the share of those that was probably not touched, faults left. */
  readonly installedPages: number;
  readonly unusedShare: number;
  readonly faultsLeft: number;
  /** Of the pages that were touched, the share that was there already. Null when none was. */
  readonly hitRate: number | null;
  readonly processes: readonly ProcessReport[];
};

export type ProcessReport = {
  /** Inside the container. */
  readonly pid: number;
  readonly pages: number;
  readonly blockBytes: number;
  /** Address in hexadecimal and number of likely pages of each block that has any, in order. */
  readonly blocks: readonly (readonly [address: string, pages: number])[];
};

/** More is no picture any more. */
const blocksMax = 1 << 15;

export function reportOf(model: Model): PredictedReport {
  const levels = [...model.levels.values()].sort((a, b) => Number(b.key === wholeApp) - Number(a.key === wholeApp) || b.lastWake - a.lastWake);
  return {wakes: model.wakes, triggers: levels.map((level) => triggerReport(model, level))};
}

function triggerReport(model: Model, {key, wakes, means, pages}: Level): TriggerReport {
  const processes = processReports(key === wholeApp ? pages : expectedPages(model, [key]));
  const used = means.installed * (1 - means.unused);
  return {
    trigger: key === wholeApp ? null : key,
    wakes,
    pages: processes.reduce((sum, process) => sum + process.pages, 0),
    installedPages: Math.round(means.installed),
    unusedShare: rounded(means.unused),
    faultsLeft: Math.round(means.faults * 10) / 10,
    hitRate: used + means.faults === 0 ? null : rounded(used / (used + means.faults)),
    processes,
  };
}

function processReports(likelihoods: Likelihoods): readonly ProcessReport[] {
  return [...likelihoods]
    .sort(([a], [b]) => a - b)
    .map(([pid, pages]) => {
      const blocks: [string, number][] = [];
      let total = 0;
      for (const block of pages.blockNumbers) {
        const count = (pages.block(block) ?? new Uint8Array()).reduce((sum, byte) => sum + (likelihoodOf(byte) >= planRules.always ? 1 : 0), 0);
        total += count;
        if (count > 0 && blocks.length < blocksMax) blocks.push([(block * blockPages * pageSizeBytes).toString(16), count]);
      }
      return {pid, pages: total, blockBytes: blockPages * pageSizeBytes, blocks};
    });
}

function rounded(share: number): number {
  return Math.round(share * 1000) / 1000;
}
