/** A backend at run time: gives each session a server, and a place there. */
import type {BackendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorCode} from '../../core/errors.ts';
import type {AppAccess, AppWatch} from '../app-access.ts';
import type {LogLevel} from '../logs/syslog-header.ts';
import {type AssignedServer, Assignment, type AssignmentHost, type Endpoint, type PoolRequest} from './assignment.ts';
import {FairQueue} from './fair-queue.ts';
import {asError, HeldSession, hold, pause, type WaitingRoom} from './hold.ts';
import {mayLeave, nextAttempt} from './next-attempt.ts';
import {connectError, isRefusal, noServer, queueFull, queueTimeout, wakeFailed} from './pool-errors.ts';
import {directEndpoint, reachAgain, reachServer} from './reach-server.ts';
import type {Rush} from './rush.ts';
import {ServerCookies} from './server-cookies.ts';
import type {Condition, ServerHost} from './server-host.ts';
import {describeChange, stateChange} from './server-report.ts';
import {ServerSet} from './server-set.ts';
import {clearStats, countEnd, countSession, newServerStats, type ServerStats} from './server-stats.ts';
import type {SessionEnd} from './session-end.ts';
import {shutSessions} from './shut-sessions.ts';
import type {WakeLimiter} from './wake-limiter.ts';

export interface PoolOptions {
  readonly backend: BackendConfig;
  readonly apps: AppAccess;
  /** Null: an app counts as awake while it has sessions. */
  readonly watch: AppWatch | null;
  readonly clock: Clock;
  /** Of all pools: what waits, whatever for. */
  readonly room: WaitingRoom;
  readonly wakeLimiter: WakeLimiter;
  readonly rush: Rush;
  /** For a backend that has none of its own; null: servers may have their `maxconn` at once. */
  readonly defaultFullconn: number | null;
  /** Lines about servers that go up and down, and about their checks. */
  readonly report: (line: string, level: LogLevel) => void;
  readonly isListen: boolean;
  /** Something that its `copy` tells has changed. */
  readonly onChange?: ((server: AssignedServer) => void) | undefined;
}

export class Pool implements AssignmentHost, ServerHost<AssignedServer>, Disposable {
  readonly config: BackendConfig;
  readonly name: string;
  readonly clock: Clock;
  readonly logHealthChecks: boolean;
  readonly fullconn: number | null;
  readonly #options: PoolOptions;
  /** Servers that are added later come and go here. */
  readonly set: ServerSet;
  readonly cookies: ServerCookies;
  /** Sessions that take any server. */
  readonly #queue = new FairQueue<HeldSession<Assignment, AssignedServer>>(Number.POSITIVE_INFINITY);
  #sessions = 0;
  readonly #openedMs: number;
  #stats: ServerStats | undefined;

  constructor(options: PoolOptions) {
    const {backend, clock} = options;
    this.#options = options;
    this.config = backend;
    this.name = backend.name;
    this.clock = clock;
    this.logHealthChecks = backend.logHealthChecks;
    this.fullconn = backend.fullconn ?? options.defaultFullconn;
    this.#openedMs = clock.monotonicMs();
    this.set = new ServerSet(backend, this);
    this.cookies = new ServerCookies(backend, () => this.set.all);
  }

  get stats(): ServerStats {
    this.#stats ??= newServerStats(this.#openedMs);
    return this.#stats;
  }

  /** To be read: of the thousands to which nobody comes, nothing is kept. */
  get counted(): ServerStats {
    return this.#stats ?? newServerStats(this.#openedMs);
  }

  get servers(): readonly AssignedServer[] {
    return this.set.all;
  }

