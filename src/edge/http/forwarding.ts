/**
 * The server's side of an exchange: gets a server and a connection, sends the request, and hears the answer. Tries again where nothing
 * was understood yet: connections that cannot be made, and what `retry-on` names for requests that can be sent twice.
 */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {AssignedServer, AssignRequest, AssignTrigger, Outcome} from './assignment.ts';
import type {HttpParts} from './http-parts.ts';
import type {BodyLength, Header, ResponseEvents, ResponseHead, ServerFailure, ServerStream, Tunnel} from './message.ts';
import type {RequestBody} from './request-body.ts';
import type {RequestPlan} from './request-plan.ts';
import type {AcquireRequest} from './server-pool.ts';
import type {ClientSession, Endpoint, Transaction} from './transaction.ts';

/** What the exchange hears. After `failed`, `brokenOff`, `answerEnd` or `switched` nothing more. */
export interface ForwardingEvents {
  informational(head: ResponseHead): void;
  answered(head: ResponseHead, length: BodyLength): void;
  answerData(chunk: Buffer): void;
  /** There is no more at this moment. */
  answerPaused(): void;
  answerEnd(trailers: readonly Header[] | null): void;
  serverDrained(): void;
  switched(head: ResponseHead, tunnel: Tunnel): void;
  failed(failure: ForwardingFailure): void;
  /** The answer has begun, but will not be complete. */
  brokenOff(termination: string, reason: string): void;
}

export interface ForwardingFailure {
  readonly status: number;
  readonly termination: string;
  readonly error: unknown;
}

export interface ForwardingOptions {
  readonly transaction: Transaction;
  readonly parts: HttpParts;
  readonly events: ForwardingEvents;
  readonly backend: BackendConfig;
  readonly plan: RequestPlan;
  readonly body: RequestBody;
}

