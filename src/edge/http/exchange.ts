/**
 * One request of a client and its answer: rules in HAProxy's order, a backend, a server, and the bodies both ways. Whatever is held
 * here is one piece of a body at most; who is slower slows the other down.
 */
import {errorMessage} from '../../core/errors.ts';
import type {CutCause} from '../cuttable.ts';
import {
  applyAfterResponse,
  applyContentRules,
  applyPersistence,
  applyResponseRules,
  compress,
  heldPage,
  phaseOf,
  sendHead,
  tarpitMs,
  withReason,
} from './answer.ts';
import {AnswerOutput} from './answer-output.ts';
import {type BodyWait, isBuffered, mayNameServer, waitForBody, wholeBody} from './body-wait.ts';
import {Forwarding, type ForwardingEvents} from './forwarding.ts';
import {isBodyless} from './h1-framing.ts';
import {HeldAnswer, type ServerAnswer} from './held-answer.ts';
import type {BackendUse, HttpParts} from './http-parts.ts';
import {LocalAnswer} from './local-answer.ts';
import {type BodyLength, type ClientStream, type Header, headerOf, type RequestEvents, type ResponseHead, type Tunnel} from './message.ts';
import {monitorAnswer} from './monitor-answer.ts';
import type {CookieFinding} from './persistence-cookie.ts';
import type {LocalReply} from './reply.ts';
import {RequestBody} from './request-body.ts';
import {backendFor, planRequest, prepareForServer, type RequestPlan} from './request-plan.ts';
import type {FinalVerdict} from './request-rules.ts';
import type {ResponseWait, RulePlace} from './response-rules.ts';
import {mayPass, rulesOf, type Stage} from './rule-stages.ts';
import {runRequestRules} from './run-request-rules.ts';
import type {LaterReply} from './stats-answer.ts';
import type {Transaction} from './transaction.ts';
import {joinTunnel, switchClient} from './tunnel.ts';
import type {ForwardingFailure} from './unreached.ts';
import {awakeReply, type WaitPage, whenHeld} from './wait-page.ts';

export interface ExchangeOptions {
  readonly parts: HttpParts;
  readonly client: ClientStream;
  readonly transaction: Transaction;
  readonly over: (exchange: Exchange) => void;
}

export class Exchange implements RequestEvents, ForwardingEvents {
  readonly #parts: HttpParts;
  readonly #client: ClientStream;
  readonly #transaction: Transaction;
  readonly #body: RequestBody;
  readonly #local: LocalAnswer;
  readonly #over: (exchange: Exchange) => void;
  #use: BackendUse | null = null;
  #forwarding: Forwarding | null = null;
  #finding: CookieFinding | null = null;
  #cancelDelay: (() => void) | null = null;
  #acceptEncoding: string | null = null;
  /** While rules wait for the body of the answer. */
  #held: HeldAnswer | null = null;
  #output: AnswerOutput | null = null;
  #isAnswered = false;
  #isOver = false;

  constructor({parts, client, transaction, over}: ExchangeOptions) {
    this.#parts = parts;
    this.#over = over;
    this.#client = client;
    this.#transaction = transaction;
    this.#body = new RequestBody(client, transaction.incoming.length, {headers: transaction.request.headers, maxKeptBytes: parts.bufferBytes});
    this.#local = new LocalAnswer({client, transaction, body: this.#body, finish: (termination, reason) => this.#finish(termination, reason)});
    transaction.bytesIn = transaction.incoming.headBytes;
  }

  start(): this {
    this.#transaction.captureFields('request');
    this.#runRules('frontend-content', 0);
    return this;
  }

