import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import type {Log} from '../core/log.ts';
import type {Pin, SleepCause} from '../store/app-record.ts';
import {guestsError, pinnedError, staysPinnedError} from './app-errors.ts';
import type {IdleHabit, Pinned, Records} from './app-status.ts';
import {BackOff} from './back-off.ts';
import {BusySessions} from './busy-sessions.ts';
import type {Container} from './container.ts';
import {CpuUse} from './cpu-use.ts';
import {afterNap, countAt, type Flaps, idleFactor, noFlaps} from './flapping.ts';
import {type EvictionVerdict, type IdleFacts, type IdleVerdict, judgeEviction, judgeIdle, type Wait} from './idle.ts';
import type {Network} from './instance.ts';
import {countConnections} from './ports.ts';
import {unquiet} from './quiet.ts';
import {RunningTimers} from './timers/running-timers.ts';

export interface WakefulnessOptions {
  readonly clock: Clock;
  readonly config: AppConfig;
  readonly network: Network;
  readonly container: Container;
  readonly records: Records;
  readonly log: Log;
  /** Of falling asleep and waking, as far as it is known. */
  readonly costMs: () => number;
  /** Of an operator, from an earlier life of the gateway. */
  readonly pin: Pin | null;
  /** What keeps the app awake is not what it was. */
  readonly changed: () => void;
}

/** What keeps an app awake: all that is known for the rules in idle.ts. */
export class Wakefulness {
  readonly #options: WakefulnessOptions;
  readonly busySessions = new BusySessions();
  #timers: RunningTimers | undefined;
  readonly #backOff = new BackOff();
  readonly #timerBackOff = new BackOff();
  readonly #cpu = new CpuUse();
  #pin: Pin | null;
  #runningSinceMs = 0;
  /** After an attempt to sleep that did not succeed. */
  #pause = {untilMs: 0, reason: ''};
  #flaps: Flaps = noFlaps;
  /** The end of the last sleep that began because the app was idle, and what it took to fall asleep. */
  #idleSleep: {readonly atMs: number; readonly tookMs: number} | null = null;

  constructor(options: WakefulnessOptions) {
    this.#options = options;
    this.#pin = options.pin;
  }

  /** Made for an app that runs. */
  get timers(): RunningTimers {
    const {config, clock, log, costMs, container} = this.#options;
    this.#timers ??= new RunningTimers({config, clock, log, costMs, processes: () => container.processes()});
    return this.#timers;
  }

