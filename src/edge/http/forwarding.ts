/**
 * The server's side of an exchange: gets a server and a connection, sends the request, and hears the answer. Tries again where nothing
 * was understood yet: connections that cannot be made, and what `retry-on` names for requests that can be sent twice.
 */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {CutCause} from '../cuttable.ts';
import type {FollowedApp} from '../probes/http-probes.ts';
import {probeServer} from '../probes/probe-rules.ts';
import {type AssignedServer, isAssigned, type SessionEnd} from './assignment.ts';
import {captureAnswer} from './capture-answer.ts';
import {isBodyless} from './h1-framing.ts';
import type {HttpParts} from './http-parts.ts';
import type {BodyLength, Header, ResponseEvents, ResponseHead, ServerFailure, ServerStream, Tunnel} from './message.ts';
import {withoutHeader} from './message.ts';
import {observedFailure} from './observed-failure.ts';
import type {RequestBody} from './request-body.ts';
import type {RequestPlan} from './request-plan.ts';
import type {AcquireRequest} from './server-pool.ts';
import type {ClientSession, Endpoint, Transaction} from './transaction.ts';
import {type ForwardingFailure, unreached} from './unreached.ts';

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
  /** The page of those who wait has asked, and the app runs now. */
  awake(): void;
  failed(failure: ForwardingFailure): void;
  /** The answer has begun, but will not be complete. */
  brokenOff(termination: string, reason: string): void;
}

export interface ForwardingOptions {
  readonly transaction: Transaction;
  readonly parts: HttpParts;
  readonly events: ForwardingEvents;
  readonly backend: BackendConfig;
  readonly plan: RequestPlan;
  readonly body: RequestBody;
}

