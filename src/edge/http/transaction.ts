/** One request and its answer: what is known about them, as expressions, rules and the log ask. */
import type {StatsAction} from '../../config/rules.ts';
import type {SessionRecord, SessionWake} from '../logs/session-record.ts';
import {nextRequestNumber} from '../numbers.ts';
import type {ProbeRules} from '../probes/probe-rules.ts';
import type {ConnectionFacts, Surroundings} from '../samples/context.ts';
import type {ScopedVariables} from '../samples/variables.ts';
import type {SessionContext} from '../session/session-context.ts';
import type {StickTable} from '../stick/stick-table.ts';
import {Tracking} from '../stick/tracking.ts';
import {capturedCookie} from './captured-cookie.ts';
import type {IncomingRequest} from './incoming-request.ts';
import {fieldValue, type Header, type RequestHead, type ResponseHead} from './message.ts';
import {errorPage, type HttpBackendProxy, type HttpFrontendProxy} from './proxies.ts';
import type {LocalReply} from './reply.ts';
import type {RuleSubject} from './rule-subject.ts';
import type {RequestRecord} from './session-record.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What requests of one client connection share. */
export interface ClientSession {
  readonly facts: ConnectionFacts;
  readonly acceptedMs: number;
  readonly handshakeMs: number;
  /** Owned by the connection; what it tracks counts for all of its requests. */
  readonly context: SessionContext;
}

export interface TransactionParts {
  readonly frontend: HttpFrontendProxy;
  readonly session: ClientSession;
}

const nothing = new Uint8Array(0);

export class Transaction implements RuleSubject {
  readonly payload = nothing;
  readonly inspectionEnded = true;
  readonly session: ClientSession;
  connection: ConnectionFacts;
  readonly frontend: HttpFrontendProxy;
  readonly request: RequestHead & {body: Uint8Array | null; readonly isFirst: boolean};
  readonly received: {readonly method: string; readonly uri: string; readonly version: string};
  readonly incoming: IncomingRequest;
  readonly captures: (string | null)[];
  readonly timeouts: {client: number | null; server: number | null; tunnel: number | null} = {client: null, server: null, tunnel: null};
  readonly #number: number;
  #variables: ScopedVariables | null = null;
  #surroundings: Surroundings | null = null;
  #tracking: Tracking | null = null;
  response: ResponseHead | null = null;
  /** By a rule: what has come of the server is passed on, and no more. */
  isServerClosed = false;
  /** The backend that was chosen. */
  destination: HttpBackendProxy | null = null;
  /** The rules that say so; null: it is no health check from outside. */
  probe: ProbeRules | null = null;
  logLevel: string | null = null;
  hints: Header[] = [];
  uniqueId: string | null = null;
  /** It has its line already. */
  isLogged = false;
  /** Made for its log line, when it is over or, with `option logasap`, answered. */
  record: SessionRecord | null = null;
  /** Marks of Clock.monotonicMs; 0: not reached. */
  headAtMs: number;
  assignedAtMs = 0;
  connectedAtMs = 0;
  answeredAtMs = 0;
  status = 0;
  bytesIn = 0;
  bytesOut = 0;
  retries = 0;
  redispatched = false;
  server: string | null = null;
  serverAddress: Endpoint | null = null;
  backendSource: Endpoint | null = null;
  reason: string | null = null;
  /** The app that it waited for, since when (Clock.monotonicMs), and what for. */
  waking: {readonly app: string; readonly trigger: string; readonly sinceMs: number} | null = null;
  cookieFlags = '--';
  requestCookie: string | null = null;
  responseCookie: string | null = null;
  #termination = '--';

  constructor(parts: TransactionParts, incoming: IncomingRequest, nowMs: number) {
    const {head} = incoming;
    this.#number = nextRequestNumber();
    this.session = parts.session;
    this.connection = parts.session.facts;
    this.frontend = parts.frontend;
    this.incoming = incoming;
    this.headAtMs = nowMs;
    this.request = {method: head.method, uri: head.uri, version: head.version, headers: head.headers, body: null, isFirst: incoming.index === 0};
    this.received = {method: head.method, uri: head.uri, version: head.version};
    const {captures} = parts.frontend.config;
    this.captures = captures.length === 0 ? [] : new Array<string | null>(captures.length).fill(null);
  }

  get variables(): ScopedVariables {
    this.#variables ??= this.session.context.variables.forRequest();
    return this.#variables;
  }

  /** Whether the client may change things on the statistics page that it asks for. */
  get mayAdminister(): boolean {
    return (this.destination ?? this.frontend).statsAdmins.some((holds) => holds(this));
  }

  /** Whether the client may see the statistics page that it asks for; null: no rule says anything. */
  get statsAction(): StatsAction | null {
    return (this.destination ?? this.frontend).statsRules.find(({holds}) => holds === null || holds(this))?.action ?? null;
  }

  get backend(): string | null {
    return this.destination?.config.name ?? null;
  }