  /** Goes on with what comes after the rules of the stage when none of them answers. */
  #runRules(stage: Stage, from: number): void {
    const found = runRequestRules(rulesOf(stage, this.#transaction), {from, transaction: this.#transaction, client: this.#client});
    if (found === null) this.#after(stage);
    else if (found.verdict.kind === 'wait-for-body') this.#waitForBody(found.verdict, () => this.#runRules(stage, found.next));
    else this.#decide(found.verdict);
  }

  #after(stage: Stage): void {
    if (!mayPass(stage, this.#transaction)) {
      this.#reply(this.#transaction.errorPage(403), 'PR', 'a field with a name that is not let pass');
      return;
    }
    switch (stage) {
      case 'frontend-content': {
        this.#transaction.makeUniqueId();
        const page = monitorAnswer(this.#transaction);
        if (page === null) this.#buffer(isBuffered(this.#transaction.frontend.config, this.#transaction), () => this.#runRules('frontend', 0));
        else this.#reply(page, 'LR');
        break;
      }
      case 'frontend':
        this.#chooseBackend();
        break;
      case 'backend-content':
        this.#runRules('backend', 0);
        break;
      case 'backend':
        if (this.#use !== null) this.#chooseServer(this.#use);
        break;
      default:
        stage satisfies never;
    }
  }

  #decide(verdict: FinalVerdict): void {
    switch (verdict.kind) {
      case 'reply':
        this.#reply(verdict.reply, verdict.why === 'denied' ? 'PR' : 'LR');
        break;
      case 'tarpit':
        this.#cancelDelay = this.#parts.clock.after(tarpitMs(this.#transaction), () => this.#reply(verdict.reply, 'PT'));
        break;
      case 'use-service':
        this.#answerHere(this.#parts.stats(verdict.service, this.#transaction) ?? this.#transaction.errorPage(503));
        break;
      case 'reject':
      case 'silent-drop':
        this.#client.vanish(verdict.kind);
        this.#finish('PR', null);
        break;
      default:
        verdict satisfies never;
    }
  }

  #waitForBody(wait: BodyWait, then: () => void): void {
    const transaction = this.#transaction;
    const next = (): void => {
      this.#cancelDelay = null;
      then();
    };
    const late = (): void => this.#reply(transaction.errorPage(408), 'cR');
    this.#cancelDelay = waitForBody(wait, {body: this.#body, transaction, clock: this.#parts.clock, next, late}) ?? this.#cancelDelay;
  }

  #buffer(isWanted: boolean, next: () => void): void {
    if (isWanted) this.#waitForBody(wholeBody(this.#transaction), next);
    else next();
  }

  #chooseBackend(): void {
    if (this.#showsStats()) return;
    const transaction = this.#transaction;
    const {probes} = transaction.frontend;
    if (probes !== null) transaction.judgeProbe(probes);
    const use = backendFor(transaction, this.#parts);
    this.#use = use;
    if (use === null) {
      this.#reply(transaction.errorPage(503), 'SC', 'there is no such backend');
      return;
    }
    transaction.destination = use.backend;
    this.#buffer(isBuffered(use.backend.config, transaction), () => this.#runRules('backend-content', 0));
  }

  #showsStats(): boolean {
    const page = (this.#transaction.destination ?? this.#transaction.frontend).config.stats;
    const reply = page === null ? null : this.#parts.stats(page, this.#transaction);
    if (reply !== null) this.#answerHere(reply);
    return reply !== null;
  }

  #answerHere(answer: LocalReply | LaterReply): void {
    this.#local.serve(answer, (reply) => this.#reply(reply, reply.isDenial === true ? 'PR' : 'LR'));
  }

  #chooseServer(use: BackendUse): void {
    if (this.#showsStats()) return;
    const transaction = this.#transaction;
    const plan = planRequest(transaction, use.backend, {parts: this.#parts, held: whenHeld(use.backend.waitPage, transaction, this.#showPage)});
    this.#finding = plan.finding;
    if (plan.redirect !== null) {
      this.#reply(plan.redirect, 'LR');
      return;
    }
    this.#buffer(mayNameServer(use.backend.config.balance, transaction, plan.assign), () => this.#forward(use, plan));
  }

  #forward(use: BackendUse, plan: RequestPlan): void {
    this.#acceptEncoding = headerOf(this.#transaction.request.headers, 'accept-encoding');
    prepareForServer(this.#transaction, use);
    this.#forwarding = new Forwarding({transaction: this.#transaction, parts: this.#parts, events: this, backend: use.backend.config, plan, body: this.#body});
    this.#forwarding.start();
  }

  readonly #showPage = ({afterMs, reply}: WaitPage): void => {
    this.#cancelDelay ??= this.#parts.clock.after(afterMs, () => {
      if (this.#forwarding?.server === null) this.#reply(reply, 'LR', 'the app wakes');
    });
  };

