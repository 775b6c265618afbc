/** Rules of proxies: what is done with a connection, a request, or a response, and when. Data only; src/edge carries them out. */
import type {Position} from './position.ts';
import type {Condition, Format, MatchMethod, SampleExpression} from './sample.ts';

/** Rules are tried in order. A rule without a condition always applies. */
export interface Rule<Action> {
  readonly action: Action;
  readonly condition: Condition | null;
  readonly position: Position;
}

export interface HeaderField {
  readonly name: string;
  readonly value: Format;
}

/** An answer that is made here. */
export interface ReplyAction {
  readonly status: number;
  readonly contentType: string | null;
  /** `file` is read when the configuration is loaded. */
  readonly body:
    | {readonly kind: 'none'}
    /** The page for this status: `errorfile`, `http-error`, or the built-in one. */
    | {readonly kind: 'default'}
    | {readonly kind: 'text'; readonly text: string}
    | {readonly kind: 'format'; readonly format: Format}
    | {readonly kind: 'errorfile'; readonly path: string}
    /** The page of a section `http-errors` for this status; replaced by its file once all sections are read. */
    | {readonly kind: 'errorfiles'; readonly section: string; readonly position: Position};
  readonly headers: readonly HeaderField[];
}

export interface RedirectAction {
  readonly kind: 'redirect';
  readonly to: 'location' | 'prefix' | 'scheme';
  readonly value: Format;
  readonly code: 301 | 302 | 303 | 307 | 308;
  readonly dropQuery: boolean;
  readonly appendSlash: boolean;
  readonly ignoreEmpty: boolean;
  readonly setCookie: string | null;
  readonly clearCookie: string | null;
}

/** About what the variable was (`ifset`, `ifgt`), whether there was one (`ifexists`), and what it is to become (`ifempty`). */
export const variableConditions = ['ifexists', 'ifnotexists', 'ifempty', 'ifnotempty', 'ifset', 'ifnotset', 'ifgt', 'iflt'] as const;
export type VariableCondition = (typeof variableConditions)[number];

/** The scopes of HAProxy: `proc`, `sess`, `txn`, `req`, `res`, and `check` in health checks. */
export interface SetVariable {
  readonly kind: 'set-var';
  /** `txn.name` */
  readonly name: string;
  /** All have to be met. */
  readonly conditions: readonly VariableCondition[];
  readonly value: {readonly kind: 'expression'; readonly expression: SampleExpression} | {readonly kind: 'format'; readonly format: Format};
}

export interface UnsetVariable {
  readonly kind: 'unset-var';
  readonly name: string;
}

export interface TrackCounters {
  readonly kind: 'track';
  /** 0, 1 or 2: of `track-sc0` and so on. */
  readonly counter: number;
  readonly key: SampleExpression;
  /** Of a stick table; null: that of the proxy itself. */
  readonly table: string | null;
}

/** `sc-inc-gpc0(1)`, `sc-inc-gpc(4,1)`, `sc-set-gpt0(1) <value>`: changes the entry that the session tracks under that number, if there is one. */
export type ChangeTracked =
  | {readonly kind: 'count-tracked'; readonly counter: number; readonly what: 'gpc0' | 'gpc1' | `gpc[${number}]`}
  | {readonly kind: 'tag-tracked'; readonly counter: number; readonly what: 'gpt0' | `gpt[${number}]`; readonly value: number | SampleExpression};

/** `set-map(<file>) <key> <value>` and the like: changes what the file was read into, not the file. */
export interface ChangePatterns {
  readonly kind: 'set-map' | 'del-map' | 'add-acl' | 'del-acl';
  /** Absolute. */
  readonly file: string;
  readonly key: Format;
  /** Of `set-map`. */
  readonly value: Format | null;
}

export interface Capture {
  readonly kind: 'capture';
  readonly expression: SampleExpression;
  /** The slot, and how much of it is kept. */
  readonly id: number;
  readonly length: number;
}

