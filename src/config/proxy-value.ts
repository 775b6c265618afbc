/** Frontends and backends of the checked configuration. A `listen` section is one of each. Times are in milliseconds. */
import type {AppName} from '../core/ids.ts';
import type {AgentCheck, CheckSchedule, HealthCheck, PassiveChecks} from './health.ts';
import type {Position} from './position.ts';
import type {
  HttpRequestAction,
  HttpResponseAction,
  ReplyAction,
  Rule,
  StatsAction,
  TcpRequestAction,
  TcpResponseAction,
  UseBackend,
  UseServer,
} from './rules.ts';
import type {Condition, Format, SampleExpression} from './sample.ts';
import type {TlsBind, TlsServer} from './tls.ts';
import type {WaitPage} from './wait-page.ts';

export interface UnixSocket {
  /** An absolute path; with `abstract`, a name of Linux' own name space. */
  readonly path: string;
  readonly abstract: boolean;
  /** Of the file: permission bits, owner and group; null: as the system makes it. */
  readonly mode: number | null;
  readonly user: string | null;
  readonly group: string | null;
}

export interface Bind {
  readonly protocol: 'tcp' | 'udp';
  /** An address or a host name without brackets; `''` is every IPv4 address, `::` every address. */
  readonly host: string;
  readonly port: number;
  /** Instead of `host` and `port`. */
  readonly unix: UnixSocket | null;
  /** A descriptor that listens already, instead of `host` and `port`. */
  readonly inheritedFd: number | null;
  readonly name: string | null;
  readonly acceptProxy: boolean;
  readonly tls: TlsBind | null;
  /** HTTP/2 without TLS, or only HTTP/1; null: as ALPN says, or as the first bytes are. */
  readonly proto: 'h1' | 'h2' | null;
  /** An address of IPv6 only; null: as the system and the other binds have it. */
  readonly v6only: boolean | null;
  /** Addresses that are not this host's. */
  readonly transparent: boolean;
  readonly interface: string | null;
  readonly maxconn: number | null;
  readonly backlog: number | null;
  readonly position: Position;
}

export type ProxyMode = 'tcp' | 'udp' | 'nat' | 'http' | 'dns';

export interface TcpRules {
  readonly connection: readonly Rule<TcpRequestAction>[];
  readonly session: readonly Rule<TcpRequestAction>[];
  readonly content: readonly Rule<TcpRequestAction>[];
  readonly response: readonly Rule<TcpResponseAction>[];
  /** How long bytes are waited for that `content` rules ask about; null: not at all. */
  readonly inspectDelayMs: number | null;
  /** The same for bytes of the server and `response` rules. */
  readonly responseDelayMs: number | null;
}

export interface HttpRules {
  readonly request: readonly Rule<HttpRequestAction>[];
  readonly response: readonly Rule<HttpResponseAction>[];
  readonly afterResponse: readonly Rule<HttpResponseAction>[];
}

/** `option forwardfor` and `option originalto`. */
export interface AddressHeader {
  readonly header: string;
  /** Networks whose clients get none. */
  readonly except: string | null;
  readonly ifNone: boolean;
}

export interface LogTarget {
  readonly to:
    | {readonly kind: 'udp'; readonly host: string; readonly port: number}
    | {readonly kind: 'unix'; readonly path: string}
    | {readonly kind: 'stdout' | 'stderr'}
    /** A descriptor that was inherited. */
    | {readonly kind: 'fd'; readonly fd: number};
  /** `default`: `rfc3164` with `log-send-hostname`, else `local`. */
  readonly format: 'default' | 'rfc3164' | 'rfc5424' | 'short' | 'raw' | 'timed' | 'iso' | 'local' | 'priority';
  readonly facility: string;
  readonly level: string;
  readonly minLevel: string;
  readonly maxLineBytes: number;
  /** Of so many lines in a row only those with these numbers, from 1 on; null: all. */
  readonly sample: {readonly of: number; readonly numbers: readonly number[]} | null;
}

export interface StatsPage {
  readonly uri: string;
  readonly realm: string | null;
  readonly users: readonly {readonly name: string; readonly password: string}[];
  /** The first whose condition holds decides; none: whoever asks may see the page. There are no `users` with them. */
  readonly rules: readonly Rule<StatsAction>[];
  readonly refreshSeconds: number | null;
  readonly hideVersion: boolean;
  readonly showNode: string | null;
  readonly showDescription: string | null;
  readonly showLegends: boolean;
  readonly admin: readonly Condition[];
  readonly scopes: readonly string[];
}

