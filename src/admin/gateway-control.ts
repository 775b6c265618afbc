/**
 * What the runtime API and the statistics page act on: a gateway as its operator sees it. The parts that do the work implement it; nothing
 * here knows how. Properties are read at the moment of the question. What cannot be done is refused with a CodedError, whose message the
 * operator gets.
 */
import type {BackendConfig, ProxyMode} from '../config/proxy-value.ts';
import type {HandedOver} from './hand-over-listeners.ts';
import type {TrafficStats} from './traffic-stats.ts';

export interface GatewayControl {
  /**
   * To be awaited before questions, and after changes: other threads have told then what they have counted, and have done what they were told.
   * @param options.sessions each of their sessions too, of which there may be many
   */
  synchronize(options: {readonly sessions: boolean}): Promise<void>;
  process(): ProcessFacts;
  frontends(): Iterable<FrontendControl>;
  backends(): Iterable<BackendControl>;
  sessions(): Iterable<SessionControl>;
  /** As far as this process knows of them. */
  apps(): Iterable<AppControl>;
  /** As they are at whichever worker has them. @throws CodedError */
  appsAnywhere(): Promise<readonly AppControl[]>;
  /** The lists of patterns of ACLs and of maps. */
  patterns(kind: PatternKind): Iterable<PatternListControl>;
  tables(): Iterable<TableControl>;
  readonly certificates: CertificatesControl;
  readonly variables: VariablesControl;
  /** The files of `tls-ticket-keys`; their places are their numbers. */
  ticketKeys(): Iterable<TicketKeysControl>;
  /** How many requests and answers could not be read, and the last one of each proxy, in the order of the proxies. */
  unreadMessages(): {readonly count: number; readonly last: readonly UnreadMessage[]};
  /** Sessions at a time, of all frontends together. */
  setMaxconn(maxconn: number): void;
  /** Sets maxima back, and with `all` totals too. */
  clearCounters(scope: 'maxima' | 'all'): void;
  /** Another process may listen on the sockets beside this one from now on. */
  handOverListeners(): readonly HandedOver[];
  /** Reads the configuration again. Resolves to what went wrong, or null. */
  reload(): Promise<string | null>;
}

export interface ProcessFacts {
  readonly version: string;
  readonly releaseDate: string;
  readonly pid: number;
  /** Of each thread; the first one is the first. */
  readonly threads: readonly ThreadFacts[];
  readonly startedAtMs: number;
  readonly maxconn: number;
  /** The most that `set maxconn global` can ask for. */
  readonly hardMaxconn: number;
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly requestsTotal: number;
  readonly sessionRate: number;
  readonly sessionRateMax: number;
  readonly tlsConnections: number;
  readonly tlsConnectionsTotal: number;
  readonly listeners: number;
  readonly stopping: boolean;
  readonly bytesOut: number;
  readonly nodeName: string;
  readonly description: string | null;
  readonly reloads: number;
  readonly failedReloads: number;
}

export interface ThreadFacts {
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly requestsTotal: number;
}

export interface ShownProxy {
  readonly name: string;
  readonly id: number;
}

/** A request of a client, or an answer of a server, that could not be read. */
export interface UnreadMessage {
  readonly kind: 'request' | 'response';
  /** Its number, from 0 on. */
  readonly event: number;
  readonly atMs: number;
  readonly client: {readonly host: string; readonly port: number};
  readonly frontend: ShownProxy;
  readonly backend: ShownProxy | null;
  readonly server: ShownProxy | null;
  readonly bytes: Uint8Array;
  /** Where in the bytes it is wrong. */
  readonly position: number;
  readonly reason: string;
}

export interface FrontendControl {
  readonly name: string;
  /** A number that no other proxy has. */
  readonly id: number;
  readonly mode: ProxyMode;
  /** `full`: as many sessions as it may have. `stopped` does not end. */
  readonly state: 'open' | 'full' | 'paused' | 'stopped';
  readonly maxconn: number;
  /** New sessions a second; 0: no limit. */
  readonly sessionRateLimit: number;
  readonly stats: TrafficStats;
  /** Empty without `option socket-stats`. */
  readonly listeners: readonly ListenerControl[];
  /** Stops listening for a while: clients are refused. @throws CodedError */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** For good; sessions go on. */
  shutdown(): void;
  setMaxconn(maxconn: number): void;
}

/** A bind that is counted for itself. */
export interface ListenerControl {
  readonly name: string;
  /** Its number in the frontend, from 1 on. */
  readonly id: number;
  readonly address: {readonly host: string; readonly port: number} | 'unix';
  /** 0: no limit of its own. */
  readonly maxconn: number;
  readonly stats: TrafficStats;
}