  // The client's side.

  requestData(chunk: Buffer): void {
    this.#transaction.bytesIn += chunk.length;
    if (!this.#isOver) this.#body.data(chunk);
  }

  requestEnd(trailers: readonly Header[] | null): void {
    if (!this.#isOver) this.#body.end(trailers);
  }

  get #hasBegun(): boolean {
    return this.#isAnswered || this.#local.hasBegun;
  }

  requestMalformed(reason: string): void {
    if (this.#hasBegun) this.#breakOff('CD', reason);
    else this.#reply(this.#transaction.errorPage(400), 'PR', reason);
  }

  clientDrained(): void {
    this.#local.drained();
    if (this.#output === null) this.#forwarding?.resume();
    else this.#output.drained();
  }

  clientGone(how: 'closed' | 'half-closed' | 'timeout'): void {
    if (this.#isOver) return;
    const forwarding = this.#forwarding;
    // Who waits for a wake and closes is taken to have left: nobody else may want the app.
    const isHeld = this.#transaction.waking !== null && forwarding?.isConnected !== true;
    if (how === 'half-closed' && !isHeld && this.#use?.backend.config.abortOnClose !== true) return;
    if (how === 'timeout') this.#parts.counters.timeouts++;
    else if (forwarding?.isConnected !== true && !this.#hasBegun) this.#parts.counters.abandoned++;
    if (how === 'timeout' && !this.#hasBegun) this.#reply(this.#transaction.errorPage(408), 'cD');
    else this.#breakOff(`${how === 'timeout' ? 'c' : 'C'}${phaseOf(forwarding, this.#hasBegun)}`, null);
  }

  /** As `Forwarding.cut`, if there is one already. */
  cut(cause: CutCause): void {
    if (this.#forwarding === null) this.#breakOff(`${cause}R`, null);
    else this.#forwarding.cut(cause);
  }

  // The server's side.

  serverDrained(): void {
    this.#body.serverDrained();
  }

  informational(head: ResponseHead): void {
    if (head.status !== 100 || this.#body.expectsContinue) this.#client.informational(withReason(head));
  }

  answered(head: ResponseHead, length: BodyLength): void {
    const transaction = this.#transaction;
    transaction.response = withReason(head);
    if (isBodyless(transaction.received.method, head.status)) head.body = Buffer.alloc(0);
    transaction.endRequest();
    transaction.captureFields('response');
    const refused = applyContentRules(transaction, head);
    if (refused !== null) this.#reply(refused.reply, refused.termination, refused.reason);
    else this.#judgeAnswer({head, length, server: this.#forwarding?.server ?? null});
  }

  /** @param from the rules that come after one that has waited */
  #judgeAnswer(answer: ServerAnswer, from?: RulePlace): void {
    const verdict = applyResponseRules(this.#transaction, answer.head, from);
    if (verdict === null) this.#sendAnswer(answer);
    else if (verdict.kind === 'wait-for-body') this.#waitForAnswer(answer, verdict);
    else this.#reply(verdict.reply, verdict.termination, verdict.reason);
  }

  #waitForAnswer(answer: ServerAnswer, {timeMs, atLeastBytes, next}: ResponseWait): void {
    if (answer.length === 0 || answer.head.body?.length === 0) {
      this.#judgeAnswer(answer, next);
      return;
    }
    this.#cancelDelay?.();
    this.#cancelDelay = this.#parts.clock.after(timeMs, () => this.brokenOff('sD', 'a rule has waited for the body'));
    this.#held ??= new HeldAnswer(this.#parts.bufferBytes);
    this.#held.waitFor(atLeastBytes, (body) => {
      this.#cancelDelay?.();
      answer.head.body = body;
      this.#judgeAnswer(answer, next);
    });
  }

  #sendAnswer({head, length, server}: ServerAnswer): void {
    const transaction = this.#transaction;
    if (this.#client.told(head.status) !== head.status) {
      this.#reply(transaction.errorPage(502), 'PH', 'the server has not switched to the protocol that the client had asked for');
      return;
    }
    applyPersistence(transaction, head, {finding: this.#finding, server, parts: this.#parts});
    const compressor = compress(transaction, this.#acceptEncoding, head, length);
    applyAfterResponse(transaction, head);
    this.#isAnswered = true;
    const bodyless = sendHead(this.#client, transaction, {head, length: compressor === null ? length : null});
    this.#answering();
    const failed = (reason: string): void => this.#breakOff('PD', reason);
    this.#output = new AnswerOutput({client: this.#client, transaction, bodyless, compressor, server: this.#forwarding, failed});
    const held = this.#held;
    this.#held = null;
    held?.giveTo(this);
  }

  #answering(): void {
    const {answering, clock} = this.#parts;
    answering?.(this.#transaction.toRecord(clock.monotonicMs(), clock.nowMs()), this.#transaction);
  }

  answerData(chunk: Buffer): void {
    if (this.#held === null) this.#output?.data(chunk);
    else this.#held.data(chunk);
  }

  answerPaused(): void {
    if (this.#isOver) return;
    this.#client.flush();
    if (this.#transaction.isServerClosed) this.brokenOff('SD', 'a rule has ended the connection to the server');
  }

  answerEnd(trailers: readonly Header[] | null): void {
    if (this.#held === null) this.#output?.end(() => this.#complete(trailers));
    else this.#held.end(trailers);
  }

  #complete(trailers: readonly Header[] | null): void {
    if (this.#isOver) return;
    this.#finish('--', null);
    this.#client.end(trailers);
  }

  switched(head: ResponseHead, server: Tunnel): void {
    const transaction = this.#transaction;
    const client = switchClient(this.#client, transaction, head);
    if ('reply' in client) {
      server.socket.destroy();
      this.#reply(client.reply, client.termination, client.reason);
      return;
    }
    this.#isAnswered = true;
    this.#answering();
    joinTunnel({client, server, transaction, parts: this.#parts, ended: (how) => this.#finish(how, null)});
  }

  failed({status, termination, error}: ForwardingFailure): void {
    this.#reply(heldPage(this.#transaction.errorPage(status), error), termination, errorMessage(error));
  }

  awake(): void {
    this.#reply(awakeReply, 'LR');
  }

  brokenOff(termination: string, reason: string): void {
    if (this.#held !== null && termination === 'sD') this.#reply(this.#transaction.errorPage(504), 'sR', reason);
    else this.#held?.cut();
    if (!this.#isOver) this.#client.flush();
    this.#breakOff(termination, reason);
  }

  /** Answers here. The server, if there is one, is given up. */
  #reply(reply: LocalReply, termination: string, reason: string | null = null): void {
    if (this.#isOver) return;
    const transaction = this.#transaction;
    if (reply.isSilent === true) {
      transaction.status = reply.status;
      this.#breakOff(termination, reason);
      return;
    }
    this.#local.send(reply, termination, reason);
  }

  #breakOff(termination: string, reason: string | null): void {
    if (this.#isOver) return;
    this.#finish(termination, reason);
    this.#client.abort();
  }

  #finish(termination: string, reason: string | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelDelay?.();
    this.#output?.over();
    this.#local.over();
    this.#forwarding?.abort(termination === '--' ? 'done' : 'client-abort');
    const {clock} = this.#parts;
    this.#over(this);
    if (termination !== '--') this.#transaction.end(termination, reason);
    this.#parts.finished(this.#transaction.toRecord(clock.monotonicMs(), clock.nowMs()), this.#transaction);
  }
}