export interface Compression {
  readonly algorithms: readonly ('identity' | 'gzip' | 'deflate' | 'raw-deflate')[];
  /** Empty: all types. */
  readonly types: readonly string[];
  /** Smaller answers stay as they are, where their length is known. */
  readonly minBytes: number;
  readonly offload: boolean;
}

export interface StickTableConfig {
  readonly type: 'ip' | 'ipv6' | 'integer' | 'string' | 'binary';
  /** Of strings and binary keys. */
  readonly keyBytes: number;
  readonly size: number;
  readonly expireMs: number | null;
  readonly noPurge: boolean;
  /** `conn_cnt`, or with a period `conn_rate(10s)`. */
  readonly stores: readonly {readonly what: string; readonly periodMs: number | null}[];
}

/** Health checks from outside, as `health-check` tells them: they wake no app, and keep none awake. */
export interface Probes {
  /** One of them is enough. */
  readonly conditions: readonly Condition[];
  /** Mode tcp: connections that say nothing are checks, unless they are there for longer than this; null: they are not. */
  readonly silenceMs: number | null;
  /** In the place of an app that sleeps; false: they are refused then. */
  readonly answers: boolean;
}

/** What frontends and backends have in common. */
export interface ProxyBase {
  readonly name: string;
  readonly mode: ProxyMode;
  readonly position: Position;
  readonly disabled: boolean;
  readonly description: string | null;
  readonly tcp: TcpRules;
  readonly http: HttpRules;
  readonly httpRequestTimeoutMs: number | null;
  readonly keepAliveTimeoutMs: number | null;
  /** Of upgraded connections and CONNECT; null: those of client and server. */
  readonly tunnelTimeoutMs: number | null;
  readonly tarpitTimeoutMs: number | null;
  /** `option httpclose` closes both sides after an answer, `http-server-close` that of the server. */
  readonly connectionMode: 'keep-alive' | 'server-close' | 'close';
  /** Rules, and the choice of a server, wait for the body of a request, as far as it is kept. */
  readonly buffersRequests: boolean;
  /** What becomes of request headers with other characters in their names than letters, digits and hyphens; `reject`: the request is refused. */
  readonly restrictedNames: 'preserve' | 'delete' | 'reject';
  readonly forwardFor: AddressHeader | null;
  readonly originalTo: AddressHeader | null;
  /** By status: the absolute path of a file that holds a whole answer. */
  readonly errorFiles: Readonly<Record<number, string>>;
  /** By status: where the client is sent instead. */
  readonly errorLocations: Readonly<Record<number, {readonly code: 302 | 303; readonly url: string}>>;
  /** By status: the answer of `http-error`. A status is in one of the three at most. */
  readonly errorReplies: Readonly<Record<number, ReplyAction>>;
  readonly compression: Compression | null;
  readonly stats: StatsPage | null;
  readonly stickTable: StickTableConfig | null;
  /** Null: all is traffic. */
  readonly probes: Probes | null;
  readonly logs: readonly LogTarget[];
  readonly logTag: string | null;
}

/** Of requests and of answers, for log lines. */
export interface CookieCapture {
  /** How `name=value` begins. */
  readonly prefix: string;
  readonly length: number;
}

