/** What the gateway process and the pager process say to each other, over Node's channel between parent and child. JSON. */
import type {HistogramCounts} from '../core/histogram.ts';
import type {FencingToken, Generation, InstanceId} from '../core/ids.ts';
import type {Trigger} from '../core/trigger.ts';
import type {S3Stats} from '../store/s3-options.ts';
import type {StoreOutage} from '../store/store-health.ts';
import type {InstanceStats, ProcessIds} from './faults/fault-messages.ts';
import type {MountedImage} from './images/fuse-images.ts';
import type {MountImageRequest} from './images/rootfs-images.ts';
import type {MemoryReport} from './memory-blocks.ts';
import type {PredictedReport} from './prediction/predicted-report.ts';

export interface RestoreRequest {
  readonly instance: InstanceId;
  readonly app: string;
  readonly generation: Generation;
  readonly mode: 'lazy' | 'eager';
  readonly prefetch: 'off' | 'last' | 'predict';
  /** Pages that are likely to follow come along with one that is touched. Default true. */
  readonly readAhead?: boolean;
  /** CRIU's work directory; `lazy-pages.socket` is made there. */
  readonly workDir: string;
  /** The app is not needed yet: it may be hours until CRIU goes on. Default false. */
  readonly ahead?: boolean;
  /** What is not on this host is brought here while the instance runs. Default true. */
  readonly backgroundFetch?: boolean;
}

export interface PreparedRestore {
  readonly imagesDir: string;
  readonly meta: unknown;
  /** Pids inside the container. */
  readonly processes: readonly number[];
  /** What is held in memory for CRIU until the instance is released. */
  readonly memoryBytes: number;
}

export interface CommitOptions {
  /** Null for the first checkpoint of an app that was started, not restored. */
  readonly instance: InstanceId | null;
  readonly app: string;
  readonly token: FencingToken;
  readonly dumpDir: string;
  /** The new generation gets a higher number than this one, whether it exists or not; default null. */
  readonly above?: Generation | null;
  /** Of its files, the oldest first; default none. Nothing is written to them any more. */
  readonly layers?: readonly string[];
  readonly meta: unknown;
  readonly processes: readonly ProcessIds[];
}

export interface Committed {
  readonly generation: Generation;
  readonly bytesWritten: number;
  readonly pageCount: number;
}

export interface CompactOptions {
  readonly app: string;
  readonly generation: Generation;
  readonly token: FencingToken;
}

export interface Compacted {
  readonly generation: Generation;
  readonly bytesWritten: number;
}

export interface PagingStats extends InstanceStats {
  /** Pages that were to be installed before they are touched. */
  readonly predictedPages: number;
}

export interface PagerStatus {
  /** Null when the store is a directory. */
  readonly remote: RemoteStatus | null;
  readonly apps: readonly AppPaging[];
}

export interface RemoteStatus {
  /** For messages: the bucket and where it is. */
  readonly place: string;
  readonly requests: S3Stats;
  /** Null while the store answers. */
  readonly outage: StoreOutage | null;
  readonly cacheBytes: number;
  /** Of apps' files, as far as they are stored; both together are limited. */
  readonly layerBytes: number;
  readonly cacheLimitBytes: number;
  readonly pendingObjects: number;
  readonly pendingBytes: number;
}

/** Of the instances that this pager has served, those that have ended included. */
export interface AppPaging extends PagingTotals {
  readonly app: string;
  /** Faults that wait for the store now; for how long the oldest of them has; and why, as far as that is known. */
  readonly waiting: number;
  readonly waitingMs: number | null;
  readonly waitingReason: string | null;
  /** Pages of the instances that are neither in memory nor known to be needless. */
  readonly missingPages: number;
  /** No fault of the app is answered, because the pager was killed and its successor cannot read the checkpoint yet. */
  readonly standsStill: boolean;
}