export interface BackendControl {
  readonly name: string;
  readonly id: number;
  readonly mode: ProxyMode;
  readonly balance: BackendConfig['balance']['kind'];
  readonly cookie: string | null;
  /** Sessions at which its servers may have their `maxconn`; null: always. */
  readonly fullconn: number | null;
  readonly stats: TrafficStats;
  /** Seconds since it was last up or down. */
  readonly lastChangeSeconds: number;
  readonly downSeconds: number;
  readonly timesDown: number;
  servers(): Iterable<ServerControl>;
  /** @param settings words as after `server NAME ADDRESS` in a file. @throws CodedError with what is wrong with them */
  addServer(name: string, address: string, settings: readonly string[]): Promise<void>;
  /** Whether values of persistence cookies are made of a key, and which. */
  setDynamicCookies(change: {readonly key?: string; readonly isOn?: boolean}): void;
  /** Only one in maintenance without sessions. @throws CodedError */
  removeServer(name: string): void;
}

export type AdministrativeState = 'ready' | 'drain' | 'maint';
/** `resolution`: no address is known for it. */
export type ShownState = AdministrativeState | 'resolution';
export type Health = 'up' | 'stopping' | 'down';

export interface ServerControl {
  readonly name: string;
  /** A number that no other server of its backend has; 1 is the first. */
  readonly id: number;
  /** Null for an app whose address is not known yet. */
  readonly address: {readonly host: string; readonly port: number} | null;
  /** The host name that the address was found by. */
  readonly hostName: string | null;
  /** The same of a service, whose records say the port too: `_http._tcp.example.com`. */
  readonly serviceName: string | null;
  readonly app: string | null;
  readonly administrative: ShownState;
  /** Of itself, whatever holds because of others. */
  readonly ordered: AdministrativeState;
  readonly isDisabledInConfiguration: boolean;
  /** The one that it tracks is in maintenance. */
  readonly inheritsMaintenance: boolean;
  readonly health: Health;
  /** Of 0 to 256, as set and as the configuration has it. */
  readonly weight: number;
  readonly initialWeight: number;
  readonly backup: boolean;
  readonly maxconn: number | null;
  readonly maxqueue: number | null;
  readonly cookie: string | null;
  /** `backend/server` whose state it has. */
  readonly track: string | null;
  /** How much of its weight counts while it starts slowly, in percent; null: all. */
  readonly throttlePercent: number | null;
  readonly usesTls: boolean;
  readonly stats: TrafficStats;
  readonly lastChangeSeconds: number;
  readonly downSeconds: number;
  readonly check: CheckFacts | null;
  /** Null: it has none. */
  readonly agent: AgentFacts | null;
  /** Where that is asked; of one that has none, where the checks of the configuration go. Null: where the server is. */
  readonly agentPlace: Pick<CheckFacts, 'address' | 'port'>;
  /** Its agent, or that of the server whose state it has, holds it down. */
  readonly isDownByAgent: boolean;
  setAdministrative(state: AdministrativeState): void;
  /** @throws CodedError when it is not checked */
  setHealth(health: Health): void;
  enableChecks(enabled: boolean): void;
  /** @throws CodedError when it has no agent */
  enableAgent(enabled: boolean): void;
  /** Of one that has an agent; until that says otherwise. */
  setAgentHealth(health: 'up' | 'down'): void;
  setAgent(change: {readonly address?: string; readonly port?: number; readonly send?: string}): void;
  /** Where its checks go from now on; null: where sessions go. */
  setCheckPlace(change: {readonly address?: string | null; readonly port?: number | null}): void;
  setWeight(weight: number): void;
  setMaxconn(maxconn: number): void;
  /** @throws CodedError for an app */
  setAddress(address: {readonly host: string; readonly port: number}): void;
  shutdownSessions(): void;
}

/** The health checks of one server. */
export interface CheckFacts {
  readonly enabled: boolean;
  /** Where it asks, instead of where sessions go. */
  readonly address: string | null;
  readonly port: number | null;
  /** As HAProxy calls it: `L4OK`, `L7STS`, ...; with `* ` in front while one runs. */
  readonly status: string;
  /** The status of an answer over HTTP. */
  readonly code: number | null;
  readonly durationMs: number | null;
  /** What the last one said. */
  readonly detail: string;
  readonly description: string;
  readonly failures: number;
  /** Times that traffic has met too many errors; null: it is not observed. */
  readonly observedFailures: number | null;
  readonly timesDown: number;
  readonly rise: number;
  readonly fall: number;
  /** From 0, down, to rise + fall - 1, up. */
  readonly level: number;
}

/** The agent of one server, which tells its state. Words are those of its last answer, as for checks. */
export interface AgentFacts extends Pick<CheckFacts, 'status' | 'code' | 'durationMs' | 'detail' | 'description'> {
  readonly isEnabled: boolean;
  /** It has called the server down the last time that it said anything about that. */
  readonly isDown: boolean;
}

export interface SessionControl {
  /** Unique while the gateway runs. */
  readonly id: number;
  readonly protocol: 'tcp' | 'udp';
  /** The client, with its port where it is known. */
  readonly source: string;
  readonly frontend: string;
  readonly backend: string | null;
  readonly server: string | null;
  readonly app: string | null;
  readonly ageMs: number;
  readonly idleMs: number;
  /** The client's last bytes are unanswered. */
  readonly busy: boolean;
  shutdown(): void;
}