export interface FrontendConfig extends ProxyBase {
  /** In `tcp`, `http` and `udp` every bind has that protocol; in `nat` and `dns` a bind has either. */
  readonly binds: readonly Bind[];
  readonly useBackends: readonly Rule<UseBackend>[];
  /** The name of a backend of this configuration; `''`: there is none, clients that no rule sends elsewhere are refused. */
  readonly defaultBackend: string;
  readonly maxconn: number;
  readonly clientTimeoutMs: number;
  readonly clientFinTimeoutMs: number | null;
  readonly monitorUri: string | null;
  readonly monitorFail: readonly Condition[];
  /** A name for each request, and the header that tells it to the server. */
  readonly uniqueId: {readonly format: Format; readonly header: string | null} | null;
  /**
   * Slots of `capture`, `declare capture` and of rules with `len`, first those of requests, then those of answers, each in the order of the
   * lines. The number of a slot (`capture.req.hdr(0)`, `Capture.id`) counts those of its kind.
   */
  readonly captures: readonly {readonly header: string | null; readonly length: number; readonly of: 'request' | 'response'}[];
  /** Null: none is captured. */
  readonly cookieCapture: CookieCapture | null;
  /** A text of formats, or one of HAProxy's. */
  readonly logFormat:
    | {readonly kind: 'format'; readonly format: Format}
    | {readonly kind: 'default' | 'tcplog' | 'httplog' | 'httpslog' | 'tcplog-wake' | 'httplog-wake' | 'jsonlog'};
  /** Instead of `logFormat`, for connections that become no session and requests that cannot be read; null: HAProxy's for the first, `logFormat` for the others. */
  readonly errorLogFormat: Format | null;
  /** Structured data of lines that follow a format, for targets that have them: RFC 5424, section 6.3. */
  readonly structuredLogFormat: Format | null;
  /** The line comes when the server's answer begins, or the connection to it is there; bytes and times have a plus sign. */
  readonly logAsap: boolean;
  /** Connections without data leave no line. */
  readonly dontLogNull: boolean;
  /** Nothing is said, to the client or the log, about a connection on which nothing came. */
  readonly ignoreProbes: boolean;
  /** Only what went wrong leaves a line. */
  readonly dontLogNormal: boolean;
  /** Lines of what is not normal have the level `err`. */
  readonly logSeparateErrors: boolean;
  readonly tcpKeepAlive: boolean;
  /** Each bind is counted for itself. */
  readonly socketStats: boolean;
  /** New sessions a second, above which they wait. */
  readonly sessionRateLimit: number | null;
  /** Of mode dns. */
  readonly dns: DnsConfig | null;
}

export interface DnsRecord {
  /** With a dot at the end; else relative to the zone. */
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'CNAME' | 'MX' | 'NS' | 'SRV' | 'TXT';
  readonly ttlSeconds: number | null;
  /** As in a zone file: `10 mail.example.com.`, `"one text" "another"` */
  readonly data: string;
}

export interface DnsZone {
  /** In lower case, without the dot at the end. */
  readonly name: string;
  readonly ttlSeconds: number;
  /** Of answers that a name does not exist. */
  readonly negativeTtlSeconds: number;
  /** The addresses that names of apps have; empty: those at which the question came in. */
  readonly addresses: readonly string[];
  readonly records: readonly DnsRecord[];
}

export interface DnsConfig {
  readonly zones: readonly DnsZone[];
  /** Where questions about other names go; empty: they are refused. */
  readonly forwardTo: readonly {readonly host: string; readonly port: number}[];
  /** Answers a second to one network (/24, /56) that are alike; null: no limit. */
  readonly responsesPerSecond: number | null;
}

export type Target =
  | {readonly kind: 'app'; readonly app: AppName; readonly port: number}
  | {readonly kind: 'address'; readonly host: string; readonly port: number}
  | {readonly kind: 'unix'; readonly path: string; readonly abstract: boolean};

export interface ServerConfig {
  readonly name: string;
  readonly target: Target;
  readonly position: Position;
  /** How many sessions may wait for one wake, or for a free place; null: as many as come. */
  readonly maxqueue: number | null;
  /** Sessions at a time; null: no limit. */
  readonly maxconn: number | null;
  readonly minconn: number | null;
  /** 0 to 256. */
  readonly weight: number;
  readonly backup: boolean;
  readonly disabled: boolean;
  readonly cookie: string | null;
  /** Null: it is always up. */
  readonly check: CheckSchedule | null;
  /** Null: its traffic says nothing about its health. Without `check` it does not, either. */
  readonly observe: PassiveChecks | null;
  readonly agent: AgentCheck | null;
  /** `backend/server` whose state this one has. */
  readonly track: string | null;
  readonly slowStartMs: number | null;
  readonly onMarkedDown: 'nothing' | 'shutdown-sessions';
  readonly onMarkedUp: 'nothing' | 'shutdown-backup-sessions';
  readonly sendProxy: 'v1' | 'v2' | null;
  /** What goes into a v2 header besides addresses: `ssl`, `cert-cn`, `authority`, `unique-id`, ... */
  readonly proxyV2Options: readonly string[];
  readonly tls: TlsServer | null;
  readonly sni: SampleExpression | null;
  readonly proto: 'h1' | 'h2' | null;
  /** The address that connections come from; `client`: that of the client. */
  readonly source: {readonly host: string; readonly port: number | null} | 'client' | null;
  /** A section `resolvers`, and what a name is looked up as. */
  readonly resolvers: string | null;
  /** `init-addr`: where it is until its resolvers have answered; `none`: nowhere, `libc`: where the system finds its name. */
  readonly initialAddress: 'libc' | 'none' | {readonly host: string};
  /** `init-addr last`: the address in the file with its state comes before that. */
  readonly keepsAddress: boolean;
  readonly resolvePrefer: 'ipv4' | 'ipv6' | null;
  /** Where clients are sent instead of being served. */
  readonly redirectPrefix: string | null;
  /** No stick table remembers who came here. */
  readonly nonStick: boolean;
}

