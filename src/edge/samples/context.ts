/**
 * What sample expressions may ask about. Whoever evaluates one (a rule, a log line) gives what is known at that moment; what is not known is
 * null, and a fetch that needs it finds nothing.
 */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Counters} from '../counters.ts';
import type {SessionRecord} from '../logs/session-record.ts';

/**
 * What a fetch or converter yields; null: nothing was found. Addresses are texts in their canonical form. Texts are strings of bytes: each
 * character is one byte, as Node gives header fields (`latin1`), and what a format yields is written so again.
 */
export type SampleValue =
  | {readonly type: 'str'; readonly value: string}
  | {readonly type: 'bin'; readonly value: Uint8Array}
  | {readonly type: 'int'; readonly value: number}
  | {readonly type: 'bool'; readonly value: boolean}
  | {readonly type: 'ip'; readonly value: string}
  | {readonly type: 'method'; readonly value: string}
  | null;

export interface TlsFacts {
  readonly version: string;
  readonly cipher: string;
  readonly sni: string | null;
  readonly alpn: string | null;
  readonly resumed: boolean;
  /** Null when the client sent none. `verified` is 0 for a good one, else OpenSSL's number of the error. */
  readonly client: {
    /** `/C=FR/O=Example/CN=name`, as is `issuer`. */
    readonly subject: string;
    readonly issuer: string;
    readonly fingerprintSha1: string;
    readonly der: Uint8Array;
    readonly verified: number;
  } | null;
}

/** Why a connection has not become a session. */
export interface ConnectionFailure {
  /** HAProxy's number and text for it. */
  readonly code: number;
  readonly text: string;
  /** Its bind is one with TLS. */
  readonly overTls: boolean;
  /** The client has left, or has said nothing. */
  readonly isEmpty: boolean;
  readonly isTimeout: boolean;
}

export interface ConnectionFacts {
  readonly protocol: 'tcp' | 'udp';
  readonly frontend: FrontendConfig;
  /** After PROXY header and `set-src`. */
  source: {host: string; port: number};
  destination: {host: string; port: number};
  /** Those of the connection, where a rule has changed them for a session or a request only. */
  received?:
    | {readonly source: {readonly host: string; readonly port: number}; readonly destination: {readonly host: string; readonly port: number}}
    | undefined;
  /** What the proxy in front said beyond addresses. */
  readonly header?: {readonly authority: string | null; readonly uniqueId: Uint8Array | null} | null;
  readonly receivedProxy: boolean;
  readonly tls: TlsFacts | null;
  readonly failure?: ConnectionFailure | null;
  /** Of its bind, with `option socket-stats`. */
  readonly listener?: Counters | null;
  readonly acceptedAtMs: number;
  /** Unique on this host while it runs. */
  readonly id: number;
}

/** Names as they were sent, in order; looked up without regard to case. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

export interface RequestFacts {
  method: string;
  /** As in the request line: a path with its query, or `http://host/path`, `host:port`, `*`. */
  uri: string;
  /** `1.0`, `1.1`, `2.0` */
  readonly version: string;
  headers: HeaderFields;
  /** As much of the body as was waited for. */
  readonly body: Uint8Array | null;
  /** Of its connection. */
  readonly isFirst?: boolean;
}

export interface ResponseFacts {
  status: number;
  reason: string;
  readonly version: string;
  headers: HeaderFields;
  /** As much of the body as was waited for, or has come of it in a health check. Empty: there is none. */
  readonly body?: Uint8Array | null;
}

/** `txn.name` and so on; each scope lives as long as what it is of. */
export interface Variables {
  get(name: string): SampleValue;
  /** False: it was not kept. */
  set(name: string, value: SampleValue): boolean;
  unset(name: string): void;
}

/** What expressions ask about the rest of the gateway. */
/** What a backend or a server has to do: sessions now, those that wait in its queue, and new ones in the last second. */
export interface Load {
  readonly sessions: number;
  readonly queued: number;
  readonly sessionRate: number;
}

export type FrontendLoad = Omit<Load, 'queued'>;

export interface Surroundings {
  /** How many servers of a backend can be used; null: there is no such backend. `''`: the backend of this session. */
  usableServers(backend: string): number | null;
  isServerUp(backend: string, server: string): boolean | null;
  backendLoad(backend: string): Load | null;
  serverLoad(backend: string, server: string): Load | null;
  frontendLoad(frontend: string): FrontendLoad | null;
  /** The groups of a user whose password is right; null when it is not, or there is no such list. */
  authenticate(userlist: string, user: string, password: string): readonly string[] | null;
  /**
   * Of a stick table (`''`: that of the proxy whose rule asks); 0 where it has no such entry; null: there is no such table, it does not store that,
   * or what it is asked about can be no key of it.
   * @param what `http_req_rate`, `conn_cur`, `gpc0`, `gpc[2]`, ...; `in_table`: 1 when there is an entry; `inc_gpc0`, `clr_gpc[2]`, ... change the
   *   entry and make one where there is none
   */
  tableValue(table: string, key: SampleValue, what: string): number | null;
  tableSize(table: string): number | null;
  /** Of the entry that this session tracks under that number; `tracked`: 1 when there is one. */
  trackedValue(counter: number, what: string): number | null;
  /** Sets a tag of that entry, `gpt0` or `gpt[1]`. False: there is none, or its table does not store that. */
  tagTracked(counter: number, what: string, value: number): boolean;
}

export interface SampleContext {
  readonly connection: ConnectionFacts;
  /** The first bytes of a stream as far as they are here, or a datagram. */
  readonly payload: Uint8Array;
  /** No more bytes will come before a verdict is needed: what is undecided now is false. */
  readonly inspectionEnded: boolean;
  /**
   * Told by the evaluator, never by who made the context. After a condition: whether more payload could still change what it is; then the
   * rule waits, and so do those after it (HAProxy's `inspect-delay`). After an expression or a format: set when a fetch in it could find
   * something else in more payload, and otherwise left as it was. Never set once `inspectionEnded`.
   */
  undecided?: boolean;
  /** The first bytes from the server, where rules ask about them. */
  readonly responsePayload?: Uint8Array;
  /** Where the session goes, once that is known. */
  readonly backend?: string | null;
  readonly server?: string | null;
  /** Made by the frontend's `unique-id-format`. */
  readonly uniqueId?: string | null;
  /** What log lines tell; there are rules that ask for parts of it too. */
  readonly record?: SessionRecord | null;
  readonly request: RequestFacts | null;
  readonly response: ResponseFacts | null;
  readonly variables: Variables;
  /** By slot, as `capture` has taken them. */
  readonly captures: readonly (string | null)[];
  readonly surroundings: Surroundings;
}
