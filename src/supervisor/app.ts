/**
 * One app on this worker: wakes it once for all who wait, puts it to sleep when it is idle, and keeps three things in
 * step: the processes, the route of its address, and what Redis says of it.
 *
 * The route goes away before the dump, so that nothing can answer for a sleeper with a reset, and comes back only when
 * the instance runs. Redis points at a generation before CRIU ends the processes, never after.
 */
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type FencingToken, type Generation, type InstanceId, instanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {describeTrigger, type Trigger} from '../core/trigger.ts';
import type {AppOptions, AppStatus, HibernateRecord, LiveStatus, WakeRecord} from './app-status.ts';
import {type IdleVerdict, judgeIdle} from './idle.ts';
import {IdleWatch} from './idle-watch.ts';
import {checkpointInstance, type Instance, prepareRestore, putAway, type Rest, restLayers, restoreInstance, startInstance} from './instance.ts';
import {type LifecycleEvent, next, type State} from './lifecycle.ts';

/** A restore that failed for a reason that may pass is tried once more. */
const restoreAttempts = 2;
const recordRetryMs = 1000;
const failedCheckpointBackOffMs = 5000;
const backOffLimitMs = 5 * 60_000;

/** For waits whose failure is told to those who asked for it. */
function ignored(): void {
  // See above.
}

export class App {
  readonly #options: AppOptions;
  readonly #log: Log;
  #state: State;
  #rest: Rest;
  #pointer: Generation | null;
  #instance: Instance | undefined;
  /** Those of an instance that is being made. For one that starts from its files they are recorded before it can write any. */
  #revivingLayers: readonly string[] | undefined;
  #revivingToken: FencingToken | undefined;
  /** An instance whose memory cannot be served any more, and why. */
  #lost: {readonly instance: InstanceId; readonly reason: string} | undefined;
  /** The wake that is under way; everybody who asks meanwhile shares it. */
  #reviving: Promise<void> | undefined;
  #hibernating: Promise<'hibernated' | 'cancelled'> | undefined;
  /** Somebody asked for the app while it was going to sleep. */
  #wantedWhileLeaving: {trigger: Trigger | undefined} = {trigger: undefined};
  #busySessions = 0;
  #runningSinceMs = 0;
  #notBeforeMs = 0;
  #failedCheckpoints = 0;
  #lastWake: WakeRecord | null;
  #lastHibernate: HibernateRecord | null;
  #lastError: AppStatus['lastError'] = null;
  readonly #idle: IdleWatch;
  #stopping = false;