export interface PagingTotals {
  /** Faults that were answered with a stored page. */
  readonly faults: number;
  /** Faults that were answered with zeros, because nothing is stored there. */
  readonly zeroFaults: number;
  /** Pages that were to be installed before they are touched, and how many of them probably never were touched. */
  readonly predictedPages: number;
  readonly unusedPages: number;
  /** Pages that came along with the fault of another one. */
  readonly broughtPages: number;
  /** How long the first of these took, with all that they waited for: see `faultBoundsSeconds`. */
  readonly faultTimes: HistogramCounts;
}

/** What the pager does for the gateway. Each method takes one argument that survives JSON. */
export interface PagerService {
  prepareRestore(request: RestoreRequest): Promise<PreparedRestore>;
  /** A prepared restore goes on now. @returns pages that are going to be installed before they are touched */
  expect(request: {readonly instance: InstanceId; readonly trigger: Trigger}): Promise<{readonly predictedPages: number}>;
  commit(request: CommitOptions): Promise<Committed>;
  /** Mounts an image as the root of an app, read-only, until the app gets another one. */
  mountImage(request: MountImageRequest): Promise<MountedImage>;
  /** Removes everything that is stored of an app, which must not run. */
  purge(request: {readonly app: string}): Promise<void>;
  /** Removes a generation that was written but never pointed at. */
  discard(request: {readonly app: string; readonly generation: Generation}): Promise<void>;
  stats(request: {readonly instance: InstanceId}): Promise<PagingStats>;
  /** Forgets an instance that has no processes any more, or never had; learns from its faults. */
  release(request: {readonly instance: InstanceId}): Promise<void>;
  /** What was learned of the pages that an app touches. */
  predicted(request: {readonly app: string}): Promise<PredictedReport>;
  /** The pages of its memory; null when nothing of it is on this host. */
  memory(request: {readonly app: string}): Promise<MemoryReport | null>;
  generations(request: {readonly app: string}): Promise<readonly Generation[]>;
  latest(request: {readonly app: string}): Promise<Generation | null>;
  meta(request: {readonly app: string; readonly generation: Generation}): Promise<{readonly meta: unknown; readonly token: FencingToken}>;
  /** Whether `compact()` would write anything. */
  compactionDue(request: {readonly app: string; readonly generation: Generation}): Promise<boolean>;
  /** Writes the newest generation again as the next one, with its pages in fewer segments; null when there is nothing to gain or it was given up. */
  compact(request: CompactOptions): Promise<Compacted | null>;
  /** Gives up what `compact()` does for an app. */
  stopCompacting(request: {readonly app: string}): Promise<void>;
  /** Removes copies that `compact()` made of a generation, and at which nothing points. */
  discardCopies(request: {readonly app: string; readonly generation: Generation}): Promise<void>;
  /** The newest generation is certain to stay: it is uploaded. */
  keep(request: {readonly app: string}): Promise<void>;
  prune(request: {readonly app: string; readonly keep: number}): Promise<void>;
  /** Removes what interrupted commits of each left, and says what the store has of it. At start-up only. */
  survey(request: {readonly apps: readonly string[]}): Promise<readonly AppSurvey[]>;
  /**
   * Asks the remote store, if there is one, whether it can be used.
   * @returns false when it cannot be reached at the moment. @throws ObjectStoreError when it cannot be used as it is configured
   */
  checkStore(request: null): Promise<boolean>;
  /** What is done for all apps now, and was since the pager started. */
  status(request: null): Promise<PagerStatus>;
  /** What all objects of an app take in the store, before they are copied or cached. */
  storedBytes(request: {readonly app: string}): Promise<number>;
  /** Where the newest generation of an app is; null without a remote store. */
  placement(request: {readonly app: string}): Promise<Placement | null>;
  /**
   * Layers take so much of what the local copies of objects may take, so that these make room; those of the apps in `dropped` are gone.
   * @returns what the copies take now; 0 without a remote store
   */
  shareCache(request: {readonly layerBytes: number; readonly dropped: readonly string[]}): Promise<number>;
  /** Resolves when everything of the app is in the remote store. */
  finishUpload(request: {readonly app: string}): Promise<void>;
  /** Leaves the app in the remote store only. */
  dropLocal(request: {readonly app: string}): Promise<void>;
  /** Brings layers of an app's files here from the remote store. @throws CodedError ERR_NO_REMOTE_STORE, ERR_DAMAGED_CHECKPOINT */
  fetchLayers(request: {readonly app: string; readonly layers: readonly string[]}): Promise<void>;
  /** See `Tiering.refresh()`. */
  refresh(request: {readonly app: string}): Promise<void>;
  /** After a `refresh()`, brings all of the newest complete generation here. @returns null when the store has none, or is a directory of this host */
  foresee(request: {readonly app: string}): Promise<Generation | null>;
  stop(request: null): Promise<void>;
}