const unixAddress = {host: 'unix', port: 0};
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export class Forwarding implements ResponseEvents, AcquireRequest {
  readonly #options: ForwardingOptions;
  readonly #transaction: Transaction;
  /** Aborted when nobody wants the server any more; made when something is waited for. */
  #abort: AbortController | null = null;
  #assigned: AssignedServer | null = null;
  #stream: ServerStream | null = null;
  #dialling: {cancel(): void} | null = null;
  /** Of a health check that an app is asked for. */
  #probed: FollowedApp | null = null;
  #repeats = 0;
  #isAnswered = false;
  /** The connection is the exchange's. */
  #isTunnel = false;
  #isOver = false;
  // What the pool of connections asks: this object is the request, so that none has to be made.
  readonly backend: BackendConfig;
  readonly context: Transaction;
  readonly events = this;
  mustBeNew = false;

  constructor(options: ForwardingOptions) {
    const {transaction} = options;
    this.#options = options;
    this.#transaction = transaction;
    this.backend = options.backend;
    this.context = transaction;
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

  /** Null while none is chosen. */
  get server(): ServerConfig | null {
    return this.#assigned?.server?.config ?? null;
  }

  get isConnected(): boolean {
    return this.#stream !== null;
  }

  start(): void {
    const {parts, plan, body} = this.#options;
    let assigned: AssignedServer | Promise<AssignedServer>;
    try {
      assigned = parts.assignment.assign(this.backend.name, plan.assign, () => this.#signal());
    } catch (error) {
      this.#unreached(error);
      return;
    }
    // Whoever hands over a body has to have begun before it is asked for it.
    if (assigned instanceof Promise || !body.isComplete) this.#wait(Promise.resolve(assigned), (server) => this.#assignedTo(server));
    else this.#assignedTo(assigned);
  }

  #assignedTo(server: AssignedServer): void {
    this.#assigned = server;
    this.#transaction.assignedAtMs = this.#options.parts.clock.monotonicMs();
    this.#connect();
  }

  #signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** Gives everything up; no event follows. */
  abort(outcome: SessionEnd['outcome']): void {
    if (this.#isOver) return;
    if (this.#stream === null) this.#abort?.abort(new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
    this.#letGo();
    this.#end(outcome);
  }

  #letGo(): void {
    this.#dialling?.cancel();
    this.#stream?.abort();
  }

  /** Of the server, which must have no sessions any more. As in HAProxy only a client whose request is complete gets an answer. */
  cut(cause: CutCause): void {
    if (this.#isOver) return;
    const reason = 'the server must have no sessions any more';
    const isAwaited = this.#stream !== null && this.#options.body.isComplete && !this.#isTunnel;
    this.#letGo();
    if (!isAwaited || this.#isAnswered) {
      this.#end('server-abort');
      this.#options.events.brokenOff(`${cause}${isAwaited ? 'D' : '-'}`, reason);
    } else this.#fail({status: 502, termination: `${cause}H`, error: new CodedError('ERR_BAD_RESPONSE', reason, {source: 'server'})});
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  #end(outcome: SessionEnd['outcome']): void {
    const {bytesIn, bytesOut, connectedAtMs, answeredAtMs} = this.#transaction;
    this.#isOver = true;
    this.#probed?.[Symbol.dispose]();
    this.#stream = null;
    this.#dialling = null;
    this.#assigned?.release({outcome, bytesIn, bytesOut, responseMs: answeredAtMs === 0 ? null : answeredAtMs - connectedAtMs});
    this.#assigned = null;
  }

  #fail(failure: ForwardingFailure): void {
    this.#end('server-error');
    this.#options.events.failed(failure);
  }

  /** Goes on with what was waited for, unless the exchange is over. */
  #wait<T>(promise: Promise<T>, then: (value: T) => void): void {
    const {counters} = this.#options.parts;
    counters.waiting++;
    promise.then(
      (value) => {
        counters.waiting--;
        if (!this.#isOver) then(value);
        else if (isAssigned(value)) value.release({outcome: 'client-abort', bytesIn: 0, bytesOut: 0, responseMs: null});
      },
      (error: unknown) => {
        counters.waiting--;
        if (!this.#isOver) this.#unreached(error);
      },
    );
  }

  #unreached(error: unknown): void {
    this.#fail(unreached(error, this.#options.parts.counters));
  }

  #connect(): void {
    const {parts, plan} = this.#options;
    const assigned = this.#assigned;
    const server = this.server;
    if (assigned === null || server === null) return;
    assigned.ends(this);
    const {endpoint, probed} = assigned;
    if (plan.isPagePoll && server.target.kind === 'app') {
      this.#end('done');
      this.#options.events.awake();
      return;
    }
    if (probed !== null && !this.#mayAsk(probed)) return;
    this.#transaction.server = server.name;
    this.#transaction.serverAddress = endpoint.path === null ? endpoint : unixAddress;
    this.#dialling = parts.pool.acquire(this, {server, endpoint}, this);
  }

  /** False: the app sleeps, and is answered for. One that is awake is asked, on a connection that serves nobody else, until it falls asleep. */
  #mayAsk({app, isAwake}: NonNullable<AssignedServer['probed']>): boolean {
    this.#probed?.[Symbol.dispose]();
    this.mustBeNew = true;
    this.#probed = isAwake ? this.#options.parts.probes.follow(app, this.#transaction, () => this.#fellAsleep(app)) : null;
    if (this.#probed === null) this.#answerFor(app);
    return this.#probed !== null;
  }

  #fellAsleep(app: AppName): void {
    if (this.#isOver) return;
    this.#abort?.abort(new CodedError('ERR_ABANDONED', 'The app goes to sleep', {source: 'host'}));
    this.#letGo();
    if (this.#isAnswered) {
      this.#end('server-abort');
      this.#options.events.brokenOff('SD', 'the app goes to sleep');
    } else this.#answerFor(app);
  }

  /** As if the app had answered: rules about answers hold for this one, too. */
  #answerFor(app: AppName): void {
    const {events, parts} = this.#options;
    const transaction = this.#transaction;
    const {head, body, isSilent} = parts.probes.answer(app, transaction);
    this.#stream = null;
    transaction.server = probeServer;
    transaction.serverAddress = null;
    transaction.end('LR');
    if (isSilent) {
      transaction.status = head.status;
      this.#end('done');
      events.brokenOff('LR', 'a health check');
      return;
    }
    events.answered(head, body.length);
    if (this.#isOver) return;
    if (body.length > 0 && !isBodyless(transaction.received.method, head.status)) events.answerData(body);
    this.#end('done');
    events.answerEnd(null);
  }

  /** Of the pool. */
  acquired(stream: ServerStream, local: Endpoint | null): void {
    const {plan, body, parts} = this.#options;
    const transaction = this.#transaction;
    transaction.backendSource = local;
    this.#dialling = null;
    this.#stream = stream;
    transaction.connectedAtMs = parts.clock.monotonicMs();
    this.#assigned?.connected(transaction.connectedAtMs - transaction.assignedAtMs);
    this.#nameServer(transaction);
    stream.head(transaction.request, transaction.incoming.length, {
      upgrade: plan.upgrade,
      close: this.#probed !== null || this.backend.connectionMode !== 'keep-alive',
    });
    body.sendTo(stream);
  }

  /** `http-send-name-header`: of the server that is tried now, whatever the client or an attempt before has sent. */
  #nameServer({request}: Transaction): void {
    const {serverNameHeader} = this.backend;
    if (serverNameHeader === null || this.server === null) return;
    request.headers = [...withoutHeader(request.headers, serverNameHeader), [serverNameHeader, this.server.name]];
  }

  /** Of the pool. */
  connectFailed(error: CodedError<'ERR_CONNECT'>): void {
    this.#dialling = null;
    const {retryOn} = this.backend;
    const assigned = this.#assigned;
    // This may take the server down, which is not to end a request that goes elsewhere, or is answered.
    assigned?.ends(null);
    if (assigned === null || !(retryOn.includes('conn-failure') || retryOn.includes('all-retryable-errors'))) {
      assigned?.failed('unconnected');
      this.#unreached(error);
      return;
    }
    const before = this.server;
    this.#wait(assigned.retry(error.cause, this.#signal()), () => {
      this.#transaction.retries++;
      this.#transaction.redispatched ||= this.server !== before;
      this.#connect();
    });
  }

  /** Sends the same request again. */
  #repeat(): void {
    this.#repeats++;
    this.#transaction.retries++;
    this.#stream = null;
    this.#connect();
  }

  responseInformational(head: ResponseHead): void {
    this.#options.events.informational(head);
  }

  responseHead(head: ResponseHead, length: BodyLength): void {
    const {parts} = this.#options;
    if (this.backend.retryOn.includes(String(head.status)) && this.#mayRepeat()) {
      this.#stream?.abort();
      this.#repeat();
      return;
    }
    this.#isAnswered = true;
    this.#transaction.answeredAtMs = parts.clock.monotonicMs();
    this.#assigned?.response(head.status);
    this.#probed?.head(head);
    this.#stick(head);
    this.#options.events.answered(head, length);
  }

  responseData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#probed?.data(chunk);
    this.#options.events.answerData(chunk);
  }

  responsePaused(): void {
    this.#options.events.answerPaused();
  }

  responseEnd(trailers: readonly Header[] | null): void {
    if (this.#isOver) return;
    this.#probed?.complete();
    this.#end('done');
    this.#options.events.answerEnd(trailers);
  }

  serverDrained(): void {
    this.#options.events.serverDrained();
  }

  responseTunnel(head: ResponseHead, tunnel: Tunnel): void {
    this.#isAnswered = true;
    this.#isTunnel = true;
    this.#transaction.answeredAtMs = this.#options.parts.clock.monotonicMs();
    this.#stick(head);
    this.#options.events.switched(head, tunnel);
  }

  #stick(head: ResponseHead): void {
    const server = this.#assigned?.server ?? null;
    const {stick} = this.#options.plan;
    if (stick === null || server === null || server.config.nonStick) return;
    // Before rules change what was answered.
    this.#transaction.response = head;
    stick(server);
  }

  responseFailed(failure: ServerFailure): void {
    if (this.#isOver) return;
    captureAnswer(failure, this.#transaction, this.#options.parts);
    const isDead = failure.kind === 'empty' && this.#stream?.reused === true;
    this.#stream = null;
    this.#assigned?.ends(null);
    if (this.#isAnswered) {
      if (failure.kind === 'junk') this.#assigned?.failed('bad-body');
      this.#end('server-abort');
      this.#options.events.brokenOff(failure.kind === 'timeout' ? 'sD' : 'SD', failure.reason);
      return;
    }
    if (isDead && !this.mustBeNew && idempotent.has(this.#transaction.request.method) && this.#options.body.isReplayable) {
      // The server had closed the connection that was to be used again: it has seen nothing of this request.
      this.mustBeNew = true;
      this.#connect();
      return;
    }
    const reasons = {empty: 'empty-response', junk: 'junk-response', cut: 'empty-response', timeout: 'response-timeout'} as const;
    const {retryOn} = this.backend;
    if ((retryOn.includes(reasons[failure.kind]) || retryOn.includes('all-retryable-errors')) && this.#mayRepeat()) {
      this.#repeat();
      return;
    }
    this.#assigned?.failed(observedFailure(failure));
    const isTimeout = failure.kind === 'timeout';
    const error = new CodedError('ERR_BAD_RESPONSE', `Cannot use the answer of server "${this.#transaction.server ?? ''}": ${failure.reason}`, {
      source: 'server',
    });
    this.#fail({status: isTimeout ? 504 : 502, termination: isTimeout ? 'sH' : failure.kind === 'junk' ? 'PH' : 'SH', error});
  }

  #mayRepeat(): boolean {
    return this.#repeats < this.backend.retries && this.#options.body.isReplayable;
  }
}