export type Balance =
  | {readonly kind: 'roundrobin' | 'static-rr' | 'leastconn' | 'first' | 'source'}
  | {readonly kind: 'random'; readonly draws: number}
  | {readonly kind: 'uri'; readonly length: number | null; readonly depth: number | null; readonly whole: boolean; readonly pathOnly: boolean}
  | {readonly kind: 'url_param'; readonly parameter: string}
  | {readonly kind: 'hdr'; readonly header: string; readonly useDomainOnly: boolean}
  | {readonly kind: 'hash'; readonly expression: SampleExpression};

/** The cookie by which a client comes back to its server. */
export interface CookiePersistence {
  readonly name: string;
  readonly how: 'rewrite' | 'insert' | 'prefix';
  readonly indirect: boolean;
  readonly noCache: boolean;
  readonly postOnly: boolean;
  readonly preserve: boolean;
  readonly httpOnly: boolean;
  readonly secure: boolean;
  readonly domains: readonly string[];
  readonly maxIdleMs: number | null;
  readonly maxLifeMs: number | null;
  readonly dynamic: boolean;
  readonly attributes: readonly string[];
}

/** What `show servers state` wrote, of all backends or, `local`, of one. */
export interface StateFile {
  readonly scope: 'global' | 'local';
  readonly path: string;
}

export interface StickRule {
  readonly kind: 'match' | 'store-request' | 'store-response' | 'on';
  readonly expression: SampleExpression;
  /** Null: that of the backend itself. */
  readonly table: string | null;
  readonly condition: Condition | null;
}

export interface BackendConfig extends ProxyBase {
  /** May be empty: then nobody answers. */
  readonly servers: readonly ServerConfig[];
  readonly balance: Balance;
  readonly hash: {readonly kind: 'map-based' | 'consistent'; readonly function: 'sdbm' | 'djb2' | 'wt6' | 'crc32'; readonly avalanche: boolean};
  readonly useServers: readonly Rule<UseServer>[];
  readonly connectTimeoutMs: number;
  readonly serverTimeoutMs: number;
  readonly serverFinTimeoutMs: number | null;
  /** Null: as `connectTimeoutMs`. */
  readonly queueTimeoutMs: number | null;
  readonly checkTimeoutMs: number | null;
  /** How long a session is held while an app wakes. */
  readonly wakeTimeoutMs: number;
  /** Null: browsers are held as all other clients are. */
  readonly waitPage: WaitPage | null;
  readonly check: HealthCheck;
  readonly retries: number;
  /** Whether another server may be tried, and after how many attempts: 0 is only the last one, n every nth. Null: never. */
  readonly redispatch: number | null;
  readonly retryOn: readonly string[];
  readonly allBackups: boolean;
  readonly fullconn: number | null;
  readonly cookie: CookiePersistence | null;
  readonly dynamicCookieKey: string | null;
  readonly stickRules: readonly StickRule[];
  /** The field, in lower case, that tells a server its own name; null: none does. */
  readonly serverNameHeader: string | null;
  readonly httpReuse: 'never' | 'safe' | 'aggressive' | 'always';
  readonly abortOnClose: boolean;
  readonly logHealthChecks: boolean;
  readonly tcpKeepAlive: boolean;
  /** What says in which state its servers begin; null: nothing does. */
  readonly stateFile: StateFile | null;
  /** For servers without one of their own. */
  readonly source: {readonly host: string; readonly port: number | null} | 'client' | null;
}

export interface Userlist {
  readonly name: string;
  readonly groups: readonly {readonly name: string; readonly users: readonly string[]}[];
  readonly users: readonly {
    readonly name: string;
    /** `password`: as crypt(3) has it. */
    readonly password: {readonly kind: 'insecure' | 'crypt'; readonly text: string} | null;
    readonly groups: readonly string[];
  }[];
}
