/** Health checks of servers, as configured: when, and what they say and expect. */
import type {SetVariable, UnsetVariable} from './rules.ts';
import type {Format, MatchMethod, SampleExpression} from './sample.ts';
import type {TlsServer} from './tls.ts';

/** Where the checks of a server go instead of to its own address; null: there. */
export interface CheckPlace {
  readonly address: string | null;
  readonly port: number | null;
}

export interface CheckSchedule extends CheckPlace {
  readonly intervalMs: number;
  /** While the state is changing; null: as `intervalMs`. */
  readonly fastIntervalMs: number | null;
  /** While the server is down; null: as `intervalMs`. */
  readonly downIntervalMs: number | null;
  /** So many successes in a row bring a server up, so many failures take it down. */
  readonly rise: number;
  readonly fall: number;
  readonly tls: boolean;
  readonly sendProxy: boolean;
  /** The name that is asked for with TLS; null: none. */
  readonly sni: string | null;
  /** What is offered with TLS; null: what the server's traffic offers. */
  readonly alpn: readonly string[] | null;
  /** How checks do TLS where the traffic of the server does not; null: they do none, or do it as the traffic does. */
  readonly tlsClient: TlsServer | null;
}

export const onErrorActions = ['fastinter', 'fail-check', 'sudden-death', 'mark-down'] as const;

/** What traffic tells about the health of a server that is checked anyway (HAProxy manual, `observe`). */
export interface PassiveChecks {
  /** `layer4`: whether connections are made; `layer7`: whether answers can be used, too. */
  readonly layer: 'layer4' | 'layer7';
  /** After so many errors in a row `onError` happens. */
  readonly errorLimit: number;
  readonly onError: (typeof onErrorActions)[number];
}

/** An agent, which is asked for the state of its server (HAProxy manual, `agent-check`). */
export interface AgentCheck {
  /** Null: that of the server. */
  readonly address: string | null;
  readonly port: number;
  readonly intervalMs: number;
  /** What it is sent when the connection stands; may be empty. */
  readonly send: string;
}

/** What an expectation can make of its outcome, by the words of the language. */
export const outcomeStatuses = {
  'ok-status': ['L4OK', 'L6OK', 'L7OK', 'L7OKC'],
  'error-status': ['L4CON', 'L6RSP', 'L7RSP', 'L7STS'],
  'tout-status': ['L4TOUT', 'L6TOUT', 'L7TOUT'],
} as const;

/** How the outcome of an expectation is told (HAProxy manual, `http-check expect`). What is not there is told as usual. */
export interface OutcomeReport {
  /** Of the last one in a check. */
  readonly passedStatus?: (typeof outcomeStatuses)['ok-status'][number];
  readonly failedStatus?: (typeof outcomeStatuses)['error-status'][number];
  readonly lateStatus?: (typeof outcomeStatuses)['tout-status'][number];
  readonly onSuccess?: Format;
  readonly onError?: Format;
  /** The number that is told with the status. */
  readonly code?: SampleExpression;
}

export interface Expectation {
  readonly negated: boolean;
  readonly kind: 'status' | 'string' | 'header' | 'binary';
  readonly method: Extract<MatchMethod, 'str' | 'sub' | 'reg' | 'beg' | 'end'>;
  /** `200`, `200-399`, a text, a pattern, or for a header its value. */
  readonly value: string;
  /** A text that is made anew for each check takes the place of `value`. */
  readonly format?: Format;
  /** For a header: its name, or a text that is made anew. */
  readonly name: string | null;
  readonly nameFormat?: Format;
  /** How that is compared; by default `str`. */
  readonly nameMethod?: Expectation['method'];
  /** The whole value of a header, not each of those between commas. */
  readonly whole?: boolean;
  /** When so many bytes have come they are judged, and no more are waited for. */
  readonly minReceivedBytes?: number;
  readonly report?: OutcomeReport;
  readonly comment: string | null;
}

export type HealthCheck =
  /** A connection is enough. */
  | {readonly kind: 'connect'}
  | {
      readonly kind: 'http';
      /** At least one, each on a connection of its own. */
      readonly exchanges: readonly HttpExchange[];
      /** An answer 404 takes a server out without calling it down. */
      readonly disableOn404: boolean;
    }
  /** `option tcp-check` with its steps, and `smtpchk`, `redis-check` and the like, which are such steps. */
  | {
      readonly kind: 'tcp';
      readonly steps: readonly TcpCheckStep[];
      /** The steps are those of a known protocol, not written by hand: where nothing is said of an outcome, nothing is told. */
      readonly isProtocol?: boolean;
    };

/** How a step connects. */
export interface ConnectStep {
  readonly kind: 'connect';
  /** Instead of where checks of the server go; null: there. */
  readonly address: string | null;
  readonly port: number | null;
  /** What it yields when the step is done counts before `port`, unless it is nothing, or 0. */
  readonly portExpression: SampleExpression | null;
  /** What is not said here is as the line of the server says: TLS, its names, the PROXY header. */
  readonly usesDefaults: boolean;
  readonly tls: boolean;
  readonly sni: string | null;
  readonly alpn: readonly string[] | null;
  readonly sendProxy: boolean;
  /** The connection is ended in order. */
  readonly lingers: boolean;
}

export interface HttpExchange {
  /** Null: as the line of the server says. */
  readonly connect: ConnectStep | null;
  /** Done before it connects. */
  readonly first: readonly VariableStep[];
  /** Done when it is connected. */
  readonly before: readonly VariableStep[];
  /** Null: to connect is enough. */
  readonly request: HttpCheckRequest | null;
  /** Without any expectation: 2xx and 3xx. */
  readonly expect: readonly (Expectation | VariableStep)[];
}

/** Variables of the scopes `check` and `sess` are those of one check. */
export type VariableStep = SetVariable | UnsetVariable;

export interface HttpCheckRequest {
  readonly method: string;
  readonly uri: Format;
  readonly version: string;
  readonly headers: readonly {readonly name: string; readonly value: Format}[];
  readonly body: Format | null;
}

/** An answer is expected that takes more than a pattern to judge. */
export type AnswerStep =
  /** A packet of MySQL, from 0, that tells no error; the last one a check waits for tells the version that the first one says. */
  | {readonly kind: 'mysql-packet'; readonly index: number; readonly isLast: boolean}
  /** RFC 4511: the answer to a bind, which has succeeded. */
  | {readonly kind: 'ldap-bind'};

export type TcpCheckStep =
  | ConnectStep
  | {readonly kind: 'send'; readonly data: Uint8Array}
  /** What the format yields is sent; `hex`: the bytes whose pairs of digits it yields. */
  | {readonly kind: 'send-format'; readonly format: Format; readonly hex: boolean}
  | {readonly kind: 'expect'; readonly expectation: Expectation}
  | AnswerStep
  | VariableStep;