  get surroundings(): Surroundings {
    const {surroundings} = this.session.context;
    const here = (backend: string): string => (backend === '' ? (this.backend ?? '') : backend);
    this.#surroundings ??= {
      ...surroundings,
      usableServers: (backend) => surroundings.usableServers(here(backend)),
      isServerUp: (backend, server) => surroundings.isServerUp(here(backend), server),
      backendLoad: (backend) => surroundings.backendLoad(here(backend)),
      serverLoad: (backend, server) => surroundings.serverLoad(here(backend), server),
      tableValue: (table, key, what) => surroundings.tableValue(table === '' ? (this.backend ?? this.frontend.config.name) : table, key, what),
      tagTracked: (counter, what, value) => this.#tracking?.set(counter, what, value) === true || surroundings.tagTracked(counter, what, value),
      trackedValue: (counter, what) => this.#tracking?.value(counter, what) ?? surroundings.trackedValue(counter, what),
    };
    return this.#surroundings;
  }

  /** The answer begins: what lived as long as the request is forgotten. */
  endRequest(): void {
    this.#variables?.clear('req');
  }

  /** Whether it is a health check, as rules see it now. One with a body is none: the body would have to go somewhere. */
  judgeProbe(rules: ProbeRules): void {
    if (this.probe === null && this.incoming.length === 0 && rules.holds(this)) this.probe = rules;
  }

  readonly errorPage = (status: number): LocalReply => errorPage(status, {frontend: this.frontend, backend: this.destination}, this);

  setAddress(side: 'source' | 'destination', address: Endpoint): void {
    const {facts} = this.session;
    if (this.connection === facts) {
      const {protocol, frontend, source, destination, received = {source, destination}, receivedProxy, tls, header, acceptedAtMs, id} = facts;
      this.connection = {protocol, frontend, source, destination, received, receivedProxy, tls, ...(header === undefined ? {} : {header}), acceptedAtMs, id};
    }
    this.connection[side] = {...address};
  }

  /** Counts under that number from now on, until the request is over. */
  track(counter: number, table: StickTable, key: string): void {
    this.#tracking ??= new Tracking();
    this.#tracking.track(counter, {table, key, of: 'request'});
  }

  /** What is tracked learns how the request went, and is let go. */
  endTracking(): void {
    const trackings = [this.#tracking, this.session.context.isTracked ? this.session.context.tracking : null];
    for (const tracking of trackings) {
      if (tracking === null) continue;
      if (tracking !== this.#tracking) tracking.httpRequest();
      if (this.status >= 400 && this.status < 500) tracking.httpError();
      if (this.status >= 500 && this.status !== 501 && this.status !== 505) tracking.httpFailure();
      tracking.bytesIn(this.bytesIn);
      tracking.bytesOut(this.bytesOut);
    }
    this.#tracking?.[Symbol.dispose]();
    this.#tracking = null;
  }

  /** As `unique-id-format` says. */
  makeUniqueId(): void {
    const {uniqueId} = this.frontend;
    if (uniqueId !== null) this.uniqueId = fieldValue(uniqueId.make(this));
  }

  /** Fills the slots of `capture request header` or `capture response header`. */
  captureFields(of: 'request' | 'response'): void {
    if (of === 'response') this.captureCookie(of);
    for (const capture of this.frontend.captures) {
      if (capture.of !== of) continue;
      const headers = of === 'request' ? this.request.headers : (this.response?.headers ?? []);
      this.captures[capture.slot] = headers.findLast(([name]) => name === capture.header)?.[1].slice(0, capture.length) ?? null;
    }
  }

  /** As `capture cookie` says. */
  captureCookie(of: 'request' | 'response'): void {
    const {cookieCapture} = this.frontend.config;
    if (cookieCapture === null) return;
    if (of === 'request') this.requestCookie = capturedCookie(cookieCapture, this.request.headers, 'cookie');
    else this.responseCookie = capturedCookie(cookieCapture, this.response?.headers ?? [], 'set-cookie');
  }

  /** Who ended it and when, as two letters of the log. The first cause counts. */
  end(termination: string, reason: string | null = null): void {
    if (this.#termination !== '--') return;
    this.#termination = termination;
    this.reason = reason;
  }

  get termination(): string {
    return this.#termination;
  }

  /** It was waited for until there was a server, or to the end. */
  #wake(nowMs: number): SessionWake | null {
    if (this.waking === null) return null;
    const {app, trigger, sinceMs} = this.waking;
    const endMs = [this.assignedAtMs, this.connectedAtMs].find((ms) => ms >= sinceMs) ?? nowMs;
    return {app, trigger, ms: Math.round(endMs - sinceMs)};
  }

  toRecord(nowMs: number, wallMs: number): RequestRecord {
    const {incoming, session} = this;
    const between = (from: number, to: number): number | null => (from === 0 || to === 0 ? null : Math.max(0, Math.round(to - from)));
    return {
      times: {
        acceptedAtMs: session.facts.acceptedAtMs,
        requestAtMs: wallMs - (nowMs - incoming.firstByteMs),
        handshakeMs: session.handshakeMs,
        idleMs: between(incoming.idleSinceMs, incoming.firstByteMs),
        requestMs: between(incoming.firstByteMs, this.headAtMs),
        waitMs: between(this.headAtMs, this.assignedAtMs),
        connectMs: between(this.assignedAtMs, this.connectedAtMs),
        responseMs: between(this.connectedAtMs, this.answeredAtMs),
        activeMs: between(incoming.firstByteMs, nowMs),
        totalMs: between(session.acceptedMs, nowMs),
      },
      requestNumber: this.#number,
      backend: this.destination?.config.name ?? null,
      server: this.server,
      serverAddress: this.serverAddress,
      backendSource: this.backendSource,
      request: this.received,
      status: this.status,
      bytesFromServer: this.bytesOut,
      bytesFromClient: this.bytesIn,
      termination: this.#termination + this.cookieFlags,
      requestCookie: this.requestCookie,
      responseCookie: this.responseCookie,
      wake: this.#wake(nowMs),
      retries: this.retries,
      redispatched: this.redispatched,
      logLevel: this.logLevel,
      reason: this.reason,
    };
  }
}
