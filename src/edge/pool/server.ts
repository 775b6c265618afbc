/** One server of a backend at run time: its state, its sessions, and those that wait for it. */
import type {CheckPlace, PassiveChecks} from '../../config/health.ts';
import type {ServerConfig, Target} from '../../config/proxy-value.ts';
import {type Member, MemberList} from '../../core/member-list.ts';
import type {AgentAnswer} from '../checks/agent-check.ts';
import {type CheckResult, checkVerdict, describeCheck, resultReport} from '../checks/check-result.ts';
import {FairQueue, type Waiter} from './fair-queue.ts';
import type {HeldSession} from './hold.ts';
import {ServerAgent} from './server-agent.ts';
import type {BalancedServer} from './server-choice.ts';
import type {ServerCopy} from './server-copy.ts';
import {bestHealth, describeHealth, type HealthThresholds, healthAfter, healthAtErrors, initialHealth, isUp} from './server-health.ts';
import type {AdminState, Condition, ServerHost} from './server-host.ts';
import type {RestoredState} from './server-state.ts';
import {newServerStats, type ServerStats} from './server-stats.ts';
import {statusOf} from './server-status.ts';
import {maxconnNow, SlowStart} from './slow-start.ts';
import {type Observation, TrafficObserver} from './traffic-observer.ts';

const sixteenths = 16;
/** Of thousands of servers most never have a session: they share this, which stays empty. */
const nobody = new MemberList<never>();
const noThresholds: HealthThresholds = {rise: 1, fall: 1};

/** @typeParam S its sessions */
export class PoolServer<S extends Waiter & Member> implements BalancedServer {
  readonly id: number;
  readonly config: ServerConfig;
  #sessions: MemberList<S> = nobody;
  readonly #openedMs: number;
  #stats: ServerStats | undefined;
  /** Those of them that wait for no wake. */
  reachedSessions = 0;
  /** Sessions that wait for a free place, and those that wait for the app. */
  readonly queue: FairQueue<HeldSession<S, PoolServer<S>>>;
  readonly wakers: FairQueue<HeldSession<S, {readonly host: string}>>;
  target: Target;
  weight: number;
  effectiveWeight: number;
  lastCheck: CheckResult | null = null;
  /** False: an operator has stopped its checks. */
  checksEnabled = true;
  checkPlace: CheckPlace | null = null; // Null: as configured.
  onSuspicion: (() => void) | null = null;
  /** Null: it has none. */
  readonly agent: ServerAgent | null;
  readonly #host: ServerHost<PoolServer<S>>;
  readonly #thresholds: HealthThresholds;
  readonly #observer: TrafficObserver | null;
  readonly #followers: PoolServer<S>[] = [];
  #followed: PoolServer<S> | null = null;
  #admin: AdminState;
  /** Name servers know no address for it. */
  #hasNoAddress = false;
  #maxconn: number | null;
  #health: number;
  /** As checks, the agent, traffic and operators have left it; `#health` is how far the checks are from changing it. */
  #isRunning = true;
  #stopping = false;
  readonly #slowStart: SlowStart;

  constructor(id: number, config: ServerConfig, host: ServerHost<PoolServer<S>>) {
    this.id = id;
    this.config = config;
    this.#host = host;
    this.#openedMs = host.clock.monotonicMs();
    this.#slowStart = new SlowStart({slowStartMs: config.slowStartMs, clock: host.clock, warmed: () => this.#recount()});
    const bound = config.maxqueue ?? Number.POSITIVE_INFINITY;
    this.queue = new FairQueue(bound);
    this.wakers = new FairQueue(bound);
    this.target = config.target;
    this.weight = config.weight;
    this.effectiveWeight = config.weight * sixteenths;
    this.#thresholds = config.check ?? noThresholds;
    this.#health = initialHealth(this.#thresholds);
    const {agent, check, observe} = config;
    this.agent = agent === null ? null : new ServerAgent(agent, config);
    this.#observer = check === null || observe === null ? null : new TrafficObserver(observe, (info) => this.#suspect(observe.onError, info));
    this.#admin = config.disabled ? 'maint' : 'ready';
    this.#maxconn = config.maxconn;
  }

