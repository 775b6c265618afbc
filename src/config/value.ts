/** The checked configuration. It is deeply frozen, and nothing parses text after it was made. */
import type {AppName} from '../core/ids.ts';
import type {AwakeWhile} from './awake-while.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {MemoryMarks} from './memory-marks.ts';
import type {Position} from './position.ts';
import type {ProcessConfig} from './process-value.ts';
import type {BackendConfig, FrontendConfig, Userlist} from './proxy-value.ts';
import type {ResolversConfig} from './resolvers.ts';
import type {WakeRate} from './wake-rate.ts';
import type {Label, WorkerConfig} from './worker-shape.ts';

export interface Config {
  /** The files that were read, in order. */
  readonly files: readonly string[];
  readonly global: GlobalConfig;
  readonly apps: readonly AppConfig[];
  readonly frontends: readonly FrontendConfig[];
  readonly backends: readonly BackendConfig[];
  readonly userlists: readonly Userlist[];
  readonly resolvers: readonly ResolversConfig[];
  /** What `setenv` and the like change in the environment of the process; null: removed. */
  readonly environment: Readonly<Record<string, string | null>>;
  readonly warnings: readonly Diagnostic[];
}

export interface GlobalConfig {
  /** A level of null: as the environment says. */
  readonly gatewayLog: {readonly form: 'json' | 'text'; readonly level: string | null};
  /** Of a collector for traces; null: the environment may name one. */
  readonly otlp: string | null;
  /** A url is as core/redis-url.ts reads them. */
  readonly redis: {readonly kind: 'embedded'} | {readonly kind: 'url'; readonly url: string};
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly store: StoreConfig;
  /** How much of what is in S3 is kept on this host too. */
  readonly cacheBytes: number;
  /** The first encrypts what is stored, the others only decrypt; none: nothing is encrypted. Where they are, not what they are. */
  readonly encryptionKeys: readonly KeySource[];
  /** A network of /16 to /24, or `auto`: the first free /16 from 10.77.0.0 on. */
  readonly privateRange: {readonly address: string; readonly prefixLength: number} | 'auto';
  /** Sessions at a time, of all frontends together. */
  readonly maxconn: number;
  /** How long stopping may take before what is left is killed. */
  readonly stopTimeoutMs: number;
  /** The program `criu`; null: wherever the set-up or PATH has it. */
  readonly criu: string | null;
  /** How many checkpoints of an app are kept. */
  readonly keepGenerations: number;
  /** How often one source address may wake apps; null: no limit. */
  readonly wakeRatePerSource: WakeRate | null;
  /** Above the first, apps are put to sleep until they use less than the second; null: no limit. */
  readonly memory: MemoryMarks | null;
  readonly rates: UsageRates;
  /** This host as one of several; null: it is the only one. */
  readonly worker: WorkerConfig | null;
  /** How long an app stays with a worker that is not heard of. */
  readonly leaseMs: number;
  /** Apps may be added while it runs, although the configuration has none. */
  readonly dynamicApps: boolean;
  readonly process: ProcessConfig;
}

/** What usage costs, in whatever currency; null: nothing is said. */
export interface UsageRates {
  readonly activePerGbHour: number | null;
  readonly storedPerGbHour: number | null;
}

/** Where checkpoints are kept. */
export type StoreConfig = {readonly kind: 'directory'; readonly path: string} | S3StoreConfig;

export interface S3StoreConfig {
  readonly kind: 's3';
  readonly bucket: string;
  /** What the keys of all objects start with, without a `/` at the end; may be `''`. */
  readonly prefix: string;
  /** A URL of another server than Amazon's. */
  readonly endpoint: string | null;
  /** Null: as the tools of AWS find it. */
  readonly region: string | null;
  /** The bucket is named in the path of requests, not in the host name. */
  readonly pathStyle: boolean;
}

export type KeySource = {readonly kind: 'file'; readonly path: string} | {readonly kind: 'env'; readonly name: string};

export interface Expose {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

export interface Volume {
  /** An absolute path of the host. */
  readonly source: string;
  /** An absolute path inside the app. */
  readonly destination: string;
  readonly readOnly: boolean;
}

export interface AppConfig {
  readonly name: AppName;
  readonly position: Position;
  readonly root: RootConfig;
  /** None: what the image says. */
  readonly exec: readonly string[];
  /** Of an app whose section names none, those of its image, which the gateway adds. */
  readonly expose: readonly Expose[];
  readonly start: 'lazy' | 'eager';
  readonly onStop: 'hibernate' | 'kill';
  /** Null: never. */
  readonly hibernateAfterMs: number | null;
  /** Not put to sleep sooner than this after a wake. */
  readonly minAwakeMs: number;
  readonly awakeWhile: AwakeWhile;
  /** Never put to sleep while the gateway runs. */
  readonly pin: boolean;
  readonly memoryBytes: number | null;
  /** In processors, 0.5 is half of one. */
  readonly cpus: number | null;
  readonly pidsMax: number | null;
  /** More than those of the image; of two with one name these count. */
  readonly env: Readonly<Record<string, string>>;
  /** `USER` or `USER:GROUP`, names or numbers; null: what the image says. */
  readonly user: string | null;
  /** Null: what the image says. */
  readonly workdir: string | null;
  readonly volumes: readonly Volume[];
  /** What is tried when the newest checkpoint cannot be restored, in order; nothing: the wake fails at once. */
  readonly onRestoreFailure: readonly RestoreStep[];
  /** Whether it is started again when it ends by itself. */
  readonly restart: 'never' | 'on-failure' | 'always';
  readonly ready: Readiness;
  readonly readyTimeoutMs: number;
  readonly paging: 'lazy' | 'eager';
  readonly prefetch: 'off' | 'last' | 'predict';
  /** The rest of the memory is installed too, after the wake. */
  readonly backgroundFetch: boolean;
  /** With pages that are touched in a row come the next ones. */
  readonly readAhead: boolean;
  readonly wakeTimeoutMs: number;
  /** How often sessions may wake it; null: no limit. */
  readonly wakeRate: WakeRate | null;
  /** Its own timers wake it, but for those that are due sooner than `minMs`, or as often; null: none does. */
  readonly timers: {readonly minMs: number} | null;
  /** Expressions for `nextTime()` of schedule.ts. */
  readonly wakeAt: readonly string[];
  /** How often a checkpoint is made of it while it runs; null: only when it falls asleep. */
  readonly checkpointEveryMs: number | null;
  /** What labels a worker must have for it. */
  readonly onWorker: readonly Label[];
  /** How much of the app's output is kept. */
  readonly logBytes: number;
}

export type RestoreStep = 'retry' | 'previous' | 'cold-start';

export interface StatusRange {
  readonly low: number;
  /** This one included. */
  readonly high: number;
}

/** When an app counts as ready. */
export type Readiness =
  /** Every exposed port is listened on. */
  | {readonly kind: 'exposed'}
  | {readonly kind: 'tcp'; readonly ports: readonly number[]}
  | {readonly kind: 'http'; readonly path: string; readonly port: number; readonly statuses: readonly StatusRange[]}
  | {readonly kind: 'none'};

/** What an app finds as its root file system; it is never written to. */
export type RootConfig =
  /** An absolute path; it was a directory when the configuration was checked. */
  | {readonly kind: 'directory'; readonly path: string}
  /** An image of the object store. */
  | {readonly kind: 'image'; readonly name: string};
