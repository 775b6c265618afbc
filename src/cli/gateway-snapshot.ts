/** All that metrics tell, at one moment, as plain data: whoever shows it makes the text of it (metrics-text.ts), in whichever process. */
import {appName} from '../core/ids.ts';
import type {Pager} from '../pager/client.ts';
import type {AppPaging, Placement, RemoteStatus} from '../pager/protocol.ts';
import type {Usage, UsageSums} from '../store/usage.ts';
import type {WorkerStatus} from '../store/workers.ts';
import type {IdleHabit} from '../supervisor/app-status.ts';
import type {Shortage} from '../supervisor/eviction.ts';
import type {State} from '../supervisor/lifecycle.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import type {AnsweredChecks} from './answered-checks.ts';
import type {AppCounts, EventCounts, WakeTimings} from './event-counts.ts';
import {type Residence, residenceOf} from './explanation.ts';
import type {Holds, HoldTimes} from './hold-times.ts';
import {type ProcessNumbers, processNumbers} from './process-numbers.ts';

export interface GatewaySnapshot {
  readonly apps: readonly AppSnapshot[];
  readonly process: ProcessNumbers;
  readonly wakes: WakeTimings;
  /** Of sessions at the edge of this process. */
  readonly holds: Holds;
  readonly remote: RemoteStatus | null;
  /** Null without a limit. */
  readonly memory: Shortage | null;
  /** Null where this is the only worker, or Redis does not answer. */
  readonly workers: WorkerCounts | null;
}

/** How many workers of this Redis are so; one that is drained may be any of the others too. */
export interface WorkerCounts {
  readonly alive: number;
  readonly stopped: number;
  readonly gone: number;
  readonly drained: number;
}

export interface AppSnapshot {
  readonly name: string;
  readonly state: State;
  readonly residence: Residence;
  readonly idle: IdleHabit;
  readonly isPinned: boolean;
  /** Wakes are refused, since the last ones failed. */
  readonly isRefused: boolean;
  /** Milliseconds since 1970; null when nothing is due. */
  readonly nextWakeAt: number | null;
  readonly counts: AppCounts;
  /** Health checks from outside that were answered while it slept. */
  readonly checksAnswered: number;
  /** Of all time, by all workers; null when Redis does not answer. */
  readonly usage: UsageSums | null;
  /** Null when the pager has served nothing of it since it started, or does not answer. */
  readonly paging: AppPaging | null;
}

export interface SnapshotSources {
  readonly names: readonly string[];
  readonly supervisor: Pick<Supervisor, 'app' | 'memory'>;
  readonly pager: Pick<Pager, 'status'>;
  /** What the pager said last: it would have to look at every app to say it anew. */
  readonly placements: ReadonlyMap<string, Placement>;
  readonly counts: EventCounts;
  readonly holds: HoldTimes;
  readonly answered: AnsweredChecks;
  readonly usage: Pick<Usage, 'totals'>;
  /** Null: this is the only one. */
  readonly workers: (() => Promise<readonly WorkerStatus[]>) | null;
}

export async function gatewaySnapshot({
  names,
  supervisor,
  pager,
  placements,
  counts,
  holds,
  answered,
  usage,
  workers,
}: SnapshotSources): Promise<GatewaySnapshot> {
  const {remote, apps: paging} = await pager.status();
  const used = await usage.totals(names.map(appName), Date.now()).catch(() => []);
  const apps = names.map((name, at): AppSnapshot => {
    const app = supervisor.app(name);
    const status = app.status();
    const {idle, pinned} = app.wakefulness;
    const residence = residenceOf({status, placement: placements.get(name) ?? null});
    const {total: checksAnswered} = answered.of(name);
    const ofPager = paging.find((one) => one.app === name) ?? null;
    const known = {counts: counts.of(name), checksAnswered, usage: used[at] ?? null, paging: ofPager};
    const facts = {isPinned: pinned !== null, isRefused: app.reviver.refusal !== null, nextWakeAt: app.timer.next?.at ?? null};
    return {name, state: status.state, residence, idle, ...facts, ...known};
  });
  const [memory, counted, process] = await Promise.all([supervisor.memory(), countWorkers(workers), processNumbers()]);
  return {process, apps, wakes: counts.wakes, holds: holds.counted, remote, memory, workers: counted};
}

async function countWorkers(list: SnapshotSources['workers']): Promise<WorkerCounts | null> {
  const workers = await list?.().catch(() => null);
  if (workers === undefined || workers === null) return null;
  const count = (wanted: WorkerStatus['state']): number => workers.filter(({state}) => state === wanted).length;
  return {alive: count('alive'), stopped: count('stopped'), gone: count('gone'), drained: workers.filter(({isDraining}) => isDraining).length};
}
