/** What is in the memory of an app, or will be after a wake. */
import type {AppName} from '../core/ids.ts';
import {type Checkpoint, readManifest} from './checkpoints/checkpoint.ts';
import {blockPages} from './checkpoints/page-table.ts';
import {blocksOf, type MemoryReport, type PageCounts, processMemory, type Ranges} from './memory-blocks.ts';
import type {Parts} from './pager-parts.ts';
import {likelihoodOf} from './prediction/page-likelihoods.ts';
import type {PageRange} from './prediction/page-set.ts';
import {expectedPages, wholeApp} from './prediction/predicted-model.ts';
import {planRules} from './prediction/predicted-plan.ts';
import {statsOf} from './release-instance.ts';
import type {Served} from './served-instances.ts';

/** What came into memory, by process. */
interface Touched {
  readonly predicted: ReadonlyMap<number, Ranges>;
  readonly faulted: ReadonlyMap<number, Ranges>;
}

/** Null when the app has no checkpoint, or none on this host. @throws as `CheckpointStore.load()` */
export async function memoryReport(parts: Parts, app: AppName): Promise<MemoryReport | null> {
  const awake = await awakeInstance(parts, app);
  if (awake !== null) return reportOf(parts, awake.served.checkpoint, {isAwake: true, touched: awake.touched});
  const generation = (await parts.store.generations(app)).at(-1);
  if (generation === undefined || (parts.tiering !== null && !(await parts.tiering.isLocal(app, generation)))) return null;
  const checkpoint = await parts.store.load(app, generation);
  return reportOf(parts, checkpoint, {isAwake: false, touched: {predicted: await likelyPages(parts, checkpoint), faulted: new Map()}});
}

async function awakeInstance(parts: Parts, app: AppName): Promise<{readonly served: Served; readonly touched: Touched} | null> {
  for (const served of parts.served.all()) {
    if (served.checkpoint.app !== app) continue;
    const {restored, touched, passed, alongside} = await statsOf(parts, served);
    if (!restored) continue;
    const faulted = new Map<number, PageRange[]>();
    const add = (vpid: number, ranges: Ranges): void => void faulted.set(vpid, [...(faulted.get(vpid) ?? []), ...ranges]);
    for (const {vpid, pages} of touched)
      add(
        vpid,
        pages.map((page) => ({page, count: 1})),
      );
    for (const {vpid, ranges} of [...passed, ...alongside]) add(vpid, ranges);
    return {served, touched: {predicted: served.prefetch?.install ?? new Map<number, Ranges>(), faulted}};
  }
  return null;
}

/** What a wake would install whatever the reason. */
async function likelyPages({predicted}: Parts, {app, tables}: Checkpoint): Promise<ReadonlyMap<number, Ranges>> {
  const found = new Map<number, PageRange[]>();
  const expected = expectedPages(await predicted.show(app), [wholeApp]);
  for (const vpid of tables.keys()) {
    const likelihoods = expected.get(vpid);
    const ranges: PageRange[] = [];
    for (const block of likelihoods?.blockNumbers ?? []) {
      for (const [slot, byte] of (likelihoods?.block(block) ?? new Uint8Array()).entries()) {
        if (likelihoodOf(byte) >= planRules.always) ranges.push({page: block * blockPages + slot, count: 1});
      }
    }
    found.set(vpid, ranges);
  }
  return found;
}

/** The first segment that the last run has written, if it has written any; null when that is not known. */
async function firstChanged({objects}: Parts, {app, manifest}: Checkpoint): Promise<number | null> {
  if (manifest.parent === null || manifest.copyOf !== null) return null;
  const parent = await readManifest(objects, app, manifest.parent).catch(() => null); // It may have been removed.
  return parent === null ? null : Math.max(0, ...parent.segments.map(({segment}) => segment)) + 1;
}

async function reportOf(parts: Parts, checkpoint: Checkpoint, {isAwake, touched}: {isAwake: boolean; touched: Touched}): Promise<MemoryReport> {
  const changedFrom = await firstChanged(parts, checkpoint);
  const totals: PageCounts = {pages: 0, predicted: 0, faulted: 0, dirty: 0};
  const processes = [...checkpoint.tables].map(([pid, table]) => {
    const known = {predicted: touched.predicted.get(pid) ?? [], faulted: touched.faulted.get(pid) ?? []};
    return processMemory(pid, blocksOf(table, known, changedFrom), totals);
  });
  return {isAwake, generation: checkpoint.generation, knowsChanges: changedFrom !== null, totals, processes: processes.filter(({blocks}) => blocks.length > 0)};
}