/** How headers are named by `del-header`: a name, or a pattern on names. */
export interface HeaderPattern {
  readonly name: string;
  readonly method: MatchMethod;
}

export type HeaderAction =
  | {readonly kind: 'set-header' | 'add-header'; readonly name: string; readonly value: Format}
  | {readonly kind: 'del-header'; readonly pattern: HeaderPattern}
  /** `replace-header` on whole fields, `replace-value` on each comma-separated value. */
  | {readonly kind: 'replace-header' | 'replace-value'; readonly name: string; readonly regex: string; readonly value: Format};

/** Who may see the statistics page. */
export type StatsAction = {readonly kind: 'allow' | 'deny'} | {readonly kind: 'auth' /** Null: that of the page. */; readonly realm: string | null};

export interface WaitForBody {
  readonly kind: 'wait-for-body';
  readonly timeMs: number;
  /** 0: all of it. */
  readonly atLeastBytes: number;
}

export type HttpRequestAction =
  | HeaderAction
  | SetVariable
  | UnsetVariable
  | TrackCounters
  | ChangeTracked
  | ChangePatterns
  | Capture
  | RedirectAction
  | {readonly kind: 'allow' | 'reject' | 'silent-drop'}
  | {readonly kind: 'deny' | 'return' | 'tarpit'; readonly reply: ReplyAction}
  | {readonly kind: 'auth'; readonly realm: string | null}
  | {readonly kind: 'set-method' | 'set-path' | 'set-pathq' | 'set-query' | 'set-uri'; readonly value: Format}
  | {readonly kind: 'replace-path' | 'replace-pathq' | 'replace-uri'; readonly regex: string; readonly value: Format}
  | {readonly kind: 'set-src' | 'set-src-port' | 'set-dst' | 'set-dst-port'; readonly expression: SampleExpression}
  /** Those that follow without a condition are one answer 103 with the one before them. */
  | {readonly kind: 'early-hint'; readonly name: string; readonly value: Format}
  | {readonly kind: 'use-service'; readonly service: 'prometheus-exporter'}
  | {readonly kind: 'set-log-level'; readonly level: string}
  | {readonly kind: 'set-timeout'; readonly which: 'client' | 'server' | 'tunnel'; readonly ms: number}
  | WaitForBody;

export type HttpResponseAction =
  | HeaderAction
  | SetVariable
  | UnsetVariable
  | ChangeTracked
  | ChangePatterns
  | Capture
  | RedirectAction
  | {readonly kind: 'allow'}
  | {readonly kind: 'deny' | 'return'; readonly reply: ReplyAction}
  | {readonly kind: 'set-status'; readonly status: number; readonly reason: string | null}
  | {readonly kind: 'set-log-level'; readonly level: string}
  /** Of `http-response` only. */
  | WaitForBody;

export type TcpRequestAction =
  | {readonly kind: 'accept'}
  | {readonly kind: 'reject' | 'silent-drop'}
  /** Of `tcp-request connection` only: a PROXY header comes first. */
  | {readonly kind: 'expect-proxy'}
  | SetVariable
  | UnsetVariable
  | TrackCounters
  | ChangeTracked
  | Capture
  | {readonly kind: 'set-src' | 'set-src-port' | 'set-dst' | 'set-dst-port'; readonly expression: SampleExpression};

export type TcpResponseAction = {readonly kind: 'accept' | 'reject' | 'close'} | SetVariable | UnsetVariable;

/** `use_backend NAME if ...`: a name of the configuration, or one that is made of the request. */
export interface UseBackend {
  readonly kind: 'use-backend';
  readonly backend: {readonly kind: 'name'; readonly name: string} | {readonly kind: 'format'; readonly format: Format};
}

export interface UseServer {
  readonly kind: 'use-server';
  readonly server: {readonly kind: 'name'; readonly name: string} | {readonly kind: 'format'; readonly format: Format};
}
