/**
 * The way of an instance to sleep, up to the end of its processes: it has nothing to do, its route goes away, CRIU dumps it. What the app is
 * afterwards, and when it is tried again, is decided in app.ts.
 */
import {faultPoint} from '../core/fault-point.ts';
import type {Generation} from '../core/ids.ts';
import type {SleepCause} from '../store/app-record.ts';
import type {AppOptions} from './app-status.ts';
import type {Wait} from './idle.ts';
import {type CheckpointResult, checkpointInstance, endInstance, type Instance, type Paging, pagingOf} from './instance.ts';
import {becomesQuiet, quietTimeoutMs} from './quiet.ts';
import type {Sharing} from './sharing.ts';
import type {SavedTimers} from './timers/app-timer.ts';
import type {RunningTimers} from './timers/running-timers.ts';

/** The app wakes on another worker next. */
const moves: ReadonlySet<SleepCause> = new Set(['drain', 'stop']);

export interface Hibernation {
  readonly instance: Instance;
  /** Whatever it is doing. */
  readonly force: boolean;
  /** An operator's word counts more than a timer that is due. */
  readonly cause: SleepCause;
  /** The generation at which Redis points now. */
  readonly pointer: Generation | null;
  /** Asked when the tasks are frozen: does somebody need the app? @param hasUnfinished see `PortUse` */
  readonly isWanted: (hasUnfinished: boolean) => boolean;
  readonly sharing: Pick<Sharing, 'standsStill' | 'finish'>;
  readonly timers: Pick<RunningTimers, 'save' | 'keptBy'>;
  /** Told what the run that ends has cost in pages. */
  readonly counted: (paging: Paging) => void;
  readonly move: (event: 'drain' | 'drained') => void;
}

export type HibernationOutcome =
  | {readonly kind: 'hibernated'; readonly result: CheckpointResult}
  /** It goes on running: it was at work, or somebody needed it. */
  | {readonly kind: 'busy' | 'wanted'}
  /** It goes on running, because one of its timers is due soon. */
  | {readonly kind: 'due'; readonly wait: Wait};

/** @throws CodedError when the checkpoint failed; the instance goes on, if it has not ended */
export async function hibernateInstance(options: AppOptions, hibernation: Hibernation): Promise<HibernationOutcome> {
  const {container, network, records} = options;
  const {instance, force, cause, pointer, sharing, timers, move} = hibernation;
  // A checkpoint that is only to be there some day can wait for them as well.
  const sparesGuests = !force || cause === 'checkpoint';
  const hasGuests = (): boolean => sparesGuests && container.guests.count > 0;
  const isWanted = (hasUnfinished: boolean): boolean => hibernation.isWanted(hasUnfinished) || hasGuests();
  if (hasGuests()) return {kind: 'busy'};
  if (!sparesGuests) await container.guests.kill();
  const isBusy = async (): Promise<boolean> => !force && (!(await becomesQuiet(() => container.pids(), quietTimeoutMs)) || (await records.isBusyElsewhere()));
  if (await isBusy()) return {kind: 'busy'};
  hibernation.counted(await pagingOf(options, instance));
  move('drain');
  if (moves.has(cause)) await sharing.finish();
  // Who watches the app closes what it has of it, while its last packets still get there.
  await new Promise<void>((resolve) => void setImmediate(resolve));
  network.sleep('unknown');
  faultPoint('supervisor:hibernate:unrouted');
  if (moves.has(cause)) await becomesQuiet(() => container.pids(), quietTimeoutMs);
  // What came in before the route went away is to be answered; nothing new reaches the app now.
  if (await isBusy()) return {kind: 'busy'};
  move('drained');
  const point = (generation: Generation): Promise<void> => records.point(instance.token, generation, pointer);
  const kept: {wait: Wait | null} = {wait: null};
  const saveTimers = async (imagesDir: string): Promise<SavedTimers | null | 'too soon'> => {
    const saved = await timers.save(imagesDir);
    kept.wait = saved === null || force || cause === 'operator' ? null : timers.keptBy(saved);
    return kept.wait === null ? saved : 'too soon';
  };
  const result = await checkpointInstance(options, {instance, isWanted, saveTimers, pointer, log: options.log, point, mayGoOn: () => !sharing.standsStill});
  if (result === undefined) return kept.wait === null ? {kind: 'wanted'} : {kind: 'due', wait: kept.wait};
  await endInstance(options, instance);
  faultPoint('supervisor:hibernate:ended');
  return {kind: 'hibernated', result};
}
