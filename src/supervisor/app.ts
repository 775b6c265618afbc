/**
 * One app on this worker: wakes it once for all who wait, puts it to sleep when it is idle, and keeps three things in
 * step: the processes, the route of its address, and what Redis says of it.
 *
 * The route goes away before the dump, so that nothing can answer for a sleeper with a reset, and comes back only when
 * the instance runs. Redis points at a generation before CRIU ends the processes, never after.
 */
import {CodedError, errorMessage} from '../core/errors.ts';
import type {FencingToken, Generation, InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {describeTrigger, type Trigger} from '../core/trigger.ts';
import type {AppOptions, AppStatus, HibernateRecord, LiveStatus, WakeRecord} from './app-status.ts';
import {type IdleVerdict, judgeIdle} from './idle.ts';
import {IdleWatch} from './idle-watch.ts';
import {checkpointInstance, type Instance, putAway, type Rest, restLayers, restoreInstance, startInstance} from './instance.ts';
import {type LifecycleEvent, next, type State} from './lifecycle.ts';

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
    return this.#instance?.id ?? null;
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
    const {container, criu} = this.#options;
    if (this.#rest.kind !== 'checkpoint') return;
    criu.ready(container.restoreTarget()).catch((error: unknown) => this.#log.warn({error: errorMessage(error)}, 'the next wake could not be prepared'));
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
    if (this.#instance === undefined) return;
    this.#fail(new CodedError('ERR_INSTANCE_LOST', `The memory of app "${this.#options.config.name}" cannot be served any more: ${reason}`, {source: 'host'}));
    await this.#ended(this.#instance, this.#rest.kind === 'checkpoint' ? 'lost' : 'lostUnsaved');
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
    const {clock, records, network} = this.#options;
    const startedMs = clock.monotonicMs();
    const at = clock.nowMs();
    const token = await records.acquire();
    const rest = this.#rest;
    this.#move('wake');
    let instance: Instance;
    this.#revivingLayers = [...restLayers(rest), String(token)];
    try {
      instance = rest.kind === 'checkpoint' ? await restoreInstance(this.#options, rest, token) : await this.#start(rest, token);
    } catch (error) {
      this.#fail(error);
      this.#move(rest.kind === 'checkpoint' ? 'restoreFailed' : 'startFailed');
      await this.#record(token);
      throw error;
    } finally {
      this.#revivingLayers = undefined;
    }
    network.wake();
    this.#instance = instance;
    this.#runningSinceMs = clock.monotonicMs();
    const ms = this.#runningSinceMs - startedMs;
    this.#move('ready');
    void this.#noteWake({at, ms, trigger: describeTrigger(trigger)}, instance);
    this.#idle.start();
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
      await this.#save(instance.token);
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'the wake could not be recorded');
    }
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
      else await this.#ended(instance, 'died');
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
    const {faults} = await this.#options.pager.stats(instance.id);
    this.#lastWake = {...this.#lastWake, faults};
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
    const {network, pager} = this.#options;
    network.sleep([]);
    try {
      await putAway(this.#options);
      await pager.release(instance.id);
    } catch (error) {
      this.#log.error({error: errorMessage(error)}, 'the instance could not be put away');
    }
    // An app that ends by itself keeps its files, as any server does; one that was lost goes back to its generation.
    if (event === 'died') this.#rest = {kind: 'files', layers: instance.layers};
    this.#move(event);
    await this.#record(instance.token);
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

  /** Writes that no instance runs any more, and gives up the lease. That it fails is no reason not to go on: Redis learns it later. */
  async #record(token: FencingToken): Promise<void> {
    try {
      await this.#save(token);
      await this.#options.records.release(token);
    } catch (error) {
      this.#log.warn({error: errorMessage(error)}, 'the state of the app could not be recorded');
    }
  }

  async #save(token: FencingToken): Promise<void> {
    await this.#options.records.save(token, this.status());
  }
}
