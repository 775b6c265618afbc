/** What the pager's main thread and its fault worker say to each other. Plain data; tables travel encoded (page-table-codec.ts). */
import type {MessagePort} from 'node:worker_threads';
import type {HistogramCounts} from '../../core/histogram.ts';
import type {InstanceId} from '../../core/ids.ts';
import type {PageCopies} from '../checkpoints/page-copies.ts';
import type {LocalSegment} from '../checkpoints/segment-reader.ts';
import type {PageRange} from '../prediction/page-set.ts';
import type {WantedRange} from './fault-fetches.ts';

export interface ProcessTable {
  /** Pid inside the container. */
  readonly vpid: number;
  /** Encoded page table. */
  readonly table: Uint8Array;
}

/** What the worker needs to serve an instance, whether it is about to be restored or was served by another pager before. */
export interface InstancePlan {
  readonly instance: InstanceId;
  readonly segments: readonly LocalSegment[];
  /** What of them can be read elsewhere. */
  readonly copies?: PageCopies | undefined;
  /** Lazy pages of each process, as of the generation that is restored. */
  readonly tables: readonly ProcessTable[];
  /** Ends of the keeper's socket pair; the worker owns them from now on. */
  readonly parking: readonly [number, number];
  readonly journalPath: string;
  /** Pages that are likely to follow come along with one that is touched. Default true. */
  readonly readAhead?: boolean | undefined;
}

export interface PreparedInstance extends InstancePlan {
  /** CRIU's work directory, where `lazy-pages.socket` is made. */
  readonly socketDir: string;
}

/** What an instance is going to touch. */
export interface Expectation {
  /** Pages to install, of each process; the most wanted processes first. */
  readonly predicted: readonly ProcessTable[];
  /** Pages that are expected too, but left to their faults. */
  readonly withheld: readonly ProcessTable[];
}

export interface FaultWorkerData {
  readonly port: MessagePort;
  /** An eventfd that is rung after each command. */
  readonly bell: number;
  readonly windowPath: string;
  /** Instances that a killed pager served. */
  readonly takeovers: readonly InstancePlan[];
  /** Address spaces of instances that are taken over later: their numbers stay theirs, and what was left of them in the window is kept. */
  readonly laterSpaces: readonly number[];
}

export interface ProcessIds {
  readonly vpid: number;
  readonly pid: number;
}

export type FaultCommand =
  | {readonly kind: 'prepare'; readonly plan: PreparedInstance}
  /** It was served by a killed pager, and could not be taken over before. */
  | {readonly kind: 'takeover'; readonly plan: InstancePlan; readonly spaces: readonly number[]}
  /** Its restore goes on now. */
  | {readonly kind: 'expect'; readonly instance: InstanceId; readonly expectation: Expectation}
  /** For a commit: the processes stand still. */
  | {readonly kind: 'missing'; readonly instance: InstanceId; readonly processes: readonly ProcessIds[]}
  | {readonly kind: 'stats'; readonly instance: InstanceId}
  /** Forget an instance whose processes are gone; answers false, and keeps it, while one of them lives. */
  | {readonly kind: 'release'; readonly instance: InstanceId}
  /** Use another keeper's pair, because the last one ended. */
  | {readonly kind: 'repark'; readonly instance: InstanceId; readonly parking: readonly [number, number]}
  /** Fetches that were reported as wanted have ended: the ranges are in the local files, or cannot be had now. */
  | {readonly kind: 'fetched'; readonly id: number}
  | {readonly kind: 'unfetchable'; readonly id: number; readonly reason: string}
  | {readonly kind: 'stop'};

export interface FaultRequest {
  readonly id: number;
  readonly command: FaultCommand;
}

/** What is told of an instance whose threads stand still for the store. */
export interface StoreWait {
  /** How long the one that waits longest has waited. */
  readonly waitingMs: number | null;
  /** Why, once somebody was told. */
  readonly waitingReason: string | null;
}

export interface InstanceStats extends StoreWait {
  /** CRIU has finished; from now on another pager can take over. */
  readonly restored: boolean;
  /** Faults that were answered with a stored page. */
  readonly faults: number;
  /** Faults that were answered with zeros, because nothing is stored there. */
  readonly zeroFaults: number;
  /** Pages installed before they were touched. */
  readonly prefetched: number;
  /** From `expect` until the last of them was installed; null: they are still coming, or were never expected here. */
  readonly prefetchMs: number | null;
  /** Pages installed along with the faults of others. */
  readonly brought: number;
  /** Pages still missing, of all processes. */
  readonly missing: number;
  /** Faults that wait for the store. */
  readonly waiting: number;
  readonly medianFaultMicros: number | null;
  /** How long faults took, in seconds; see `faultBoundsSeconds`. */
  readonly faultTimes: HistogramCounts;
  /** Faulted pages of each process that was restored, in order of first touch. */
  readonly touched: readonly {readonly vpid: number; readonly pages: readonly number[]}[];
  /** Pages that came along with the faults of others, and were touched themselves as later faults show. */
  readonly passed: readonly {readonly vpid: number; readonly ranges: readonly PageRange[]}[];
  /** Pages that came along with the faults of others, of which nothing is known. */
  readonly alongside: readonly {readonly vpid: number; readonly ranges: readonly PageRange[]}[];
  /** False when another pager served the instance before, so that `touched` lacks what it saw. */
  readonly complete: boolean;
}

export type FaultAnswer =
  | {readonly kind: 'prepared'}
  | {readonly kind: 'taken-over'}
  | {readonly kind: 'expecting'}
  | {readonly kind: 'missing'; readonly tables: readonly ProcessTable[]}
  | {readonly kind: 'stats'; readonly stats: InstanceStats}
  | {readonly kind: 'released'; readonly gone: boolean}
  | {readonly kind: 'reparked'}
  | {readonly kind: 'noted'}
  | {readonly kind: 'stopped'};

/** What happens to an instance without being asked for. */
export type FaultReport =
  /** It must be killed: a page of it can never be had again, or its descriptors have no protection. */
  | {readonly kind: 'lost'; readonly instance: InstanceId; readonly reason: string; readonly damaged: boolean}
  /** CRIU has restored it. */
  | {readonly kind: 'restored'; readonly instance: InstanceId}
  | {readonly kind: 'aborted'; readonly instance: InstanceId}
  /** These parts of segments are to be brought into the local files, the first ones first. `urgent`: threads stand still until they are there. */
  | {readonly kind: 'wanted'; readonly instance: InstanceId; readonly urgent: boolean; readonly ranges: readonly WantedRange[]}
  /** Faults wait for a store that does not answer well, and are tried again. Said once, until `resumed`. */
  | {readonly kind: 'waiting'; readonly instance: InstanceId; readonly reason: string}
  | {readonly kind: 'resumed'; readonly instance: InstanceId}
  /** It goes on, but a restart of the pager would lose it. */
  | {readonly kind: 'unjournalled'; readonly instance: InstanceId};

export type FaultReply =
  | {readonly kind: 'ready'}
  | {readonly kind: 'answer'; readonly id: number; readonly answer: FaultAnswer}
  | {readonly kind: 'failed'; readonly id: number; readonly code: string; readonly message: string}
  | {readonly kind: 'report'; readonly report: FaultReport};