export interface AppControl {
  readonly name: string;
  /** Of its life cycle: `hibernated`, `running`, ... */
  readonly state: string;
  readonly address: string | null;
  readonly lastWake: {readonly atMs: number; readonly tookMs: number; readonly trigger: string} | null;
  readonly lastHibernate: {readonly atMs: number; readonly tookMs: number; readonly bytesWritten: number} | null;
  readonly lastError: string | null;
  /** Who says that it does not sleep, and until when; a null end: for good. */
  readonly pinned: {readonly by: 'configuration' | 'operator'; readonly untilMs: number | null} | null;
  /** @throws CodedError */
  wake(): Promise<void>;
  /** @param options.force although it is pinned */
  hibernate(options: {readonly force: boolean}): Promise<'hibernated' | 'cancelled'>;
  /** @param untilMs null: until it is unpinned. @throws CodedError */
  pin(untilMs: number | null): Promise<void>;
  /** @throws CodedError when the configuration pins it */
  unpin(): Promise<void>;
}

export type PatternKind = 'acl' | 'map';

export interface PatternEntry {
  /** Unique in its list. */
  readonly id: number;
  readonly key: string;
  /** Of a map. */
  readonly value: string | null;
}

export interface PatternListControl {
  /** Named by `#ID`; unique among maps and ACLs. */
  readonly id: number;
  /** Named by its path too; null: the patterns are in the configuration. */
  readonly file: string | null;
  readonly description: string;
  readonly size: number;
  entries(): Iterable<PatternEntry>;
  /** The entry that a sample finds. */
  find(sample: string): PatternEntry | null;
  /** @throws CodedError when the key is none of its type */
  add(key: string, value: string | null): void;
  /** @returns whether there was one. @param entry its key, or its id */
  remove(entry: string | number): boolean;
  replace(entry: string | number, value: string): boolean;
  clear(): void;
}

export interface TableEntry {
  readonly key: string;
  readonly expiresInMs: number | null;
  /** How many sessions track it now. */
  readonly uses: number;
  /** `conn_cnt`, `http_req_rate(10000)`, ... in the order of the configuration. */
  readonly data: ReadonlyMap<string, number>;
}

export interface TableControl {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly used: number;
  /** What an entry can store, without periods: `http_req_rate`; of an array its name, and those of its elements. */
  readonly stores: readonly string[];
  entries(): Iterable<TableEntry>;
  get(key: string): TableEntry | null;
  /** @throws CodedError when the key is none of its type */
  set(key: string, data: ReadonlyMap<string, number>): void;
  /** @returns false while it is in use */
  remove(key: string): boolean;
}

/** Names are as OpenSSL writes them in one line: `/C=FR/CN=example.com`. */
export interface CertificateFacts {
  readonly path: string;
  readonly subject: string;
  readonly issuer: string;
  /** Of the certificate after it in the file; null: there is none. */
  readonly chain: {readonly subject: string; readonly issuer: string} | null;
  readonly serial: string;
  /** `Nov 28 14:28:41 2026 GMT` */
  readonly notBefore: string;
  readonly notAfter: string;
  /** DNS names. */
  readonly names: readonly string[];
  /** In hexadecimal, without colons. */
  readonly sha1Fingerprint: string;
  /** `RSA2048`, `EC256`, ... */
  readonly algorithm: string;
}

export interface TicketKeysControl {
  readonly path: string;
  /** The one of before, the one that makes tickets, and the next. */
  readonly keys: readonly Uint8Array[];
  /** Behind the others, the first of which is forgotten. @param key of 48 bytes */
  add(key: Buffer): void;
}

/** Certificates are replaced in two steps, so that a wrong one is found before it is used. */
export interface CertificatesControl {
  list(): Iterable<string>;
  /** Null: there is none, or what is staged is not complete. */
  find(path: string, which: 'used' | 'staged'): CertificateFacts | null;
  /** Those that `stage` has made and nobody has committed. */
  staged(): Iterable<string>;
  /** @throws CodedError when there is no such file in the configuration, or the text is no certificate with its key */
  stage(path: string, pem: string): void;
  /** New connections get it. @throws CodedError when nothing is staged */
  commit(path: string): void;
  /** @throws CodedError when nothing is staged */
  abort(path: string): void;
}

/** Variables of the process: `proc.name`. */
export interface VariablesControl {
  /** @returns HAProxy's name of the type, and the value as a string of bytes; null: there is no such variable */
  get(name: string): {readonly type: string; readonly text: string} | null;
  /** Evaluates an expression or a format now. @throws CodedError for what cannot be understood, or asks about a session */
  set(name: string, value: {readonly kind: 'expression' | 'format'; readonly text: string}): void;
}