export interface AppSurvey {
  /** Why the store cannot be reached; what is known here is all there is then. */
  readonly unreachable: string | null;
  /** Numbers of the complete generations, the oldest first. */
  readonly generations: readonly Generation[];
  /** The newest first; of the older ones, those that it is no use to ask for are left out. */
  readonly metas: readonly SurveyedGeneration[];
}

/** What its manifest says; that the rest of it can be read is not known. */
export type SurveyedGeneration =
  | {readonly kind: 'read'; readonly generation: Generation; readonly meta: unknown; readonly token: number}
  | {readonly kind: 'unread'; readonly generation: Generation; readonly error: RemoteError};

export interface Placement {
  readonly generation: number | null;
  /** A wake finds something of everything on this host. */
  readonly local: boolean;
  /** It is complete in the remote store. */
  readonly stored: boolean;
  readonly pendingObjects: number;
  readonly pendingBytes: number;
  /** Key of the object that is being uploaded. */
  readonly current: string | null;
  readonly lastError: string | null;
}

/**
 * The generation is complete in the remote store; that cannot be reached; a worker with a newer token has written the generation. Of an app that
 * is awake: a thread waits for a page that cannot be read; none does any more.
 */
export type TierEvent = 'stored' | 'store-unreachable' | 'overruled' | 'page-waits' | 'page-waits-no-more';

export type PagerMethod = keyof PagerService;

export interface PagerRequest {
  readonly id: number;
  readonly method: PagerMethod;
  readonly argument: unknown;
}

export interface RemoteError {
  readonly code: string;
  readonly message: string;
  readonly source: 'client' | 'server' | 'host' | 'bug';
  readonly retryable: boolean;
}

export type PagerMessage =
  | {readonly kind: 'ready'}
  /** It cannot start. */
  | {readonly kind: 'unable'; readonly error: RemoteError}
  | {readonly kind: 'result'; readonly id: number; readonly value: unknown}
  | {readonly kind: 'error'; readonly id: number; readonly error: RemoteError}
  | {readonly kind: 'lost'; readonly instance: InstanceId; readonly reason: string; readonly damaged: boolean}
  | {readonly kind: 'placement'; readonly app: string; readonly placement: Placement}
  | {readonly kind: 'tier'; readonly app: string; readonly event: TierEvent; readonly message: string}
  | {readonly kind: 'log'; readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly fields: Readonly<Record<string, unknown>>; readonly message: string};

/** The first message to the pager: what nobody else may see. */
export interface PagerSecrets {
  /** In hexadecimal digits. The first seals, all open; none: nothing is sealed. */
  readonly encryptionKeys: readonly string[];
}

/** What the gateway gives the pager on its command line, as JSON, where every user of the host can read it. */
export interface PagerSettings {
  /** Where contents of images are kept, and how much of them. */
  readonly images?: {readonly cacheDir: string; readonly cacheBytes: number};
  /** Where commits go. With a remote store, what lies there has yet to be uploaded. */
  readonly storeDir: string;
  readonly remote?: RemoteSettings | null;
  /** Where the files of apps are: `<appsDir>/<app>/layers/<layer>/upper`. Needed with a remote store; without, they stay out of it. */
  readonly appsDir?: string;
  readonly runtimeDir: string;
}

/** A bucket of S3, and the local copies of what is in it. */
export interface RemoteSettings {
  readonly bucket: string;
  readonly prefix: string;
  readonly endpoint: string | null;
  readonly region: string | null;
  readonly pathStyle: boolean;
  readonly cacheDir: string;
  readonly cacheBytes: number;
}
