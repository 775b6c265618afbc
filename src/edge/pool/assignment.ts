/** A session's place at a server, from its choice to the session's end. */

import type {AppName} from '../../core/ids.ts';
import type {Trigger} from '../../core/trigger.ts';
import type {SessionHandle} from '../app-access.ts';
import type {Cuttable} from '../cuttable.ts';
import type {Waiter} from './fair-queue.ts';
import type {BalanceRequest} from './hash-key.ts';
import type {PoolServer} from './server.ts';
import type {TriedServers} from './server-choice.ts';
import {countResponse, type ServerStats} from './server-stats.ts';
import type {SessionEnd} from './session-end.ts';
import {type Observation, observedStatus} from './traffic-observer.ts';

/** A server whose sessions are those of a pool. */
export type AssignedServer = PoolServer<Assignment>;

export interface Waking {
  readonly app: AppName;
  readonly trigger: string;
}

/** What is known of a session when it needs a server. */
export interface PoolRequest extends BalanceRequest {
  /** Of a wake, without the port, which is the server's. */
  readonly trigger: Omit<Extract<Trigger, {readonly source: string}>, 'port'>;
  /** Names of servers to which it belongs (`use-server`, cookie, stick table), the first one that is up is taken. */
  readonly preferred: readonly string[];
  /** A health check from outside, which wakes no app and keeps none awake. */
  readonly isProbe?: boolean | undefined;
  /** Called when the session begins to wait for a wake. */
  readonly held?: ((waking: Waking) => void) | undefined;
  /** Called when a server is chosen, before it is waited for. */
  readonly placed?: ((server: AssignedServer) => void) | undefined;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Of a unix socket, instead of host and port; starts with a zero byte when it is abstract. */
  readonly path: string | null;
  /** The address that the connection must come from, whatever the server says; it is nobody else's then. */
  readonly from?: string | undefined;
}

/** What a health check from outside has found in its server's place. */
export interface ProbedApp {
  readonly app: AppName;
  /** False: `endpoint` is nowhere; whoever asked answers for the app. */
  readonly isAwake: boolean;
}

/** What an assignment needs of its pool. */
export interface AssignmentHost {
  readonly stats: ServerStats;
  retry(assignment: Assignment, cause: unknown, signal: AbortSignal): Promise<void>;
  release(assignment: Assignment, end: SessionEnd): void;
}

const noServers: ReadonlySet<AssignedServer> = new Set();

export class Assignment implements Waiter, TriedServers<AssignedServer> {
  readonly request: PoolRequest;
  readonly startedMs: number;
  /** Among the sessions of its server. */
  place = -1;
  /** Null only before and after it has a place. */
  server: AssignedServer | null = null;
  /** Where it has to wait for a place, since that was decided before anything was waited for. */
  picked: AssignedServer | 'full' | null = null;
  endpoint: Endpoint = {host: '', port: 0, path: null};
  dead = noServers;
  previous: AssignedServer | null = null;
  /** The server was chosen by `preferred`. */
  isPersistent = false;
  /** The servers that it belongs to have failed it: balance decides. */
  hasLeft = false;
  retries = 0;
  wokenRetries = 0;
  /** `endpoint` is that of `server`, which is awake. */
  isReached = false;
  isOver = false;
  /** A connection with `endpoint` stands, and is not to be made again. */
  isConnected = false;
  /** Waited for a free place, and for wakes. */
  queuedMs = 0;
  wakeMs = 0;
  /** The last app that it waited for because it slept, and why it was woken (`triggerText`). */
  waking: Waking | null = null;
  handle: SessionHandle | null = null;
  /** Null: it is no health check, or its server is no app. */
  probed: ProbedApp | null = null;
  /** What is told when the server must have no sessions any more. */
  cuttable: Cuttable | null = null;
  /** Ends an attempt to connect to `endpoint`, which is retried then. */
  giveUp: (() => void) | null = null;
  readonly #host: AssignmentHost;

  constructor(request: PoolRequest, startedMs: number, host: AssignmentHost) {
    this.request = request;
    this.startedMs = startedMs;
    this.#host = host;
  }

  get source(): string {
    return this.request.source;
  }

  /** Null for an ordinary server. */
  get app(): string | null {
    return this.server?.target.kind === 'app' ? this.server.target.app : null;
  }

  /** Tells whether the client's last bytes are unanswered; then the app is not put to sleep. */
  busy(value: boolean): void {
    this.handle?.busy(value);
  }

  /**
   * The endpoint could not be connected to. Settles when it is to be tried again, after a pause, or `endpoint` has become another one.
   * @throws CodedError ERR_CONNECT when no attempt is left, what `Pool.assign` throws, or the reason of `signal`; the place is released then
   */
  retry(cause: unknown, signal: AbortSignal): Promise<void> {
    this.isConnected = false;
    return this.#host.retry(this, cause, signal);
  }

  /** The connection stands. */
  connected(connectMs: number): void {
    this.isConnected = true;
    this.server?.stats.connectMs.add(connectMs);
    this.server?.observe('connected');
    this.#host.stats.connectMs.add(connectMs);
  }

  /**
   * Says who ends its session; null: nobody. An object, and not a function that is made for it: V8 puts a function that is assigned to a property into the old
   * generation at once, and with it stays, until the next full collection, all that it refers to.
   */
  ends(session: Cuttable | null): void {
    this.cuttable = session;
  }

  /** Says what ends an attempt to connect. */
  connects(giveUp: () => void): void {
    this.giveUp = giveUp;
  }

  /** An HTTP answer came. */
  response(status: number): void {
    if (this.server !== null) countResponse(this.server.stats, status);
    this.server?.observe(observedStatus(status));
    countResponse(this.#host.stats, status);
  }

  /** What the answer is, where there is none that could be used. */
  failed(how: Observation): void {
    this.server?.observe(how);
  }

  /** Gives the place to the next one; a second time nothing happens. */
  release(end: SessionEnd): void {
    this.#host.release(this, end);
  }

  /** No attempt on that server will be made any more. */
  bury(server: AssignedServer): void {
    this.dead = new Set([...this.dead, server]);
  }
}