  /** Whether the app, which runs, could sleep now, or what keeps it awake. */
  async judge(): Promise<IdleVerdict> {
    const facts = await this.#facts();
    const verdict = judgeIdle(facts);
    this.timers.look();
    if (verdict.kind === 'wait') return verdict;
    const byConnections = judgeIdle({...facts, connections: await this.#connections()});
    return byConnections.kind === 'wait' ? byConnections : ((await this.timers.keepAwake()) ?? byConnections);
  }

  /** Whether it may be put to sleep to free memory. */
  async judgeEviction(): Promise<EvictionVerdict> {
    return judgeEviction({...(await this.#facts()), connections: await this.#connections()});
  }

  /** What being awake costs of memory; null when that is not known. */
  memoryBytes(): number | null {
    return this.#options.container.memoryBytes();
  }

  /** Who says that the app does not sleep. */
  get pinned(): Pinned | null {
    if (this.#options.config.pin) return {by: 'configuration', until: null};
    if (this.#pin === null) return null;
    const {until} = this.#pin;
    const isOver = until !== null && until <= this.#options.clock.nowMs();
    return isOver ? null : {by: 'operator', until};
  }

  /**
   * For an operator who wants it to sleep now. With `force` a pin does not count, and commands in it are ended.
   * @param request.remedy how whoever asks says `force`
   * @throws CodedError ERR_PINNED, ERR_EXEC_SESSION
   */
  async admitSleep({force, remedy}: {readonly force: boolean; readonly remedy: string}): Promise<void> {
    const {config, container} = this.#options;
    const {pinned} = this;
    if (force) await container.guests.kill();
    else if (pinned !== null) throw pinnedError(config.name, pinned, remedy);
    else if (container.guests.count > 0) throw guestsError(config.name, remedy);
  }

  /** What the record of the app says. */
  get operatorPin(): Pin | null {
    return this.#pin;
  }

  /** Null: only the configuration says whether it sleeps. It is remembered. @throws CodedError when it cannot be recorded; nothing has changed then */
  async pin(pin: Pin | null): Promise<void> {
    const {records} = this.#options;
    await records.pin(pin);
    this.#pin = pin;
    this.#options.changed();
    const until = pin?.until ?? null;
    records.event(pin === null ? 'unpinned' : 'pinned', until === null ? {} : {until});
  }

  /** @throws CodedError as `pin()`, and ERR_PINNED where the configuration says so: only a pin of an operator has gone then */
  async unpin(): Promise<void> {
    await this.pin(null);
    if (this.pinned !== null) throw staysPinnedError(this.#options.config.name);
  }

  /** What `hibernate-after` comes to. */
  get idle(): IdleHabit {
    const nowMs = this.#options.clock.monotonicMs();
    return {afterMs: this.#hibernateAfterMs(nowMs), flaps: countAt(this.#flaps, nowMs)};
  }

  #hibernateAfterMs(nowMs: number): number | null {
    const {hibernateAfterMs} = this.#options.config;
    return hibernateAfterMs === null ? null : hibernateAfterMs * idleFactor(this.#flaps, nowMs);
  }

  /** The app runs from this moment on (monotonic), after a wake of `wakeMs`. */
  woke(nowMs: number, wakeMs: number): void {
    const sleep = this.#idleSleep;
    this.#runningSinceMs = nowMs;
    this.#idleSleep = null;
    this.#cpu.restart();
    this.timers.restart();
    if (sleep === null) return;
    const before = this.#hibernateAfterMs(nowMs);
    this.#flaps = afterNap(this.#flaps, {asleepMs: nowMs - wakeMs - sleep.atMs, costMs: sleep.tookMs + wakeMs, nowMs});
    const after = this.#hibernateAfterMs(nowMs);
    if (before !== null && after !== null && after > before) this.#options.records.event('flapping', {times: this.#flaps.count, hibernateAfterMs: after});
  }

  /** It sleeps; that took so long. */
  slept(cause: SleepCause, tookMs: number): void {
    this.#backOff.succeeded();
    this.#timerBackOff.succeeded();
    this.#idleSleep = cause === 'idle' ? {atMs: this.#options.clock.monotonicMs(), tookMs} : null;
  }

  /** It was not put to sleep: it was at work, or somebody needed it. */
  stayedAwake(outcome: {readonly kind: 'busy' | 'wanted'} | {readonly kind: 'due'; readonly wait: Wait}): void {
    if (outcome.kind === 'due') this.#waitForTimer(outcome.wait);
    else if (outcome.kind === 'busy') this.#wait(unquiet);
    else this.#wait({pauseMs: this.#backOff.ms, reason: 'it was needed while it was being put to sleep'});
  }

  /** Only a checkpoint that was begun has shown it: that is not tried for each time that it expires. */
  #waitForTimer({ms, reason}: Wait): void {
    this.#timerBackOff.failed();
    this.#wait({pauseMs: Math.max(ms, this.#timerBackOff.ms), reason});
  }

  /** Its checkpoint failed. */
  failedToSleep(message: string): void {
    this.#backOff.failed();
    this.#wait({pauseMs: this.#backOff.ms, reason: `its checkpoint failed: ${message}`});
  }

  #wait({pauseMs, reason}: {readonly pauseMs: number; readonly reason: string}): void {
    this.#pause = {untilMs: this.#options.clock.monotonicMs() + pauseMs, reason};
  }

  async #facts(): Promise<IdleFacts> {
    const {clock, config, container, network} = this.#options;
    const lastTrafficMs = await network.lastTraffic();
    const cpu = this.#cpuUse();
    const nowMs = clock.monotonicMs();
    return {
      nowMs,
      lastTrafficMs,
      runningSinceMs: this.#runningSinceMs,
      busySessions: this.busySessions.count,
      guests: container.guests.count,
      hibernateAfterMs: this.#hibernateAfterMs(nowMs),
      minAwakeMs: config.minAwakeMs,
      pin: this.#pinFact(nowMs),
      connections: 0,
      cpu,
      notBeforeMs: this.#pause.untilMs,
      notBeforeReason: this.#pause.reason,
    };
  }

  #pinFact(nowMs: number): IdleFacts['pin'] {
    const pinned = this.pinned;
    if (pinned === null) return null;
    if (pinned.until === null) return {untilMs: Number.POSITIVE_INFINITY, reason: pinned.by === 'operator' ? 'an operator has pinned it' : 'pin'};
    return {untilMs: nowMs + pinned.until - this.#options.clock.nowMs(), reason: `an operator has pinned it until ${new Date(pinned.until).toISOString()}`};
  }

  #cpuUse(): IdleFacts['cpu'] {
    const {clock, config, container} = this.#options;
    const above = config.awakeWhile.cpuAbovePercent;
    if (above === null) return null;
    const usedUs = container.cpuUsedUs();
    return {used: usedUs === null ? null : this.#cpu.add({atMs: clock.monotonicMs(), usedUs}), above};
  }

  async #connections(): Promise<number> {
    const {config, container, network} = this.#options;
    const [first] = config.awakeWhile.connections ? container.pids() : [];
    return first === undefined ? 0 : countConnections(first, network.address);
  }
}
