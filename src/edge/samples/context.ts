/**
 * What sample expressions may ask about. Whoever evaluates one (a rule, a log line) gives what is known at that moment; what is not known is
 * null, and a fetch that needs it finds nothing.
 */
import type {FrontendConfig} from '../../config/proxy-value.ts';

/** What a fetch or converter yields; null: nothing was found. Addresses are texts in their canonical form. */
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
    readonly subject: string;
    readonly issuer: string;
    readonly fingerprintSha1: string;
    readonly der: Uint8Array;
    readonly verified: number;
  } | null;
}

export interface ConnectionFacts {
  readonly protocol: 'tcp' | 'udp';
  readonly frontend: FrontendConfig;
  /** After PROXY header and `set-src`. */
  source: {host: string; port: number};
  destination: {host: string; port: number};
  readonly receivedProxy: boolean;
  readonly tls: TlsFacts | null;
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
}

export interface ResponseFacts {
  status: number;
  reason: string;
  readonly version: string;
  headers: HeaderFields;
}

/** `txn.name` and so on; each scope lives as long as what it is of. */
export interface Variables {
  get(name: string): SampleValue;
  set(name: string, value: SampleValue): void;
  unset(name: string): void;
}

/** What expressions ask about the rest of the gateway. */
export interface Surroundings {
  /** How many servers of a backend can be used; null: there is no such backend. `''`: the backend of this session. */
  usableServers(backend: string): number | null;
  isServerUp(backend: string, server: string): boolean | null;
  backendSessions(backend: string): number | null;
  frontendSessions(frontend: string): number | null;
  /** The groups of a user whose password is right; null when it is not, or there is no such list. */
  authenticate(userlist: string, user: string, password: string): readonly string[] | null;
  /** Of a stick table; null: there is no such table or entry. @param what `http_req_rate`, `conn_cur`, ... */
  tableValue(table: string, key: SampleValue, what: string): number | null;
  tableSize(table: string): number | null;
  /** Of the entry that this session tracks under that number. */
  trackedValue(counter: number, what: string): number | null;
}

export interface SampleContext {
  readonly connection: ConnectionFacts;
  /** The first bytes of a stream as far as they are here, or a datagram. */
  readonly payload: Uint8Array;
  /** No more bytes will come before a verdict is needed: what is undecided now is false. */
  readonly inspectionEnded: boolean;
  readonly request: RequestFacts | null;
  readonly response: ResponseFacts | null;
  readonly variables: Variables;
  /** By slot, as `capture` has taken them. */
  readonly captures: readonly (string | null)[];
  readonly surroundings: Surroundings;
}