  /** How many servers can be used, as `nbsrv` counts them. */
  get usableServers(): number {
    return this.set.usable.length;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Sessions that have a server, or wait for one. */
  sessions(): number {
    return this.#sessions;
  }

  server(name: string): AssignedServer | null {
    return this.set.byName(name);
  }

  /** `clear counters`, for the backend and its servers. */
  clearCounters(scope: 'maxima' | 'all'): void {
    clearStats(this.counted, scope, {sessions: this.#sessions, queued: this.queued});
    for (const {counted, sessions, queue} of this.servers) clearStats(counted, scope, {sessions: sessions.size, queued: queue.size});
  }

  isAppAwake(server: AssignedServer): boolean {
    const {watch} = this.#options;
    if (server.target.kind !== 'app') return true;
    return watch === null ? server.reachedSessions > 0 : watch.isAwake(server.target.app);
  }

  /**
   * Gives the session a server: a free place at it, and where it accepts connections.
   * @param signal aborted when the client leaves, which frees its place at once
   * @throws CodedError ERR_NO_SERVER, ERR_WAKE_FAILED, ERR_QUEUE_FULL, ERR_QUEUE_TIMEOUT, ERR_WAKE_RATE, or the reason of `signal`
   */
  async assign(request: PoolRequest, signal: AbortSignal): Promise<Assignment> {
    const assignment = this.begin(request);
    if (!assignment.isReached) await this.reach(assignment, signal);
    return assignment;
  }

  /** `assign` as far as nothing has to be waited for: an ordinary server with a free place is reached; else `reach` has to come next. */
  begin(request: PoolRequest): Assignment {
    const assignment = new Assignment(request, this.clock.monotonicMs(), this);
    this.#sessions++;
    countSession(this.stats, this.#sessions, assignment.startedMs);
    const picked = this.#pick(assignment);
    if (picked === null || picked === 'full' || picked.target.kind === 'app' || !picked.hasRoom()) assignment.picked = picked;
    else this.#reached(this.#take(picked, assignment), assignment, directEndpoint(picked, picked.target));
    return assignment;
  }

  /** @throws as `assign`; then the session has no place, and is no more counted */
  reach(assignment: Assignment, signal: AbortSignal): Promise<void> {
    return this.#findPlace(assignment, signal);
  }

  async retry(assignment: Assignment, cause: unknown, signal: AbortSignal): Promise<void> {
    const {server} = assignment;
    if (server === null) throw asError(cause);
    try {
      signal.throwIfAborted();
      const next = nextAttempt({
        backend: this.config,
        retries: assignment.retries,
        wokenRetries: assignment.wokenRetries,
        elapsedMs: this.clock.monotonicMs() - assignment.startedMs,
        server: {isApp: server.target.kind === 'app', isUp: server.isUp},
        wasRefused: errorCode(cause) === 'ECONNREFUSED',
        isPersistent: assignment.isPersistent,
        usableServers: this.set.usable.length,
      });
      if ((next.kind !== 'same' || !next.isWoken) && errorCode(cause) !== 'ERR_MOVED') server.observe('unconnected');
      // That may have taken the server down, and ended its sessions.
      if (assignment.isOver) throw asError(cause);
      if (next.kind === 'give-up') throw this.#countConnectError(server, connectError(this.config, server, {endpoint: assignment.endpoint, cause}));
      if (next.kind === 'same') {
        if (next.isWoken) assignment.wokenRetries++;
        else this.#countRetry(assignment, server);
        await pause(next.delayMs, {clock: this.clock, signal});
        if (server.target.kind === 'app') assignment.endpoint = await reachAgain(server, server.target.app, assignment, {...this.#options, signal});
        return;
      }
      if (server.target.kind === 'app') assignment.bury(server);
      this.#redispatch(assignment, server);
    } catch (error) {
      this.#drop(assignment);
      throw error;
    }
    await this.#findPlace(assignment, signal);
  }

  release(assignment: Assignment, end: SessionEnd): void {
    const {server} = assignment;
    if (server === null) return;
    const times = {queuedMs: assignment.queuedMs, totalMs: this.clock.monotonicMs() - assignment.startedMs};
    countEnd(server.stats, end, times);
    countEnd(this.stats, end, times);
    this.#drop(assignment);
  }

  changed(server: AssignedServer, change: {readonly from: Condition; readonly to: Condition; readonly cause: string | null}): void {
    const wasUsable = this.set.usable.length > 0;
    this.set.regroup();
    this.#options.onChange?.(server);
    this.#countChange(wasUsable);
    const {from, to, cause} = change;
    if (from !== to) {
      const requeued = to === 'down' || to === 'maint' ? this.#requeue(server) : 0;
      if (cause !== null) this.#reportChange(server, {...change, cause: this.logHealthChecks && cause.startsWith(', reason') ? '' : cause, requeued});
      shutSessions(server, to, this.servers);
    }
    for (const usable of this.set.usable) this.#serve(usable);
  }

  report(line: string): void {
    this.#options.report(line, 'notice');
  }

  [Symbol.dispose](): void {
    for (const server of this.servers) server.dispose();
  }

  /** The backend is down while none of its servers can be used. */
  #countChange(wasUsable: boolean): void {
    const isUsable = this.set.usable.length > 0;
    if (isUsable === wasUsable) return;
    const nowMs = this.clock.monotonicMs();
    if (isUsable) this.stats.downtimeMs += nowMs - this.stats.changedAtMs;
    else this.stats.timesDown++;
    this.stats.changedAtMs = nowMs;
  }

  /** @throws as `assign`; then the session has no place, and is no more counted */
  async #findPlace(assignment: Assignment, signal: AbortSignal): Promise<void> {
    let cause: unknown = null;
    try {
      while (true) {
        signal.throwIfAborted();
        const picked = assignment.picked ?? this.#pick(assignment);
        assignment.picked = null;
        if (picked === null) throw cause === null ? noServer(this.config) : wakeFailed(cause);
        const server = picked !== 'full' && picked.hasRoom() ? this.#take(picked, assignment) : await this.#waitForPlace(assignment, picked, signal);
        try {
          const endpoint = await reachServer(server, assignment, {...this.#options, signal});
          signal.throwIfAborted();
          this.#reached(server, assignment, endpoint);
          return;
        } catch (error) {
          signal.throwIfAborted();
          if (isRefusal(error)) throw error;
          cause = error;
          this.#bury(assignment, server, error);
        }
      }
    } catch (error) {
      this.#drop(assignment);
      throw error;
    }
  }

  #reached(server: AssignedServer, assignment: Assignment, endpoint: Endpoint): void {
    assignment.endpoint = endpoint;
    assignment.isReached = true;
    server.reachedSessions++;
  }

  /** A wake that failed is a dead server. @throws CodedError ERR_WAKE_FAILED when no other one may be tried */
  #bury(assignment: Assignment, server: AssignedServer, cause: unknown): void {
    for (const stats of [server.stats, this.stats]) stats.wakeFailures++;
    const tried = {backend: this.config, isPersistent: assignment.isPersistent, usableServers: this.set.usable.length};
    assignment.bury(server);
    if (assignment.retries >= this.config.retries || !mayLeave(tried)) throw wakeFailed(cause);
    this.#redispatch(assignment, server);
  }

  /** `full`: the session has to wait for any server. */
  #pick(assignment: Assignment): AssignedServer | 'full' | null {
    const {request, dead} = assignment;
    if (!assignment.hasLeft) {
      for (const name of request.preferred) {
        const server = this.server(name);
        if (server?.isUp !== true || server.isInMaintenance || dead.has(server)) continue;
        assignment.isPersistent = true;
        return server;
      }
    }
    assignment.isPersistent = false;
    const chosen = this.set.choose(request, assignment);
    if (chosen !== null) return chosen;
    return this.set.usable.some((server) => !dead.has(server)) ? 'full' : null;
  }

  #take(server: AssignedServer, assignment: Assignment): AssignedServer {
    assignment.server = server;
    server.enter(assignment);
    countSession(server.stats, server.sessions.size, this.clock.monotonicMs());
    if (!assignment.isPersistent) {
      server.stats.balancedTotal++;
      this.stats.balancedTotal++;
    }
    assignment.request.placed?.(server);
    return server;
  }

  async #waitForPlace(assignment: Assignment, at: AssignedServer | 'full', signal: AbortSignal): Promise<AssignedServer> {
    const queue = at === 'full' ? this.#queue : at.queue;
    const stats = at === 'full' ? this.stats : at.stats;
    const what = at === 'full' ? `backend "${this.name}"` : `server "${this.name}/${at.name}"`;
    const timeoutMs = this.config.queueTimeoutMs ?? this.config.connectTimeoutMs;
    const held = new HeldSession<Assignment, AssignedServer>(assignment, queue, this.clock.monotonicMs());
    try {
      return await hold(held, {
        room: this.#options.room,
        timeoutMs,
        clock: this.clock,
        signal,
        timedOut: () => queueTimeout(what, timeoutMs),
        full: () => queueFull(what, queue.size),
        begin: () => {
          stats.queueMax = Math.max(stats.queueMax, queue.size);
        },
      });
    } finally {
      assignment.queuedMs += this.clock.monotonicMs() - held.sinceMs;
    }
  }

  /** Gives free places to those that have waited longest, for this server or for any. */
  #serve(server: AssignedServer): void {
    while (server.hasFreePlace()) {
      const own = server.queue.first;
      const any = this.set.usable.includes(server) ? this.#firstFor(server) : undefined;
      const next = own === undefined || (any !== undefined && any.sinceMs < own.sinceMs) ? any : own;
      if (next === undefined) return;
      this.#grant(server, next);
    }
  }