  get name(): string {
    return this.config.name;
  }

  /** To count in. */
  get stats(): ServerStats {
    this.#stats ??= newServerStats(this.#openedMs);
    return this.#stats;
  }

  /** To be read: of the thousands to which nobody comes, nothing is kept. */
  get counted(): ServerStats {
    return this.#stats ?? newServerStats(this.#openedMs);
  }

  get sessions(): Pick<MemberList<S>, 'size'> & Iterable<S> {
    return this.#sessions;
  }

  enter(session: S): void {
    if (this.#sessions === nobody) this.#sessions = new MemberList();
    this.#sessions.add(session);
  }

  leave(session: S): void {
    this.#sessions.delete(session);
  }

  get admin(): AdminState {
    return this.#admin;
  }

  /** By the operator, or because no address is known for it. */
  get isInMaintenance(): boolean {
    return this.#admin === 'maint' || this.#hasNoAddress;
  }

  get condition(): Condition {
    if (this.isInMaintenance) return 'maint';
    if (!this.isUp) return 'down';
    if (this.isStopping) return 'nolb';
    return this.#admin === 'drain' || this.weight === 0 ? 'drain' : 'up';
  }

  get isUp(): boolean {
    return this.#isRunning && (this.#followed === null || (this.#followed.isUp && !this.#followed.isInMaintenance));
  }

  get isDownByAgent(): boolean {
    return this.#followed?.isDownByAgent ?? this.agent?.forbids === true;
  }

  get isStopping(): boolean {
    return this.#followed?.isStopping ?? this.#stopping;
  }

  /** As in `show stat`: the counter between 0 and rise + fall - 1. */
  get health(): number {
    return this.#health;
  }

  /** Its checks move it between up and down at this moment. */
  get isChanging(): boolean {
    return this.#health > 0 && this.#health < bestHealth(this.#thresholds);
  }

  get load(): number {
    return this.sessions.size + this.queue.size;
  }

  get isAwake(): boolean {
    return this.target.kind !== 'app' || this.#host.isAppAwake(this);
  }

  /** How many sessions it may have at this moment (manual, `fullconn`, `slowstart`); null: no limit. */
  get maxconn(): number | null {
    return this.#maxconn === null ? null : maxconnNow({maxconn: this.#maxconn, minconn: this.config.minconn, warmth: this.#slowStart.warmth}, this.#host);
  }

  /** The same without regard to this moment: what `show stat` tells. */
  get configuredMaxconn(): number | null {
    return this.#maxconn;
  }

  /** While it starts slowly: how much of its weight it has; null: all. */
  get warmthPercent(): number | null {
    return this.#slowStart.percent;
  }

  hasRoom(): boolean {
    return this.queue.size === 0 && this.hasFreePlace();
  }

  hasFreePlace(): boolean {
    const {maxconn} = this;
    return maxconn === null || this.sessions.size < maxconn;
  }

  /** What `show stat` calls it: `UP`, `UP 1/3` on its way down, `DOWN 1/2` on its way up, `no check`, ... */
  get status(): string {
    return statusOf(this, {thresholds: this.#thresholds, isFollower: this.#followed !== null});
  }

  get copy(): ServerCopy {
    const {weight, target} = this;
    const [admin, health, isRunning, isStopping] = [this.#admin, this.#health, this.#isRunning, this.#stopping];
    return {admin, weight, health, isRunning, isStopping, hasNoAddress: this.#hasNoAddress, maxconn: this.#maxconn, target};
  }

  /** As another thread says. Nobody is told, as that one has done it. */
  become({admin, weight, health, isRunning, isStopping, hasNoAddress, maxconn, target}: ServerCopy): void {
    this.target = target;
    this.#change(null, () => {
      this.#admin = admin;
      this.weight = weight;
      this.#health = health;
      this.#isRunning = isRunning;
      this.#stopping = isStopping;
      this.#hasNoAddress = hasNoAddress;
    });
    if (maxconn !== this.#maxconn) this.setMaxconn(maxconn);
  }

  /** Counts a check, and takes the server down or up when that was one too many. In maintenance nothing is counted. */
  applyCheck(result: CheckResult): void {
    if (this.isInMaintenance) return;
    if (checkVerdict(result) !== 'failed') this.#observer?.forget();
    this.#count(result, this.#health);
  }

  /** Does what the agent says, in maintenance too, which it may end. */
  applyAgent(answer: AgentAnswer): void {
    const {agent} = this;
    if (agent?.isEnabled !== true) return;
    const result = agent.apply(answer, this);
    const isNews = agent.last?.status !== result.status;
    agent.last = result;
    const isAnswer = result.status === 'L7OK' || result.status === 'L7STS';
    if (result.status === 'L7OK') this.#observer?.forget();
    this.#change(describeCheck(result), () => {
      if (isAnswer) agent.isDown = result.status === 'L7STS';
      if (isNews && this.#host.logHealthChecks && result.status !== 'CHECKED') this.#reportResult('Agent', result, agent.isDown ? 0 : 1, noThresholds);
      if (result.status === 'L7STS') this.#isRunning = false;
      if (result.status === 'L7OK') this.#rise(this.#stopping);
    });
  }

  /** Of the runtime API: until the agent says otherwise. */
  setAgentHealth(health: 'up' | 'down'): void {
    const {agent} = this;
    if (agent === null) return;
    this.#change(', changed from CLI', () => {
      agent.isDown = health === 'down';
      this.#isRunning = health === 'up';
    });
  }

  /** Comes up, unless its checks or its agent hold it down. */
  #rise(stopping: boolean): void {
    const isHeld = this.agent?.forbids === true || (this.config.check !== null && this.checksEnabled && !isUp(this.#health, this.#thresholds));
    if (isHeld) return;
    this.#isRunning = true;
    this.#stopping = stopping;
  }

  /** Of a session: what it has met here. */
  observe(what: Observation): void {
    this.#observer?.see(what);
  }

  #suspect(onError: PassiveChecks['onError'], info: string): void {
    if (this.isInMaintenance) return;
    this.stats.observedFailures++;
    const before = healthAtErrors(this.#health, onError, this.#thresholds);
    if (before !== null) this.#count({status: 'HANA', code: 0, info, durationMs: null}, before);
    this.onSuspicion?.();
  }

  /** @param before the counter that the check has moved from */
  #count(result: CheckResult, before: number): void {
    const isNews = this.lastCheck?.status !== result.status;
    this.lastCheck = result;
    const verdict = checkVerdict(result);
    const health = healthAfter(before, verdict !== 'failed', this.#thresholds);
    const hasMoved = health !== before;
    if (hasMoved && verdict === 'failed') this.stats.failedChecks++;
    this.#change(describeCheck(result), () => {
      this.#health = health;
      if (health === 0) this.#isRunning = false;
      if (verdict !== 'failed') this.#rise(verdict === 'conditional');
      if ((hasMoved || isNews) && this.#host.logHealthChecks) this.#reportResult('Health', result, health, this.#thresholds);
    });
  }

  /** Has the state of another server from now on (`track`). */
  follow(other: PoolServer<S>): void {
    this.#followed = other;
    other.#followers.push(this);
  }

  /** Out of maintenance it comes up, but goes down at the first failure. */
  setAdmin(state: AdminState): void {
    this.#change('', () => {
      const isOver = this.#admin === 'maint' && state !== 'maint';
      this.#admin = state;
      if (!isOver) return;
      this.#health = Math.max(this.#health, initialHealth(this.#thresholds));
      this.#rise(this.#stopping);
    });
  }

  /** Goes on with what an earlier run of the program has left. */
  restore({admin, weight, health, isStopping, isStarting, checksEnabled, lastCheck, sinceMs}: RestoredState): void {
    this.checksEnabled = checksEnabled;
    this.lastCheck = lastCheck ?? this.lastCheck;
    this.#change(', changed from server-state after a reload', () => {
      this.#admin = admin;
      this.weight = weight;
      this.#health = health ?? this.#health;
      if (health !== null) this.#isRunning = isUp(health, this.#thresholds);
      this.#stopping = isStopping;
    });
    this.stats.changedAtMs = this.#host.clock.monotonicMs() - sinceMs;
    this.#slowStart.begin(isStarting && this.condition === 'up' ? this.stats.changedAtMs : null);
    this.#recount();
  }

  /** Of the runtime API: until the next checks say otherwise. */
  setHealth(health: 'up' | 'stopping' | 'down'): void {
    this.#change(', changed from CLI', () => {
      this.#health = health === 'down' ? 0 : bestHealth(this.#thresholds);
      this.#isRunning = health !== 'down';
      this.#stopping = health === 'stopping';
    });
  }

  /** The app sleeps: it counts as up, whatever its last checks found. */
  assumeUp(): void {
    this.#observer?.forget();
    this.#change('', () => {
      this.#health = bestHealth(this.#thresholds);
      this.#isRunning = true;
      this.#stopping = false;
    });
    this.agent?.forget(this);
  }

  /** @param weight 0 to 256 */
  setWeight(weight: number): void {
    this.#change(null, () => {
      this.weight = weight;
    });
  }

  /** @param maxconn null: no limit; sessions go on when there are more than that already */
  setMaxconn(maxconn: number | null): void {
    this.#maxconn = maxconn;
    this.#recount();
  }

  /** New sessions go there, and checks; those of before stay where they are. */
  setAddress(host: string, port: number): void {
    this.target = {kind: 'address', host, port};
    this.#recount();
  }

  /** Of name servers. Without an address it is in maintenance until there is one. @param by who said so, for the log */
  setResolved(address: {readonly host: string; readonly port: number} | null, by: string): void {
    const {target} = this;
    if (address !== null && target.kind === 'address' && (target.host !== address.host || target.port !== address.port)) {
      this.#host.report(`${this.#host.name}/${this.name} changed its IP from ${target.host} to ${address.host} by ${by}.`);
      this.setAddress(address.host, address.port);
    }
    this.#change(address === null ? ` (No IP for server by ${by})` : ' (resolves again)', () => {
      this.#hasNoAddress = address === null;
    });
  }

  dispose(): void {
    this.#slowStart[Symbol.dispose]();
  }

  #reportResult(what: 'Health' | 'Agent', result: CheckResult, health: number, thresholds: HealthThresholds): void {
    const server = `${this.config.backup ? 'backup ' : ''}server ${this.#host.name}/${this.name}`;
    this.#host.report(resultReport(`${what} check for ${server}`, result, describeHealth(health, thresholds, this.weight === 0 ? 'DRAIN' : 'UP')));
  }

  #change(cause: string | null, change: () => void): void {
    const affected: readonly {readonly server: PoolServer<S>; readonly from: Condition; readonly weight: number}[] = [this, ...this.#followers].map(
      (server) => ({server, from: server.condition, weight: server.effectiveWeight}),
    );
    change();
    for (const {server, from, weight} of affected) {
      const to = server.condition;
      if (from !== to) server.#moved(from, to);
      server.effectiveWeight = server.#weightNow();
      if (from !== to || server.effectiveWeight !== weight) server.#host.changed(server, {from, to, cause});
    }
  }

  #moved(from: Condition, to: Condition): void {
    const nowMs = this.#host.clock.monotonicMs();
    if (from === 'down' || from === 'maint') this.stats.downtimeMs += nowMs - this.stats.changedAtMs;
    if (to === 'down') this.stats.timesDown++;
    this.stats.changedAtMs = nowMs;
    this.#slowStart.begin(to === 'up' ? nowMs : null);
  }

  #recount(): void {
    const {condition} = this;
    this.effectiveWeight = this.#weightNow();
    this.#host.changed(this, {from: condition, to: condition, cause: ''});
  }

  #weightNow(): number {
    return this.weight * Math.min(sixteenths, Math.floor(sixteenths * this.#slowStart.warmth) + 1);
  }
}
