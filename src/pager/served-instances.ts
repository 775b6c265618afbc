/** The instances that a pager serves: what it knows of each besides its faults, and how it gets them back after a kill. */
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, appName, type Generation, type InstanceId} from '../core/ids.ts';
import {close} from '../core/libc.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import type {CheckpointStore} from './checkpoints/checkpoint-store.ts';
import {type PageRun, PageTable} from './checkpoints/page-table.ts';
import {encodePageTable} from './checkpoints/page-table-codec.ts';
import type {LocalSegment} from './checkpoints/segment-reader.ts';
import {readJournal} from './faults/event-journal.ts';
import type {InstancePlan, ProcessTable} from './faults/fault-messages.ts';
import {descriptorsOf, findKeepers, isNeeded, type Keeper, ParkingLot, stopKeeper} from './faults/parking.ts';
import type {PrefetchPlan} from './prediction/predicted-plan.ts';
import type {Prediction} from './prediction/predicted-set.ts';
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
  /** Its images and what else there is for its restore; null for an instance that another pager restored. */
  readonly loaded: AsyncDisposable | null;
  /** Null without lazy pages. */
  keeper: Keeper | null;
  /** What its prefetch is planned with; null for an instance that another pager served before. Never rejects. */
  readonly forecast: Promise<Forecast | null> | null;
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

/** What is needed of a record's checkpoint to go on with the instance. */
export interface LoadedRecord {
  readonly checkpoint: Checkpoint;
  readonly segments: readonly LocalSegment[];
}

/** An instance whose checkpoint cannot be read yet. */
export interface LateRecord {
  readonly record: InstanceRecord;
  /** An attempt that is under way, or has failed. */
  readonly loading: Promise<LoadedRecord>;
  /** Numbers of its address spaces. */
  readonly spaces: readonly number[];
}

export interface Recovered {
  readonly served: readonly Served[];
  readonly plans: readonly InstancePlan[];
  readonly later: readonly LateRecord[];
  readonly lost: readonly {readonly instance: InstanceId; readonly reason: string}[];
}

/** So long the faults of all apps wait for checkpoints that the store does not give. */
const patienceMs = 3000;
/** These say that the instance can never go on; whatever else goes wrong may be over later. */
const finalCodes: ReadonlySet<string> = new Set(['ERR_DAMAGED_CHECKPOINT', 'ERR_NO_CHECKPOINT', 'ERR_NO_OBJECT', 'ERR_KEEPER', 'ERR_TAKEOVER']);

export function isPassing(error: unknown): boolean {
  return !finalCodes.has(errorCode(error) ?? '');
}

/** What a killed pager served in this runtime directory; keepers that belong to nobody are ended. */
export async function recoverInstances(files: RuntimeFiles, store: CheckpointStore, runtimeDir: string): Promise<Recovered> {
  const found = {served: [] as Served[], plans: [] as InstancePlan[], later: [] as LateRecord[], lost: [] as Recovered['lost'][number][]};
  const records = files.list();
  const attempts = records.map((record) => ({record, loading: loadRecord(store, record)}));
  // Each is awaited below, in its turn.
  for (const {loading} of attempts) loading.catch(() => undefined);
  const tooLate = sleep(patienceMs, undefined, {ref: false});
  for (const {record, loading} of attempts) {
    const {instance, keeper} = record;
    try {
      const loaded = await Promise.race([loading, tooLate]).catch((error: unknown) => {
        if (!isPassing(error)) throw error;
      });
      if (loaded === undefined) found.later.push({record, loading, spaces: keeper === null ? [] : spacesOf(files, instance, keeper)});
      else {
        if (keeper !== null) found.plans.push(planOf(record, keeper, loaded, files));
        found.served.push(servedOf(record, loaded));
      }
    } catch (error) {
      found.lost.push({instance, reason: errorMessage(error)});
    }
  }
  const used = new Set(records.map(({keeper}) => keeper?.pid));
  for (const keeper of findKeepers(runtimeDir)) if (!used.has(keeper.pid) && !isNeeded(keeper)) stopKeeper(keeper);
  return found;
}

export async function loadRecord(store: CheckpointStore, {app, generation, keeper}: InstanceRecord): Promise<LoadedRecord> {
  const checkpoint = await store.load(appName(app), generation);
  return {checkpoint, segments: keeper === null ? [] : await checkpoint.localSegments()};
}

export function servedOf({instance, keeper}: InstanceRecord, {checkpoint}: LoadedRecord): Served {
  return {instance, checkpoint, loaded: null, keeper, forecast: null, prefetch: null};
}

/** @throws CodedError ERR_KEEPER */
export function planOf({instance}: InstanceRecord, keeper: Keeper, {checkpoint, segments}: LoadedRecord, files: RuntimeFiles): InstancePlan {
  return {instance, segments, tables: lazyTables(checkpoint), parking: descriptorsOf(keeper), journalPath: files.journalPath(instance)};
}

/** Numbers that nobody else may use as long as the instance is there. */
function spacesOf(files: RuntimeFiles, instance: InstanceId, keeper: Keeper): readonly number[] {
  using lot = new ParkingLot(descriptorsOf(keeper));
  const parked = lot.list();
  for (const {fd} of parked) close(fd);
  const journalled = readJournal(files.journalPath(instance)).flatMap(({space, event}) => (event.kind === 'fork' ? [space, event.child] : [space]));
  return [...new Set([...parked.map(({space}) => space), ...journalled])];
}

/** The instances by id. */
export class ServedInstances {
  readonly #served = new Map<InstanceId, Served>();
  readonly #waiting = new Map<InstanceId, InstanceRecord>();

  add(served: Served): void {
    this.#waiting.delete(served.instance);
    this.#served.set(served.instance, served);
  }

  /** It is served later. */
  wait(record: InstanceRecord): void {
    this.#waiting.set(record.instance, record);
  }

  waitsNoMore(instance: InstanceId): void {
    this.#waiting.delete(instance);
  }

  /** Those that are served later. */
  late(): readonly InstanceRecord[] {
    return [...this.#waiting.values()];
  }

  /** What instances of an app run from, also of those that are served later. */
  generationsOf(app: AppName): readonly Generation[] {
    const waiting = [...this.#waiting.values()].filter((record) => record.app === app);
    return [
      ...this.all()
        .map(({checkpoint}) => checkpoint)
        .filter((checkpoint) => checkpoint.app === app),
      ...waiting,
    ].map(({generation}) => generation);
  }

  remove(instance: InstanceId): void {
    this.#served.delete(instance);
  }

  find(instance: InstanceId): Served | undefined {
    return this.#served.get(instance);
  }

  /** @throws CodedError ERR_UNKNOWN_INSTANCE, or ERR_NOT_TAKEN_OVER (retryable) */
  get(instance: InstanceId): Served {
    const served = this.#served.get(instance);
    if (served !== undefined) return served;
    if (this.#waiting.has(instance)) {
      const found = 'the pager was killed, and the checkpoint that it runs from cannot be read yet';
      throw new CodedError('ERR_NOT_TAKEN_OVER', `Cannot page for instance "${instance}": ${found}`, {source: 'host', retryable: true});
    }
    throw new CodedError('ERR_UNKNOWN_INSTANCE', `Cannot page for instance "${instance}": it was never restored here, or released`, {source: 'host'});
  }

  all(): readonly Served[] {
    return [...this.#served.values()];
  }
}
