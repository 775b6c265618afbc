/** One wake of an app around `revive()`: who may begin it, what state the app is in meanwhile, and what is said of how it went. */
import type {CodedError} from '../core/errors.ts';
import type {FencingToken, Generation, InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {describeTrigger, type Trigger} from '../core/trigger.ts';
import {type Loss, lostError, stoppingError, wakeRefusedError} from './app-errors.ts';
import type {AppOptions, AppStatus, WakeRecord} from './app-status.ts';
import {Breaker, type Refusal, steadyMs} from './breaker.ts';
import {catchUp} from './catch-up.ts';
import type {History} from './history.ts';
import type {Housekeeping} from './housekeeping.ts';
import {type Instance, pagingOf, type Rest} from './instance.ts';
import type {LateRest, Origin} from './late-rest.ts';
import type {LifecycleEvent} from './lifecycle.ts';
import type {Recorder} from './recorder.ts';
import {countsAsFailedWake} from './restore-failure.ts';
import {type Beginning, revive} from './revive.ts';
import type {Standby} from './standby.ts';
import {type OwnPhases, WakeTimes} from './wake-times.ts';

/** Until those who wait have gone on, and the first of them has its answer. */
const afterwardsMs = 50;
/** By then the predicted pages have been installed, unless a store is slow. */
const pagesLateMs = 2000;

export interface ReviverOptions {
  readonly app: AppOptions;
  readonly log: Log;
  readonly late: LateRest;
  readonly standby: Standby;
  readonly housekeeping: Housekeeping;
  readonly history: History;
  readonly recorder: Recorder;
  readonly rest: () => Rest;
  readonly setRest: (rest: Rest) => void;
  /** Another worker has had the app meanwhile. */
  readonly setOrigin: (origin: Origin) => void;
  /** It runs; called with no pause after it does. @param wakeMs how long its wake took */
  readonly runs: (instance: Instance, wakeMs: number) => void;
  readonly move: (event: LifecycleEvent) => void;
  readonly status: () => AppStatus;
  /** Why the memory of an instance cannot be served any more. */
  readonly lossOf: (instance: InstanceId) => Loss | undefined;
  readonly isStopping: () => boolean;
}

export class Reviver {
  readonly #options: ReviverOptions;
  readonly #breaker: Breaker;
  #beginning: Beginning | undefined;
  #ranSinceMs = 0;
  readonly #unfit = new Map<Generation, CodedError>();
  #untold: {readonly cancel: () => void; readonly tell: () => Promise<void>} | undefined;

  constructor(options: ReviverOptions) {
    this.#options = options;
    this.#breaker = new Breaker(options.app.clock);
  }

  /** The instance that is being made. */
  get beginning(): Beginning | undefined {
    return this.#beginning;
  }

  /** Null when a wake may be tried now. */
  get refusal(): Refusal | null {
    return this.#breaker.refusal;
  }

  /** The app was put to sleep, so it has run well. */
  slept(): void {
    this.#breaker.succeeded();
    this.#unfit.clear();
  }

  /** The instance could not be served any more: a wake that did not last. */
  lost({id, base}: Instance): void {
    const {app, lossOf} = this.#options;
    this.#breaker.failed(this.ranMs);
    const loss = lossOf(id);
    if (base !== null && loss?.damaged === true && this.ranMs < steadyMs) this.#unfit.set(base, lostError(app.config.name, loss));
  }

  /** How long the last instance has run by now, milliseconds. */
  get ranMs(): number {
    return this.#options.app.clock.monotonicMs() - this.#ranSinceMs;
  }

  /** @param wantedMs since when the app has been wanted (Clock.monotonicMs). @throws CodedError why it does not run; it is at rest as before then. ERR_WAKE_REFUSED while it is left alone, after wakes that failed */
  async revive(trigger: Trigger, wantedMs: number): Promise<void> {
    const {app, housekeeping, runs, isStopping} = this.#options;
    const {clock} = app;
    this.#admit(trigger);
    // What was damaged may have been put right.
    if (trigger.kind === 'operator') this.#unfit.clear();
    await housekeeping.interrupt();
    const startedMs = clock.monotonicMs();
    const at = clock.nowMs();
    using _turn = await app.turns.take();
    if (isStopping()) throw stoppingError(app.config.name);
    const times = new WakeTimes(clock, wantedMs);
    const instance = await this.#bringToLife(trigger, times);
    this.#ranSinceMs = clock.monotonicMs();
    const ms = this.#ranSinceMs - startedMs;
    runs(instance, ms);
    const phases = times.phases(this.#ranSinceMs);
    const wake = {at, ms, by: trigger.kind, trigger: describeTrigger(trigger), phases, told: {pagesFromMs: times.pagesFromMs, traceparent: traceOf(trigger)}};
    // When those who wait have gone on: whoever has an answer of the app finds that it runs.
    setImmediate(() => void this.#record(instance));
    this.#untold = {cancel: clock.after(afterwardsMs, () => void this.tell()), tell: async () => this.#noteWake(wake, instance)};
    // No connection waits for it, and whoever has woken it looks at once.
    if (trigger.kind === 'operator') await this.tell();
  }

  /** What was to be said of the last wake a little later is said now: something else is about to be. Never throws. */
  async tell(): Promise<void> {
    const untold = this.#untold;
    this.#untold = undefined;
    untold?.cancel();
    await untold?.tell();
  }

  /** An operator may always try. */
  #admit({kind}: Trigger): void {
    const {app, history} = this.#options;
    const refusal = this.#breaker.refusal;
    if (refusal !== null && kind !== 'operator') throw wakeRefusedError(app.config.name, refusal, history.told.lastFailure?.message);
  }

  async #bringToLife(trigger: Trigger, times: WakeTimes): Promise<Instance> {
    const {app, log, late, standby, history, recorder, move, status, lossOf, isStopping, rest, setRest, setOrigin} = this.#options;
    await late.find();
    const lease = app.records.acquire();
    lease.then(() => times.placed(), ignored); // Awaited below, after what is done meanwhile.
    const origin = await catchUp(app, lease);
    if (origin !== null) setOrigin(origin);
    if (origin?.recorded !== undefined) history.caughtUp(origin.recorded);
    const before = rest();
    move('wake');
    try {
      const {instance, fallback} = await revive(app, {
        rest: before,
        lease,
        trigger,
        times,
        standby,
        log,
        begins: (beginning) => {
          this.#beginning = beginning;
        },
        startsFrom: setRest,
        save: (token) => app.records.save(token, status()),
        lossOf,
        unfit: this.#unfit,
        isStopping,
      });
      if (fallback !== null) history.fellBack(fallback);
      return instance;
    } catch (error) {
      setRest(before);
      // Its layer, which may never have been made, is not to be recorded.
      this.#beginning = undefined;
      if (!isStopping() && countsAsFailedWake(error)) this.#breaker.failed();
      history.failed(before.kind === 'checkpoint' ? 'restore' : 'start', error, {
        during: 'wake',
        ...times.untilNow,
        trigger: describeTrigger(trigger),
        traceparent: traceOf(trigger),
      });
      move(before.kind === 'checkpoint' ? 'restoreFailed' : 'startFailed');
      const token: FencingToken | undefined = await lease.catch(ignored);
      if (token !== undefined) await recorder.record(token);
      throw error;
    } finally {
      this.#beginning = undefined;
    }
  }

  /** Off the wake path: the pages are counted, and what is known of the wake is written down, when the client already has its answer. */
  async #noteWake({told, phases, by, ...wake}: Noted, instance: Instance): Promise<void> {
    const {app, history} = this.#options;
    const {predictedPages, faults, prefetchMs} = await pagingOf(app, instance);
    const record = {...wake, predictedPages, faults, phases: {...phases, pagesMs: predictedPages === 0 ? null : prefetchMs}};
    history.woke(record, {by, cold: instance.base === null, ...told});
    if (predictedPages > 0 && prefetchMs === null) app.clock.after(pagesLateMs, () => void this.#notePages(instance));
    await this.#record(instance);
  }

  /** Of one that has ended meanwhile more is recorded. */
  async #record({token}: Instance): Promise<void> {
    const {recorder, status} = this.#options;
    if (status().token === token) await recorder.record(token);
  }

  /** The app was awake before all predicted pages were there. */
  async #notePages({id}: Instance): Promise<void> {
    const {app, history} = this.#options;
    const {prefetchMs = null} = (await app.pager.stats(id).catch(ignored)) ?? {};
    if (prefetchMs !== null) history.paged(prefetchMs);
  }
}

interface Noted extends Pick<WakeRecord, 'at' | 'ms' | 'trigger'> {
  readonly by: Trigger['kind'];
  readonly phases: OwnPhases;
  /** For traces. */
  readonly told: {readonly pagesFromMs: number; readonly traceparent: string | undefined};
}

function traceOf(trigger: Trigger): string | undefined {
  return 'source' in trigger ? trigger.traceparent : undefined;
}

/** For a wait whose failure is told elsewhere. */
const ignored = (): undefined => undefined;