/** An app that was woken a moment ago may refuse once more. */
const appRetryDelaysMs = [0, 5, 20, 50, 100] as const;
const retryDelayMs = 1000;
const unixAddress = {host: 'unix', port: 0};
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export class Forwarding implements ResponseEvents, AssignRequest, AcquireRequest {
  readonly #options: ForwardingOptions;
  readonly #transaction: Transaction;
  #assigned: AssignedServer | null = null;
  #stream: ServerStream | null = null;
  #dialling: {cancel(): void} | null = null;
  #attempts = 0;
  #isAnswered = false;
  #isOver = false;
  #abort: AbortController | null = null;
  // What assignment and pool ask: this object is their request, so that none has to be made.
  readonly backend: BackendConfig;
  readonly context: Transaction;
  readonly events = this;
  designated: ServerConfig | null;
  persistent: ServerConfig | null;
  avoid: ServerConfig | null = null;
  mustBeNew: boolean;
  readonly mayTunnel: boolean;

  constructor(options: ForwardingOptions) {
    const {plan, transaction} = options;
    this.#options = options;
    this.#transaction = transaction;
    this.backend = options.backend;
    this.context = transaction;
    this.designated = plan.designated;
    this.persistent = plan.finding?.server ?? null;
    this.mayTunnel = plan.upgrade || transaction.request.method === 'CONNECT';
    this.mustBeNew = this.mayTunnel;
  }

  get trigger(): AssignTrigger {
    const {connection, request} = this.#transaction;
    return {
      source: connection.source.host,
      listenerPort: connection.destination.port,
      sni: connection.tls?.sni ?? null,
      method: request.method,
      path: request.uri,
    };
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  get session(): ClientSession {
    return this.#transaction.session;
  }

  get isFirst(): boolean {
    return this.#transaction.incoming.index === 0;
  }

  get timeoutMs(): number {
    return this.#transaction.timeouts.server ?? this.backend.serverTimeoutMs;
  }

  get assigned(): AssignedServer | null {
    return this.#assigned;
  }

  get isConnected(): boolean {
    return this.#stream !== null;
  }

  start(): void {
    this.#assign(null);
  }

  /** Gives everything up; no event follows. */
  abort(outcome: Outcome): void {
    if (this.#isOver) return;
    if (outcome === 'aborted') this.#abort?.abort(new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
    this.#dialling?.cancel();
    this.#stream?.abort();
    this.#end(outcome);
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  #end(outcome: Outcome): void {
    this.#isOver = true;
    this.#stream = null;
    this.#dialling = null;
    this.#assigned?.release(outcome);
    this.#assigned = null;
  }

  #fail(failure: ForwardingFailure, outcome: Outcome): void {
    this.#end(outcome);
    this.#options.events.failed(failure);
  }

  #assign(avoid: ServerConfig | null): void {
    const {parts} = this.#options;
    if (avoid !== null) {
      this.avoid = avoid;
      this.designated = null;
      this.persistent = null;
    }
    let assigned: AssignedServer | Promise<AssignedServer>;
    try {
      assigned = parts.assignment.assign(this);
    } catch (error) {
      this.#unassigned(error);
      return;
    }
    if (!(assigned instanceof Promise)) {
      this.#connect(assigned);
      return;
    }
    parts.counters.waiting++;
    void assigned.then(
      (server) => {
        parts.counters.waiting--;
        if (this.#isOver) server.release('aborted');
        else this.#connect(server);
      },
      (error: unknown) => {
        parts.counters.waiting--;
        if (!this.#isOver) this.#unassigned(error);
      },
    );
  }

  #unassigned(error: unknown): void {
    const code = errorCode(error);
    const {counters} = this.#options.parts;
    if (code === 'ERR_QUEUE_FULL') counters.refused++;
    else if (code !== 'ERR_NO_SERVER') counters.wakeFailures++;
    const isQueue = code === 'ERR_QUEUE_FULL' || code === 'ERR_QUEUE_TIMEOUT';
    this.#fail({status: 503, termination: code === 'ERR_QUEUE_TIMEOUT' ? 'sQ' : isQueue ? 'SQ' : 'SC', error}, 'connect-failed');
  }

  #connect(assigned: AssignedServer): void {
    this.#assigned = assigned;
    const {parts} = this.#options;
    const transaction = this.#transaction;
    const {server, endpoint} = assigned;
    if (transaction.assignedAtMs === 0) transaction.assignedAtMs = parts.clock.monotonicMs();
    transaction.server = server.name;
    transaction.serverAddress = endpoint.kind === 'address' ? endpoint : unixAddress;
    this.#dialling = parts.pool.acquire(this, assigned, this);
  }

  /** Of the pool. */
  acquired(stream: ServerStream, local: Endpoint | null): void {
    const {plan, body, parts} = this.#options;
    this.#transaction.backendSource = local;
    this.#dialling = null;
    this.#stream = stream;
    this.#transaction.connectedAtMs = parts.clock.monotonicMs();
    stream.head(this.#transaction.request, this.#transaction.incoming.length, {upgrade: plan.upgrade, close: this.backend.connectionMode !== 'keep-alive'});
    body.sendTo(stream);
  }

  /** Of the pool. */
  connectFailed(error: CodedError): void {
    const {parts} = this.#options;
    const {retryOn, retries} = this.backend;
    this.#dialling = null;
    const mayRetry = retryOn.includes('conn-failure') || retryOn.includes('all-retryable-errors');
    const isApp = this.#assigned?.server.target.kind === 'app';
    const limit = isApp ? Math.max(retries, appRetryDelaysMs.length) : retries;
    if (mayRetry && this.#attempts < limit) {
      this.#retry(isApp ? (appRetryDelaysMs[this.#attempts] ?? retryDelayMs) : Math.min(retryDelayMs, this.backend.connectTimeoutMs));
      return;
    }
    parts.counters.connectFailures++;
    const isTimeout = errorMessage(error).includes('no answer within');
    this.#fail({status: 503, termination: isTimeout ? 'sC' : 'SC', error}, 'connect-failed');
  }

  /** The same server after `delayMs`, or another one at once where `option redispatch` says so. */
  #retry(delayMs: number): void {
    const {parts} = this.#options;
    const {redispatch, retries} = this.backend;
    const attempt = ++this.#attempts;
    this.#transaction.retries = attempt;
    this.#stream = null;
    const assigned = this.#assigned;
    if (assigned === null) return;
    if (redispatch !== null && (redispatch === 0 ? attempt >= retries : attempt % redispatch === 0)) {
      this.#assigned = null;
      this.#transaction.redispatched = true;
      assigned.release('connect-failed');
      this.#assign(assigned.server);
      return;
    }
    const cancel = parts.clock.after(delayMs, () => this.#connect(assigned));
    this.#dialling = {cancel};
  }

  responseInformational(head: ResponseHead): void {
    this.#options.events.informational(head);
  }

  responseHead(head: ResponseHead, length: BodyLength): void {
    const {parts} = this.#options;
    if (this.backend.retryOn.includes(String(head.status)) && this.#mayRepeat()) {
      this.#stream?.abort();
      this.#retry(0);
      return;
    }
    this.#isAnswered = true;
    this.#transaction.answeredAtMs = parts.clock.monotonicMs();
    this.#options.events.answered(head, length);
  }

  responseData(chunk: Buffer): void {
    if (!this.#isOver) this.#options.events.answerData(chunk);
  }

  responsePaused(): void {
    this.#options.events.answerPaused();
  }

  responseEnd(trailers: readonly Header[] | null): void {
    if (this.#isOver) return;
    this.#stream = null;
    this.#end('done');
    this.#options.events.answerEnd(trailers);
  }

  serverDrained(): void {
    this.#options.events.serverDrained();
  }

  responseTunnel(head: ResponseHead, tunnel: Tunnel): void {
    this.#isAnswered = true;
    this.#transaction.answeredAtMs = this.#options.parts.clock.monotonicMs();
    this.#options.events.switched(head, tunnel);
  }

  responseFailed(failure: ServerFailure): void {
    if (this.#isOver) return;
    const isDead = failure.kind === 'empty' && this.#stream?.reused === true;
    this.#stream = null;
    if (this.#isAnswered) {
      this.#end('response-failed');
      this.#options.events.brokenOff(failure.kind === 'timeout' ? 'sD' : 'SD', failure.reason);
      return;
    }
    const {method} = this.#transaction.request;
    if (isDead && !this.mustBeNew && idempotent.has(method) && this.#options.body.isReplayable) {
      // The server had closed the connection that was to be used again: it has seen nothing of this request.
      this.mustBeNew = true;
      if (this.#assigned !== null) this.#connect(this.#assigned);
      return;
    }
    const reasons = {empty: 'empty-response', junk: 'junk-response', cut: 'empty-response', timeout: 'response-timeout'} as const;
    const {retryOn} = this.backend;
    if ((retryOn.includes(reasons[failure.kind]) || retryOn.includes('all-retryable-errors')) && this.#mayRepeat()) {
      this.#retry(0);
      return;
    }
    const isTimeout = failure.kind === 'timeout';
    const error = new CodedError('ERR_BAD_RESPONSE', `Cannot use the answer of server "${this.#transaction.server ?? ''}": ${failure.reason}`, {source: 'server'});
    this.#fail({status: isTimeout ? 504 : 502, termination: isTimeout ? 'sH' : failure.kind === 'junk' ? 'PH' : 'SH', error}, 'response-failed');
  }

  #mayRepeat(): boolean {
    return this.#attempts < this.backend.retries && this.#options.body.isReplayable;
  }
}
