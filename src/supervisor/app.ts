/**
 * One app on this worker: wakes it once for all who wait, puts it to sleep when it is idle, and keeps three things in
 * step: the processes, the route of its address, and what Redis says of it.
 *
 * The route goes away before the dump, so that nothing can answer for a sleeper with a reset, and comes back only when
 * the instance runs. Redis points at a generation before CRIU ends the processes, never after.
 */
import {errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import type {Generation, InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {pick} from '../core/pick.ts';
import type {Trigger} from '../core/trigger.ts';
import type {SleepCause} from '../store/app-record.ts';
import {type Loss, lostError, notRunningError, stoppingError, wakeTimeoutError} from './app-errors.ts';
import type {AppOptions, AppStatus, LiveStatus} from './app-status.ts';
import {withDeadline} from './deadline.ts';
import type {ExitStatus} from './exit-status.ts';
import {hibernateInstance} from './hibernation.ts';
import {History} from './history.ts';
import {Housekeeping} from './housekeeping.ts';
import {IdleWatch} from './idle-watch.ts';
import {endInstance, type Instance, type Rest, restLayers} from './instance.ts';
import {LateRest, type Origin} from './late-rest.ts';
import {type LifecycleEvent, next, type State} from './lifecycle.ts';
import {liveStatus} from './live-status.ts';
import {Recorder} from './recorder.ts';
import {lossEvent, stateAtRest, stopEvent, wakeFacts} from './rest-state.ts';
import {Restarts} from './restarts.ts';
import {Reviver} from './reviver.ts';
import type {RunningInstance} from './running-instances.ts';
import {Sharing} from './sharing.ts';
import {Standby} from './standby.ts';
import {RunningNote, takeOver} from './take-over.ts';
import {WakeTimer} from './timers/wake-timer.ts';
import {untilHibernated} from './until-hibernated.ts';
import {Wakefulness} from './wakefulness.ts';

/** For waits whose failure is told to those who asked for it. */
const ignored = (): void => undefined;

export class App {
  readonly address: string;
  readonly #options: AppOptions;
  readonly #log: Log;
  #state: State;
  #rest: Rest;
  #pointer: Generation | null;
  #instance: Instance | undefined;
  /** How the last instance ended. */
  #exit: ExitStatus | undefined;
  /** An instance whose memory cannot be served any more, and why. */
  #lost: (Loss & {readonly instance: InstanceId}) | undefined;
  /** The wake that is under way; everybody who asks meanwhile shares it. */
  #reviving: Promise<void> | undefined;
  #hibernating: Promise<'hibernated' | 'cancelled'> | undefined;
  /** Somebody asked for the app while it was going to sleep. */
  #wantedWhileLeaving: {trigger: Trigger | undefined} = {trigger: undefined};
  readonly wakefulness: Wakefulness;
  readonly #history: History;
  readonly #note: RunningNote;
  readonly #idle: IdleWatch;
  readonly recorder: Recorder;
  readonly housekeeping: Housekeeping;
  readonly standby: Standby;
  readonly sharing: Sharing;
  readonly #late: LateRest;
  readonly timer: WakeTimer;
  readonly reviver: Reviver;
  readonly #restarts: Restarts;
  #stopping = false;
  /** The time to stop is over. */
  #abandoned = false;

  constructor(options: AppOptions) {
    const {config, clock, log} = options;
    [this.#options, this.#log, this.address] = [options, log, options.network.address];
    const parts = pick(options, 'config', 'container', 'network', 'records', 'clock', 'log', 'pin', 'pager');
    [this.#rest, this.#pointer] = [options.rest, options.pointer];
    this.#state = stateAtRest(options.rest);
    [this.#history, this.#note] = [new History(options), new RunningNote(options)];
    this.wakefulness = new Wakefulness({...parts, costMs: () => this.#history.costMs, changed: () => this.#idle.lookAgain()});
    this.#idle = new IdleWatch({
      clock: options.clock,
      judge: () => this.wakefulness.judge(),
      sleep: () => this.hibernate({cause: 'idle'}),
      onError: (error) => this.#log.debug({error: errorMessage(error)}, 'not put to sleep'),
    });
    this.recorder = new Recorder({records: options.records, clock: options.clock, log: this.#log, status: () => this.status()});
    this.housekeeping = new Housekeeping({
      ...pick(options, 'config', 'pager', 'records', 'keepGenerations', 'tidy', 'stored', 'dropLayers', 'tidied', 'log'),
      isShared: options.refresh !== null,
      rest: () => this.#rest,
      replace: (before, after) => {
        if (this.#rest === before) this.#rest = after;
      },
      merged: () => this.prepareWake(),
      pointer: () => this.#pointer,
      isAsleep: () => this.#state === 'hibernated' && this.#reviving === undefined && !this.#stopping,
      moved: (copy) => {
        this.#pointer = copy;
        this.prepareWake();
      },
      record: (token) => this.recorder.record(token),
    });
    this.standby = new Standby(options);
    this.sharing = new Sharing({...parts, standby: this.standby, sessions: this.wakefulness.busySessions, isHere: () => this.isHere});
    // One that was taken over may have slept or ended meanwhile: what it has now is newer.
    const found = (origin: Origin): void => (this.#rest === options.rest ? this.#startFrom(origin).settle() : undefined);
    this.#late = new LateRest({find: options.find, found, failed: (error) => this.#history.failed('restore', error), log: this.#log});
    this.timer = new WakeTimer({config, clock, log, wake: options.wakeWhenDue, facts: () => wakeFacts(this.#rest, config, this.#history)});
    this.reviver = new Reviver({
      app: options,
      log: this.#log,
      late: this.#late,
      standby: this.standby,
      housekeeping: this.housekeeping,
      history: this.#history,
      recorder: this.recorder,
      rest: () => this.#rest,
      setRest: (rest) => {
        this.#rest = rest;
      },
      setOrigin: (origin) => void this.#startFrom(origin),
      runs: (instance, wakeMs) => this.#runs(instance, {event: 'ready', wakeMs}),
      move: (event) => this.#move(event),
      status: () => this.status(),
      lossOf: (instance) => (this.#lost?.instance === instance ? this.#lost : undefined),
      isStopping: () => this.#stopping,
    });
    this.#restarts = new Restarts({policy: config.restart, clock, refusedMs: () => this.reviver.refusal?.ms ?? 0, start: options.restart});
    options.container.onExit((status) => void this.#died(status));
  }

  /** The generation at which Redis points, for all we know. */
  get pointer(): Generation | null {
    return this.#pointer;
  }

  get instance(): InstanceId | null {
    return this.#instance?.id ?? this.reviver.beginning?.id ?? null;
  }

  /** The file-system layers that must not be removed now. */
  layers(): readonly string[] {
    return [...restLayers(this.#rest), ...(this.#instance?.layers ?? this.reviver.beginning?.layers ?? [])];
  }

  status(): AppStatus {
    return {
      state: this.#state,
      rest: this.#rest,
      fileLayers: this.#rest.kind === 'files' ? (this.#instance?.layers ?? this.reviver.beginning?.layers ?? this.#rest.layers) : [],
      token: this.#instance?.token ?? null,
      ...this.#history.facts,
    };
  }

  /**
   * Resolves when the app runs and listens. Fifty callers share one wake.
   * @throws CodedError ERR_WAKE_TIMEOUT after `timeout wake`; the wake itself goes on. Else why the wake failed
   */
  async wake(trigger: Trigger): Promise<void> {
    const {name, wakeTimeoutMs} = this.#options.config;
    this.sharing.check();
    const wantedMs = this.#options.clock.monotonicMs();
    while (this.#state !== 'running') {
      if (this.#stopping) throw stoppingError(name);
      this.#options.admit();
      if (this.#hibernating !== undefined) {
        this.#wantedWhileLeaving.trigger ??= trigger;
        await this.#hibernating.catch(ignored);
        continue;
      }
      this.#reviving ??= this.reviver.revive(trigger, wantedMs).finally(() => {
        this.#reviving = undefined;
      });
      await withDeadline(this.#reviving, {clock: this.#options.clock, timeoutMs: wakeTimeoutMs, late: () => wakeTimeoutError(name, wakeTimeoutMs)});
    }
  }

  /** It runs here, or is on its way to or from that. */
  get isHere(): boolean {
    return this.#instance !== undefined || this.#reviving !== undefined || this.#hibernating !== undefined;
  }

  /** Goes on with an instance that the last gateway has left running; before anything else. */
  async takeOver(left: RunningInstance, newestToken: number | null): Promise<void> {
    const instance = await takeOver(this.#options, left, newestToken);
    if (instance === undefined) return;
    this.#runs(instance, {event: 'takeOver', wakeMs: this.#history.facts.lastWake?.ms ?? 0});
    await this.recorder.record(instance.token);
  }

  /**
   * Puts a running app to sleep now. Resolves to 'cancelled' when it was needed meanwhile, and goes on running.
   * @throws CodedError ERR_NOT_RUNNING, or why the checkpoint failed; the app then goes on running
   */
  async hibernate({force = false, cause = 'operator'}: {readonly force?: boolean; readonly cause?: SleepCause} = {}): Promise<'hibernated' | 'cancelled'> {
    this.sharing.check();
    await this.#reviving?.catch(ignored);
    if (this.#hibernating !== undefined) return this.#hibernating;
    if (this.#state !== 'running' || this.#instance === undefined) throw notRunningError(this.#options.config.name, this.#state);
    this.#hibernating = this.#putToSleep(this.#instance, {force, cause}).finally(() => {
      this.#hibernating = undefined;
    });
    return this.#hibernating;
  }

  /** Makes the next wake of a hibernated app quicker. Also to be called when all that was prepared is gone. */
  prepareWake(): void {
    if (this.#rest.kind !== 'checkpoint' || this.#state !== 'hibernated' || this.#stopping || this.#options.records.isStale()) return;
    this.standby.prepare(this.#rest);
  }

  /** What only this worker knows, at this moment. */
  async live(): Promise<LiveStatus> {
    const verdict = this.#state === 'running' ? await this.wakefulness.judge() : undefined;
    return liveStatus(this.#options, {
      instance: this.#instance,
      verdict,
      busySessions: this.wakefulness.busySessions.count,
      pinned: this.wakefulness.pinned,
      idle: this.wakefulness.idle,
      layers: this.layers(),
      compacting: this.housekeeping.compacting,
      isOriginKnown: this.#late.isKnown,
      nextWake: this.timer.next,
      refusal: this.reviver.refusal,
      restartsInMs: this.#restarts.ms,
      ...this.#history.told,
    });
  }

  /** What the app has written, and commands beside its processes. */
  get container(): Pick<AppOptions['container'], 'output' | 'pids' | 'guests' | 'guestSpec'> {
    return this.#options.container;
  }

  /** The pager can no longer serve the instance's memory: it must not run on. Its last generation stands. */
  async lost(loss: Loss): Promise<void> {
    if (this.instance === null || this.#lost?.instance === this.instance) return;
    this.#lost = {...loss, instance: this.instance};
    // A restore, or a checkpoint that is not committed yet, fails for it.
    if (this.#instance === undefined || this.#hibernating !== undefined) return this.#options.container.kill();
    this.#history.failed('instance', lostError(this.#options.config.name, loss));
    await this.#ended(this.#instance, lossEvent(this.#rest));
  }

  #startFrom({rest, pointer}: Origin): this {
    [this.#rest, this.#pointer] = [rest, pointer];
    if (this.#instance === undefined && this.#state !== stateAtRest(rest)) this.#move(rest.kind === 'checkpoint' ? 'foundCheckpoint' : 'foundFiles');
    if (rest.kind === 'checkpoint' && this.#instance === undefined) this.#options.network.setFlows(rest.meta.flows);
    return this;
  }

  /** Hibernates (or kills, as `on-stop` says) what runs; nothing can be woken afterwards. Never throws. @param isLast what cannot sleep is left to the next gateway */
  async stop(deadlineMs: number, {isLast = false}: {readonly isLast?: boolean} = {}): Promise<void> {
    const {clock, config} = this.#options;
    this.#stopping = true;
    this.recorder.stop();
    this.#late.stop();
    this.#restarts.stop();
    this.#idle.stop();
    this.timer.stop();
    const compacted = this.housekeeping.stop();
    const late = new Promise<void>((resolve) => void clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), resolve));
    await Promise.race([this.#reviving?.catch(ignored), late]);
    if (config.onStop === 'hibernate') {
      const attempts = {attempt: () => this.hibernate({force: true, cause: 'stop'}), goesOn: () => this.#state === 'running' && !this.#abandoned};
      await Promise.race([untilHibernated(this.#hibernating, {...attempts, log: this.#log}), late]);
    }
    // A checkpoint that is not committed by now never will be.
    this.#abandoned = true;
    if (this.#hibernating !== undefined) await this.#options.container.kill().catch(ignored);
    await this.#hibernating?.catch(ignored);
    if (this.#instance !== undefined && !(isLast && this.#note.leaves(this.#instance))) await this.#ended(this.#instance, stopEvent(config, this.#rest));
    await Promise.all([this.standby.stop(), Promise.race([compacted, late])]);
  }

  #move(event: LifecycleEvent): void {
    const to = next(this.#state, event);
    this.#options.records.event('state', {from: this.#state, to});
    this.#state = to;
    this.#note.moved(to);
    this.#options.moved(to);
  }

  /** What waits for it is let through at once. */
  #runs(instance: Instance, {event, wakeMs}: {readonly event: 'ready' | 'takeOver'; readonly wakeMs: number}): void {
    [this.#instance, this.#exit] = [instance, undefined];
    this.#note.runs(instance);
    this.sharing.letThrough();
    faultPoint('supervisor:wake:routed');
    this.wakefulness.woke(this.#options.clock.monotonicMs(), wakeMs);
    this.#move(event);
    this.timer.disarm();
    this.#restarts.cancel();
    this.#idle.start();
  }

  async #putToSleep(instance: Instance, {force, cause}: {readonly force: boolean; readonly cause: SleepCause}): Promise<'hibernated' | 'cancelled'> {
    const {clock, config, network} = this.#options;
    const [startedMs, at] = [clock.monotonicMs(), clock.nowMs()];
    this.#idle.stop();
    void this.reviver.tell();
    const wanted: {trigger: Trigger | undefined} = {trigger: undefined};
    this.#wantedWhileLeaving = wanted;
    try {
      const outcome = await hibernateInstance(this.#options, {
        instance,
        force,
        cause,
        pointer: this.#pointer,
        isWanted: (hasUnfinished) =>
          this.#abandoned ||
          (!force && (hasUnfinished || network.wantedPackets() > 0 || wanted.trigger !== undefined || this.wakefulness.busySessions.count > 0)),
        sharing: this.sharing,
        timers: this.wakefulness.timers,
        counted: (paging) => this.#history.counted(paging),
        move: (event) => this.#move(event),
      });
      if (outcome.kind !== 'hibernated') {
        this.wakefulness.stayedAwake(outcome);
        return this.#goOn();
      }
      const {generation, meta, frozenMs, bytesWritten, pageCount} = outcome.result;
      const ms = clock.monotonicMs() - startedMs;
      this.wakefulness.slept(cause, ms);
      this.reviver.slept();
      this.#history.slept({at, ms, frozenMs, bytesWritten, pageCount, cause});
      [this.#rest, this.#pointer, this.#instance] = [{kind: 'checkpoint', generation, meta}, generation, undefined];
      network.setFlows(meta.flows);
      this.#move('committed');
    } catch (error) {
      this.wakefulness.failedToSleep(errorMessage(error));
      this.#history.failed('checkpoint', error);
      if (this.#options.container.alive()) this.#goOn();
      else await this.#ended(instance, this.#abandoned ? stopEvent(config, this.#rest) : this.#lost?.instance === instance.id ? lossEvent(this.#rest) : 'died');
      throw error;
    }
    this.#history.announceSleep(this.#rest.generation);
    await this.recorder.record(instance.token);
    this.settle();
    return 'hibernated';
  }

  /** The checkpoint was cancelled or failed, and the instance goes on. */
  #goOn(): 'cancelled' {
    if (this.#state !== 'running') {
      if (this.#instance !== undefined) this.#note.runs(this.#instance);
      this.sharing.letThrough();
      this.#move('cancelled');
    }
    this.#idle.start();
    // An end meanwhile was taken for our own doing.
    if (this.#instance !== undefined && !this.#options.container.alive()) void this.#ended(this.#instance, 'died');
    return 'cancelled';
  }

  async #died(status: ExitStatus): Promise<void> {
    this.#exit = status;
    // During a commit and after it, and while a start fails, the end of the processes is our own doing.
    if (this.#instance === undefined || this.#hibernating !== undefined) return;
    await this.#ended(this.#instance, 'died');
  }

  async #ended(instance: Instance, event: 'died' | 'lost' | 'lostUnsaved'): Promise<void> {
    if (this.#instance !== instance) return;
    void this.reviver.tell();
    this.#instance = undefined;
    // An app that ends by itself keeps its files, as any server does; one that was lost goes back to its generation.
    if (event === 'died') this.#rest = {kind: 'files', layers: instance.layers};
    this.#idle.stop();
    this.#note.ends();
    // Killed while its route is there: whoever waits for an answer learns that its connection has ended. (#putAway tells of a failure.)
    await this.#options.container.kill().catch(ignored);
    this.#options.network.sleep([]);
    await endInstance(this.#options, instance);
    this.#move(event);
    if (!this.#stopping) this.#afterEnd(instance, event);
    await this.recorder.record(instance.token);
    this.settle();
  }

  #afterEnd(instance: Instance, event: 'died' | 'lost' | 'lostUnsaved'): void {
    const status = this.#exit ?? {kind: 'unknown'};
    if (event === 'died') this.#history.exited(status);
    if (event === 'died') this.#restarts.ended(status, this.reviver.ranMs);
    else this.reviver.lost(instance);
  }

  /** What is to be done in the background when nothing runs: the next wake is prepared, old generations and layers go. */
  settle(): void {
    if (this.#instance !== undefined) return;
    this.prepareWake();
    this.timer.arm();
    if (!this.#options.records.isStale()) this.housekeeping.tidy();
  }
}
