/** The instances that a pager serves: what it knows of each besides its faults, and how it gets them back after a kill. */
import {CodedError, errorMessage} from '../core/errors.ts';
import {appName, type InstanceId} from '../core/ids.ts';
import type {Checkpoint} from './checkpoint.ts';
import type {CheckpointStore} from './checkpoint-store.ts';
import type {InstancePlan, ProcessTable} from './fault-messages.ts';
import {type PageRun, PageTable} from './page-table.ts';
import {encodePageTable} from './page-table-codec.ts';
import {descriptorsOf, findKeepers, isNeeded, type Keeper, stopKeeper} from './parking.ts';
import type {PrefetchPlan} from './predicted-plan.ts';
import type {Prediction} from './predicted-set.ts';
import type {RestoreRequest} from './protocol.ts';
import type {InstanceRecord, RuntimeFiles} from './runtime-files.ts';

/** All that a plan of the prefetch needs, in memory. */
export interface Forecast {
  readonly mode: RestoreRequest['prefetch'];
  readonly prediction: Prediction;
}

export interface Served {
  readonly instance: InstanceId;
  /** What it was restored from; its segments stay as long as the instance runs. */
  readonly checkpoint: Checkpoint;
  /** Of its images in the FUSE mount; null for an instance that another pager restored, whose images nobody reads any more. */
  readonly directory: string | null;
  /** Null without lazy pages. */
  keeper: Keeper | null;
  /** What its prefetch is planned with; null for an instance that another pager served before. */
  readonly forecast: Forecast | null;
  /** What was to be installed; null before `expect()`, without prefetch, and for an instance that another pager served before. */
  prefetch: PrefetchPlan | null;
}

/** Its lazy pages, by process: those of which the fault worker is in charge. */
export function lazyTables(checkpoint: Checkpoint): ProcessTable[] {
  return [...checkpoint.tables].map(([vpid, table]) => ({vpid, table: encodePageTable(PageTable.from(lazyRuns(table)))}));
}

function* lazyRuns(table: PageTable): Generator<PageRun, undefined> {
  for (const run of table.runs()) if (run.lazy) yield run;
  return undefined;
}

export interface Recovered {
  readonly served: readonly Served[];
  readonly plans: readonly InstancePlan[];
  readonly lost: readonly {readonly instance: InstanceId; readonly reason: string}[];
}

/** What a killed pager served in this runtime directory; keepers that belong to nobody are ended. */
export async function recoverInstances(files: RuntimeFiles, store: CheckpointStore, runtimeDir: string): Promise<Recovered> {
  const served: Served[] = [];
  const plans: InstancePlan[] = [];
  const lost: {instance: InstanceId; reason: string}[] = [];
  const records = files.list();
  for (const record of records) {
    try {
      const checkpoint = await store.load(appName(record.app), record.generation);
      const {instance, keeper} = record;
      if (keeper !== null) plans.push(await planOf(record, keeper, checkpoint, files));
      served.push({instance, checkpoint, directory: null, keeper, forecast: null, prefetch: null});
    } catch (error) {
      lost.push({instance: record.instance, reason: errorMessage(error)});
    }
  }
  const used = new Set(records.map(({keeper}) => keeper?.pid));
  for (const keeper of findKeepers(runtimeDir)) if (!used.has(keeper.pid) && !isNeeded(keeper)) stopKeeper(keeper);
  return {served, plans, lost};
}

async function planOf(record: InstanceRecord, keeper: Keeper, checkpoint: Checkpoint, files: RuntimeFiles): Promise<InstancePlan> {
  const {instance} = record;
  const segments = await checkpoint.localSegments();
  return {instance, segments, tables: lazyTables(checkpoint), parking: descriptorsOf(keeper), journalPath: files.journalPath(instance)};
}

/** The instances by id. */
export class ServedInstances {
  readonly #served = new Map<InstanceId, Served>();

  add(served: Served): void {
    this.#served.set(served.instance, served);
  }

  remove(instance: InstanceId): void {
    this.#served.delete(instance);
  }

  find(instance: InstanceId): Served | undefined {
    return this.#served.get(instance);
  }

  /** @throws CodedError ERR_UNKNOWN_INSTANCE */
  get(instance: InstanceId): Served {
    const served = this.#served.get(instance);
    if (served !== undefined) return served;
    throw new CodedError('ERR_UNKNOWN_INSTANCE', `Cannot page for instance "${instance}": it was never restored here, or released`, {source: 'host'});
  }

  all(): readonly Served[] {
    return [...this.#served.values()];
  }
}
