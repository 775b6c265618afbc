/** One request and its answer: what is known about them, as expressions, rules and the log ask. */
import type {TrackCounters} from '../../config/rules.ts';
import type {ConnectionFacts, Surroundings} from '../samples/context.ts';
import type {IncomingRequest} from './h1-client-connection.ts';
import {headerOf, type RequestHead, type ResponseHead} from './message.ts';
import {errorPage, type HttpBackendProxy, type HttpFrontendProxy} from './proxies.ts';
import type {LocalReply} from './reply.ts';
import type {RuleSubject} from './rule-subject.ts';
import type {RequestRecord} from './session-record.ts';
import {TransactionVariables, type VariableStore} from './variables.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What requests of one client connection share. */
export interface ClientSession {
  readonly facts: ConnectionFacts;
  readonly acceptedMs: number;
  readonly handshakeMs: number;
  readonly variables: VariableStore;
}

export interface TransactionParts {
  readonly frontend: HttpFrontendProxy;
  readonly session: ClientSession;
  readonly surroundings: Surroundings;
  readonly processVariables: VariableStore;
  readonly track: (action: TrackCounters, transaction: Transaction) => void;
}

const nothing = new Uint8Array(0);
let requestCount = 0;

export class Transaction implements RuleSubject {
  readonly payload = nothing;
  readonly inspectionEnded = true;
  readonly session: ClientSession;
  readonly connection: ConnectionFacts;
  readonly surroundings: Surroundings;
  readonly frontend: HttpFrontendProxy;
  readonly request: RequestHead & {body: Uint8Array | null};
  readonly received: {readonly method: string; readonly uri: string; readonly version: string};
  readonly incoming: IncomingRequest;
  readonly captures: (string | null)[];
  readonly timeouts: {client: number | null; server: number | null; tunnel: number | null} = {client: null, server: null, tunnel: null};
  readonly #parts: TransactionParts;
  readonly #number: number;
  #variables: TransactionVariables | null = null;
  response: ResponseHead | null = null;
  backend: HttpBackendProxy | null = null;
  logLevel: string | null = null;
  uniqueId: string | null = null;
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
  cookieFlags = '--';
  requestCookie: string | null = null;
  responseCookie: string | null = null;
  #termination = '--';

  constructor(parts: TransactionParts, incoming: IncomingRequest, nowMs: number) {
    const {head} = incoming;
    this.#parts = parts;
    this.#number = ++requestCount;
    this.session = parts.session;
    this.connection = parts.session.facts;
    this.surroundings = parts.surroundings;
    this.frontend = parts.frontend;
    this.incoming = incoming;
    this.headAtMs = nowMs;
    this.request = {method: head.method, uri: head.uri, version: head.version, headers: head.headers, body: null};
    this.received = {method: head.method, uri: head.uri, version: head.version};
    const {captures} = parts.frontend.config;
    this.captures = captures.length === 0 ? [] : new Array<string | null>(captures.length).fill(null);
  }

  get variables(): TransactionVariables {
    this.#variables ??= new TransactionVariables({session: this.session.variables, process: this.#parts.processVariables});
    return this.#variables;
  }

  /** The answer begins: what lived as long as the request is forgotten. */
  endRequest(): void {
    this.#variables?.endRequest();
  }

  readonly errorPage = (status: number): LocalReply => errorPage(status, this.frontend, this.backend);

  track(action: TrackCounters): void {
    this.#parts.track(action, this);
  }

  /** Fills the slots of `capture request header` or `capture response header`. */
  captureFields(of: 'request' | 'response'): void {
    for (const capture of this.frontend.captures) {
      if (capture.of !== of) continue;
      const headers = of === 'request' ? this.request.headers : (this.response?.headers ?? []);
      this.captures[capture.slot] = headerOf(headers, capture.header)?.slice(0, capture.length) ?? null;
    }
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

  record(nowMs: number, wallMs: number): RequestRecord {
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
      backend: this.backend?.config.name ?? null,
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
      retries: this.retries,
      redispatched: this.redispatched,
      logLevel: this.logLevel,
      reason: this.reason,
    };
  }
}