  constructor(options: AppOptions) {
    this.#options = options;
    this.#log = options.log.child({app: options.config.name});
    this.#rest = options.rest;
    this.#pointer = options.pointer;
    this.#state = options.rest.kind === 'checkpoint' ? 'hibernated' : 'stopped';
    this.#lastWake = options.lastWake;
    this.#lastHibernate = options.lastHibernate;
    this.#idle = new IdleWatch({
      clock: options.clock,
      judge: () => this.#judge(),
      sleep: () => this.hibernate(),
      onError: (error) => this.#log.debug({error: errorMessage(error)}, 'not put to sleep'),
    });
    options.container.onExit((status) => void this.#died(status));
  }

  get address(): string {
    return this.#options.network.address;
  }

  get token(): FencingToken | null {
    return this.#instance?.token ?? null;
  }

  get instance(): InstanceId | null {
    if (this.#instance !== undefined) return this.#instance.id;
    return this.#revivingToken === undefined ? null : instanceId(this.#options.config.name, this.#revivingToken);
  }

  /** The file-system layers that must not be removed now. */
  layers(): readonly string[] {
    return [...restLayers(this.#rest), ...(this.#instance?.layers ?? this.#revivingLayers ?? [])];
  }

  status(): AppStatus {
    return {
      state: this.#state,
      rest: this.#rest,
      fileLayers: this.#rest.kind === 'files' ? (this.#instance?.layers ?? this.#revivingLayers ?? this.#rest.layers) : [],
      token: this.token,
      lastWake: this.#lastWake,
      lastHibernate: this.#lastHibernate,
      lastError: this.#lastError,
    };
  }

  /**
   * Resolves when the app runs and listens. Fifty callers share one wake.
   * @throws CodedError ERR_WAKE_TIMEOUT after `timeout wake`; the wake itself goes on. Else why the wake failed
   */
  async wake(trigger: Trigger): Promise<void> {
    while (this.#state !== 'running') {
      if (this.#stopping)
        throw new CodedError('ERR_STOPPING', `Cannot wake app "${this.#options.config.name}": the gateway is stopping`, {source: 'host', retryable: true});
      if (this.#hibernating !== undefined) {
        this.#wantedWhileLeaving.trigger ??= trigger;
        await this.#hibernating.catch(ignored);
        continue;
      }
      this.#reviving ??= this.#revive(trigger).finally(() => {
        this.#reviving = undefined;
      });
      await this.#withDeadline(this.#reviving);
    }
  }

  /** The network holds a packet that needs the app. A wake that fails is answered to whoever sent it. */
  wakeForPacket(trigger: Trigger): void {
    this.wake(trigger).catch((error: unknown) => {
      this.#log.warn({error: errorMessage(error), trigger: describeTrigger(trigger)}, 'packets refused, because the app cannot be woken');
      this.#options.network.refuse();
    });
  }

  /**
   * Puts a running app to sleep now. Resolves to 'cancelled' when it was needed meanwhile, and goes on running.
   * @throws CodedError ERR_NOT_RUNNING, or why the checkpoint failed; the app then goes on running
   */
  async hibernate(options: {readonly force: boolean} = {force: false}): Promise<'hibernated' | 'cancelled'> {
    await this.#reviving?.catch(ignored);
    if (this.#hibernating !== undefined) return this.#hibernating;
    if (this.#state !== 'running' || this.#instance === undefined) {
      throw new CodedError('ERR_NOT_RUNNING', `Cannot hibernate app "${this.#options.config.name}": it is ${this.#state}`, {source: 'client'});
    }
    this.#hibernating = this.#putToSleep(this.#instance, options.force).finally(() => {
      this.#hibernating = undefined;
    });
    return this.#hibernating;
  }

  /** Makes the next wake of a hibernated app quicker. */
  prepareWake(): void {
    if (this.#rest.kind !== 'checkpoint') return;
    prepareRestore(this.#options, this.#rest).catch((error: unknown) => this.#log.warn({error: errorMessage(error)}, 'the next wake could not be prepared'));
  }

  /** A client of the app waits for an answer until the returned function is called: the app must not sleep meanwhile. */
  holdAwake(): () => void {
    this.#busySessions += 1;
    let held = true;
    return () => {
      if (held) this.#busySessions -= 1;
      held = false;
    };
  }

  /** What only this worker knows, at this moment. */
  async live(): Promise<LiveStatus> {
    const {container, network, pager} = this.#options;
    const instance = this.#instance;
    const verdict = this.#state === 'running' ? await this.#judge() : undefined;
    return {
      address: network.address,
      pids: instance === undefined ? [] : container.pids(),
      busySessions: this.#busySessions,
      awakeBecause: verdict === undefined || verdict.kind === 'sleep' ? null : verdict.reason,
      paging: instance === undefined || instance.base === null ? null : await pager.stats(instance.id),
      layers: this.layers(),
    };
  }

  /** The end of what the app has written to its standard output and standard error. */
  output(): Promise<string> {
    return this.#options.container.output();
  }

  /** The pager can no longer serve the instance's memory: it must not run on. Its last generation stands. */
  async lost(reason: string): Promise<void> {
    const {instance} = this;
    if (instance === null || this.#lost?.instance === instance) return;
    this.#lost = {instance, reason};
    if (this.#instance === undefined || this.#hibernating !== undefined) {
      // The restore, or the checkpoint unless it is committed already, fails for it.
      await this.#options.container.kill();
      return;
    }
    this.#fail(this.#lostError(reason));
    await this.#ended(this.#instance, this.#lostEvent());
  }

  #lostError(reason: string): CodedError {
    return new CodedError('ERR_INSTANCE_LOST', `Cannot serve the memory of app "${this.#options.config.name}" any more: ${reason}`, {
      source: 'host',
      retryable: true,
    });
  }

  #lostEvent(): 'lost' | 'lostUnsaved' {
    return this.#rest.kind === 'checkpoint' ? 'lost' : 'lostUnsaved';
  }

  /** Corrects a record that says what a gateway that was killed did last. */
  async correctRecord(recorded: string): Promise<void> {
    if (recorded === this.#state) return;
    const token = await this.#options.records.acquire();
    await this.#record(token);
  }

  /** Hibernates (or kills, as `on-stop` says) what runs; nothing can be woken afterwards. Never throws. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    this.#idle.stop();
    await this.#reviving?.catch(ignored);
    const timeLeft = new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, deadlineMs - this.#options.clock.monotonicMs())).unref());
    try {
      if (this.#state === 'running' && this.#options.config.onStop === 'hibernate') await Promise.race([this.hibernate({force: true}), timeLeft]);
    } catch (error) {
      this.#log.error({error: errorMessage(error)}, 'the app could not be hibernated on the way out; its previous generation stands');
    }
    if (this.#instance === undefined) return;
    // What was asked to be hibernated and could not be goes back to its last generation, with the files of that time.
    const wasToBeKept = this.#options.config.onStop === 'hibernate' && this.#rest.kind === 'checkpoint';
    await this.#ended(this.#instance, wasToBeKept ? 'lost' : 'died');
  }

  #move(event: LifecycleEvent): void {
    const from = this.#state;
    this.#state = next(from, event);
    this.#options.records.event('state', {from, to: this.#state});
  }

  #fail(error: unknown): void {
    this.#lastError = {at: this.#options.clock.nowMs(), message: errorMessage(error)};
    this.#log.error({error: errorMessage(error)}, 'failed');
    this.#options.records.event('error', {message: errorMessage(error)});
  }

  async #withDeadline(wake: Promise<void>): Promise<void> {
    const {wakeTimeoutMs} = this.#options.config;
    let cancel = ignored;
    const late = new Promise<never>((_resolve, reject) => {
      cancel = this.#options.clock.after(wakeTimeoutMs, () =>
        reject(
          new CodedError('ERR_WAKE_TIMEOUT', `Cannot wake app "${this.#options.config.name}" within ${wakeTimeoutMs} ms`, {source: 'server', retryable: true}),
        ),
      );
    });
    try {
      await Promise.race([wake, late]);
    } finally {
      cancel();
    }
  }

  async #revive(trigger: Trigger): Promise<void> {
    const {clock, network} = this.#options;
    const startedMs = clock.monotonicMs();
    const at = clock.nowMs();
    const instance = await this.#bringToLife();
    network.wake();
    this.#instance = instance;
    this.#runningSinceMs = clock.monotonicMs();
    const ms = this.#runningSinceMs - startedMs;
    this.#move('ready');
    void this.#noteWake({at, ms, trigger: describeTrigger(trigger)}, instance);
    this.#idle.start();
  }

  async #bringToLife(): Promise<Instance> {
    const rest = this.#rest;
    for (let attempt = 1; ; attempt += 1) {
      const token = await this.#options.records.acquire();
      if (attempt === 1) this.#move('wake');
      this.#revivingLayers = [...restLayers(rest), String(token)];
      this.#revivingToken = token;
      try {
        return rest.kind === 'checkpoint' ? await this.#restore(rest, token) : await this.#start(rest, token);
      } catch (error) {
        const passing = error instanceof CodedError && error.retryable;
        if (rest.kind === 'checkpoint' && passing && attempt < restoreAttempts && !this.#stopping) {
          this.#log.warn({error: errorMessage(error)}, 'the restore failed and is tried once more');
          continue;
        }
        this.#fail(error);
        this.#move(rest.kind === 'checkpoint' ? 'restoreFailed' : 'startFailed');
        await this.#record(token);
        throw error;
      } finally {
        this.#revivingLayers = undefined;
        this.#revivingToken = undefined;
      }
    }
  }

  async #restore(rest: Extract<Rest, {kind: 'checkpoint'}>, token: FencingToken): Promise<Instance> {
    const instance = await restoreInstance(this.#options, rest, token);
    if (this.#lost?.instance !== instance.id) return instance;
    await this.#putAway(instance);
    throw this.#lostError(this.#lost.reason);
  }

  async #start(rest: Extract<Rest, {kind: 'files'}>, token: FencingToken): Promise<Instance> {
    await this.#save(token);
    return startInstance(this.#options, rest, token);
  }

  /** Off the wake path: the pages are counted and the record is written when the client already has its answer. */
  async #noteWake(wake: Pick<WakeRecord, 'at' | 'ms' | 'trigger'>, instance: Instance): Promise<void> {
    try {
      const paging = instance.base === null ? {predictedPages: 0, faults: 0} : await this.#options.pager.stats(instance.id);
      this.#lastWake = {...wake, predictedPages: paging.predictedPages, faults: paging.faults};
      this.#options.records.event('woken', {...this.#lastWake, cold: instance.base === null ? 1 : 0});
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'the pages of this wake are not known');
    }
    await this.#saved(instance.token);
  }

  async #putToSleep(instance: Instance, force: boolean): Promise<'hibernated' | 'cancelled'> {
    const {clock, network, records} = this.#options;
    const startedMs = clock.monotonicMs();
    const at = clock.nowMs();
    this.#idle.stop();
    const wanted: {trigger: Trigger | undefined} = {trigger: undefined};
    this.#wantedWhileLeaving = wanted;
    await this.#countFaults(instance);
    this.#move('drain');
    network.sleep('unknown');
    this.#move('drained');
    try {
      const result = await checkpointInstance(this.#options, {
        instance,
        isWanted: () => !force && (network.wantedPackets() > 0 || wanted.trigger !== undefined || this.#busySessions > 0),
        point: (generation) => records.point(instance.token, generation, this.#pointer),
      });
      if (result === undefined) {
        this.#goOn();
        return 'cancelled';
      }
      await this.#putAway(instance);
      this.#failedCheckpoints = 0;
      this.#lastHibernate = {at, ms: clock.monotonicMs() - startedMs, frozenMs: result.frozenMs, bytesWritten: result.bytesWritten};
      this.#rest = {kind: 'checkpoint', generation: result.generation, meta: result.meta};
      this.#pointer = result.generation;
      this.#instance = undefined;
      network.setFlows(result.meta.flows);
      this.#move('committed');
    } catch (error) {
      this.#failedCheckpoints += 1;
      this.#fail(error);
      if (this.#options.container.alive()) this.#goOn();
      else await this.#ended(instance, this.#lost?.instance === instance.id ? this.#lostEvent() : 'died');
      throw error;
    }
    records.event('hibernated', {...this.#lastHibernate, generation: this.#rest.generation});
    await this.#record(instance.token);
    if (!this.#stopping) this.prepareWake();
    void this.#tidy();
    return 'hibernated';
  }

  /** The checkpoint was cancelled or failed, and the instance goes on. */
  #goOn(): void {
    const {clock, network} = this.#options;
    network.wake();
    this.#move('cancelled');
    const backOffMs = this.#failedCheckpoints === 0 ? 0 : Math.min(failedCheckpointBackOffMs * 2 ** (this.#failedCheckpoints - 1), backOffLimitMs);
    this.#notBeforeMs = clock.monotonicMs() + backOffMs;
    this.#runningSinceMs = clock.monotonicMs();
    this.#idle.start();
  }

  async #countFaults(instance: Instance): Promise<void> {
    if (instance.base === null || this.#lastWake === null) return;
    try {
      const {faults} = await this.#options.pager.stats(instance.id);
      this.#lastWake = {...this.#lastWake, faults};
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'the faults of this run are not known');
    }
  }

  async #judge(): Promise<IdleVerdict> {
    const {clock, config, network} = this.#options;
    const lastTrafficMs = await network.lastTraffic();
    return judgeIdle({
      nowMs: clock.monotonicMs(),
      lastTrafficMs,
      runningSinceMs: this.#runningSinceMs,
      busySessions: this.#busySessions,
      hibernateAfterMs: config.hibernateAfterMs,
      notBeforeMs: this.#notBeforeMs,
    });
  }

  async #died(status: string): Promise<void> {
    // During a commit and after it, and while a start fails, the end of the processes is our own doing.
    if (this.#instance === undefined || this.#hibernating !== undefined) return;
    this.#log.warn({status}, 'the app ended by itself');
    this.#options.records.event('died', {status});
    await this.#ended(this.#instance, 'died');
  }

  async #ended(instance: Instance, event: 'died' | 'lost' | 'lostUnsaved'): Promise<void> {
    this.#instance = undefined;
    this.#idle.stop();
    this.#options.network.sleep([]);
    await this.#putAway(instance);
    // An app that ends by itself keeps its files, as any server does; one that was lost goes back to its generation.
    if (event === 'died') this.#rest = {kind: 'files', layers: instance.layers};
    this.#move(event);
    await this.#record(instance.token);
  }

  async #putAway(instance: Instance): Promise<void> {
    try {
      await putAway(this.#options);
      await this.#options.pager.release(instance.id);
    } catch (error) {
      this.#log.error({error: errorMessage(error)}, 'the instance could not be put away');
    }
  }

  /** Removes what the newest generation made superfluous, and shortens its chain of layers. */
  async #tidy(): Promise<void> {
    const before = this.#rest;
    try {
      await this.#options.pager.prune(this.#options.config.name, this.#options.keepGenerations);
      const after = await this.#options.tidy(before);
      if (this.#rest === before) this.#rest = after;
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'old generations could not be removed');
    }
  }

  /** Writes that no instance runs any more, and gives up the lease. */
  async #record(token: FencingToken): Promise<void> {
    if (await this.#saved(token)) await this.#options.records.release(token);
  }

  /** That Redis is gone is no reason not to go on: it learns of the app's state later, unless a newer token has told it more. */
  async #saved(token: FencingToken): Promise<boolean> {
    try {
      await this.#save(token);
      return true;
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'the state of the app could not be recorded');
      if (errorCode(error) === 'ERR_REDIS_UNAVAILABLE' && !this.#stopping)
        this.#options.clock.after(recordRetryMs, () => void (this.#instance === undefined ? this.#record(token) : this.#saved(token)));
      return false;
    }
  }

  async #save(token: FencingToken): Promise<void> {
    await this.#options.records.save(token, this.status());
  }
}