  #grant(server: AssignedServer, held: HeldSession<Assignment, AssignedServer>): void {
    held.queue.leave(held);
    held.resolve(this.#take(server, held.session));
  }

  #firstFor(server: AssignedServer): HeldSession<Assignment, AssignedServer> | undefined {
    for (const held of this.#queue) if (!held.session.dead.has(server)) return held;
    return undefined;
  }

  /** A server has gone: those that waited for it are sent elsewhere, but for those that belong to it where `option redispatch` is missing. */
  #requeue(server: AssignedServer): number {
    let moved = 0;
    for (const held of [...server.queue]) {
      const {session} = held;
      if (session.isPersistent && this.config.redispatch === null) continue;
      moved++;
      session.hasLeft = true;
      server.queue.leave(held);
      const picked = this.#pick(session);
      if (picked === null) held.reject(noServer(this.config));
      else if (picked !== 'full' && picked.hasRoom()) this.#grant(picked, held);
      else {
        held.queue = picked === 'full' ? this.#queue : picked.queue;
        const displaced = held.queue.enter(held);
        const full = queueFull(`server "${this.name}/${server.name}"`, held.queue.size);
        if (displaced === 'full') held.reject(full);
        else displaced?.reject(full);
      }
    }
    return moved;
  }

  #countRetry(assignment: Assignment, server: AssignedServer): void {
    assignment.retries++;
    for (const stats of [server.stats, this.stats]) stats.retries++;
  }

  #countConnectError<E extends Error>(server: AssignedServer, error: E): E {
    for (const stats of [server.stats, this.stats]) stats.connectErrors++;
    return error;
  }

  #redispatch(assignment: Assignment, server: AssignedServer): void {
    assignment.retries++;
    assignment.hasLeft = true;
    assignment.previous = server;
    for (const stats of [server.stats, this.stats]) stats.redispatches++;
    this.#leave(assignment);
  }

  #leave(assignment: Assignment): void {
    const {server} = assignment;
    if (server === null) return;
    assignment.handle?.[Symbol.dispose]();
    assignment.handle = null;
    assignment.server = null;
    if (assignment.isReached) server.reachedSessions--;
    assignment.isReached = false;
    server.leave(assignment);
    this.#serve(server);
  }

  #drop(assignment: Assignment): void {
    if (assignment.isOver) return;
    assignment.isOver = true;
    this.#sessions--;
    this.#leave(assignment);
  }

  #reportChange(server: AssignedServer, change: {readonly from: Condition; readonly to: Condition; readonly cause: string; readonly requeued: number}): void {
    const line = describeChange(stateChange(server, change, this));
    if (line !== null) this.#options.report(line, change.to === 'down' || change.to === 'maint' ? 'alert' : 'notice');
    if (this.set.usable.length === 0) this.#options.report(`${this.#options.isListen ? 'proxy' : 'backend'} ${this.name} has no server available!`, 'emerg');
  }
}
