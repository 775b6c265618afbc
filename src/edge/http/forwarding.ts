/**
 * The server's side of an exchange: gets a server and a connection, sends the request, and hears the answer. Tries again where nothing
 * was understood yet: connections that cannot be made, and what `retry-on` names for requests that can be sent twice.
 */
import type {ServerConfig} from '../../config/proxy-value.ts';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {AssignedServer, AssignRequest, Outcome} from './assignment.ts';
import type {HttpParts} from './http-parts.ts';
import type {BodyLength, Header, RequestHead, ResponseEvents, ResponseHead, ServerFailure, ServerStream, Tunnel} from './message.ts';
import type {Transaction} from './transaction.ts';

/** What the exchange hears. After `failed`, `brokenOff`, `answerEnd` or `switched` nothing more. */
export interface ForwardingEvents {
  /** The request's body may flow, from its beginning. */
  sendBody(stream: ServerStream): void;
  informational(head: ResponseHead): void;
  answered(head: ResponseHead, length: BodyLength): void;
  answerData(chunk: Buffer): void;
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
  readonly request: Omit<AssignRequest, 'avoid'>;
  readonly length: BodyLength;
  readonly upgrade: boolean;
  /** The whole body is here, or there is none. */
  readonly isReplayable: () => boolean;
}

/** An app that was woken a moment ago may refuse once more. */
const appRetryDelaysMs = [0, 5, 20, 50, 100] as const;
const retryDelayMs = 1000;
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export class Forwarding implements ResponseEvents {
  readonly #options: ForwardingOptions;
  readonly #transaction: Transaction;
  #assigned: AssignedServer | null = null;
  #stream: ServerStream | null = null;
  #dialling: {cancel(): void} | null = null;
  #attempts = 0;
  #isAnswered = false;
  #isOver = false;
  #mustBeNew = false;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#transaction = options.transaction;
  }

  get server(): ServerConfig | null {
    return this.#assigned?.server ?? null;
  }

  get isConnected(): boolean {
    return this.#stream !== null;
  }

  get isAssigned(): boolean {
    return this.#assigned !== null;
  }

  start(): void {
    this.#assign(null);
  }

  /** Gives everything up; no event follows. */
  abort(outcome: Outcome): void {
    if (this.#isOver) return;
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
    const {request, parts} = this.#options;
    const asked: AssignRequest = {
      context: request.context,
      backend: request.backend,
      designated: avoid === null ? request.designated : null,
      persistent: avoid === null ? request.persistent : null,
      avoid,
      trigger: request.trigger,
      get signal() {
        return request.signal;
      },
    };
    let assigned: AssignedServer | Promise<AssignedServer>;
    try {
      assigned = parts.assignment.assign(asked);
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
    const {parts, request} = this.#options;
    const transaction = this.#transaction;
    const {server, endpoint} = assigned;
    transaction.assignedAtMs ||= parts.clock.monotonicMs();
    transaction.server = server.name;
    transaction.serverAddress = endpoint.kind === 'address' ? {host: endpoint.host, port: endpoint.port} : {host: 'unix', port: 0};
    this.#dialling = parts.pool.acquire(
      {
        server,
        endpoint,
        backend: request.backend,
        context: transaction,
        session: transaction.session,
        isFirst: transaction.incoming.index === 0,
        mustBeNew: this.#mustBeNew || this.#options.upgrade,
        timeoutMs: transaction.timeouts.server ?? request.backend.serverTimeoutMs,
        events: this,
      },
      {
        acquired: (stream, local) => {
          transaction.backendSource = local;
          this.#send(stream);
        },
        failed: (error) => this.#connectFailed(error),
      },
    );
  }

  #connectFailed(error: CodedError): void {
    const {parts, request} = this.#options;
    const {retryOn, retries} = request.backend;
    this.#dialling = null;
    const mayRetry = retryOn.includes('conn-failure') || retryOn.includes('all-retryable-errors');
    const isApp = this.#assigned?.server.target.kind === 'app';
    const limit = isApp ? Math.max(retries, appRetryDelaysMs.length) : retries;
    if (mayRetry && this.#attempts < limit) {
      this.#retry(isApp ? (appRetryDelaysMs[this.#attempts] ?? retryDelayMs) : Math.min(retryDelayMs, request.backend.connectTimeoutMs));
      return;
    }
    parts.counters.connectFailures++;
    const isTimeout = errorMessage(error).includes('no answer within');
    this.#fail({status: 503, termination: isTimeout ? 'sC' : 'SC', error}, 'connect-failed');
  }

  /** The same server after `delayMs`, or another one at once where `option redispatch` says so. */
  #retry(delayMs: number): void {
    const {request, parts} = this.#options;
    const {redispatch, retries} = request.backend;
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

  #send(stream: ServerStream): void {
    const {request, events, parts, length, upgrade} = this.#options;
    this.#dialling = null;
    this.#stream = stream;
    this.#transaction.connectedAtMs = parts.clock.monotonicMs();
    const head: RequestHead = this.#transaction.request;
    stream.head(head, length, {upgrade, close: request.backend.connectionMode !== 'keep-alive'});
    events.sendBody(stream);
  }

  responseInformational(head: ResponseHead): void {
    this.#options.events.informational(head);
  }

  responseHead(head: ResponseHead, length: BodyLength): void {
    const {parts, request} = this.#options;
    if (request.backend.retryOn.includes(String(head.status)) && this.#mayRepeat()) {
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
    if (isDead && !this.#mustBeNew && idempotent.has(method) && this.#options.isReplayable()) {
      // The server had closed the connection that was to be used again: it has seen nothing of this request.
      this.#mustBeNew = true;
      if (this.#assigned !== null) this.#connect(this.#assigned);
      return;
    }
    const reasons = {empty: 'empty-response', junk: 'junk-response', cut: 'empty-response', timeout: 'response-timeout'} as const;
    const {retryOn} = this.#options.request.backend;
    if ((retryOn.includes(reasons[failure.kind]) || retryOn.includes('all-retryable-errors')) && this.#mayRepeat()) {
      this.#retry(0);
      return;
    }
    const isTimeout = failure.kind === 'timeout';
    const error = new CodedError('ERR_BAD_RESPONSE', `Cannot use the answer of server "${this.#transaction.server ?? ''}": ${failure.reason}`, {source: 'server'});
    this.#fail({status: isTimeout ? 504 : 502, termination: isTimeout ? 'sH' : failure.kind === 'junk' ? 'PH' : 'SH', error}, 'response-failed');
  }

  #mayRepeat(): boolean {
    return this.#attempts < this.#options.request.backend.retries && this.#options.isReplayable();
  }
}
