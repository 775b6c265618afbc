/** What is known of an app, and to whom it is said. */
import type {Clock} from '../core/clock.ts';
import type {ErrorSource} from '../core/errors.ts';
import type {FencingToken, Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {LastError, LastExit, Pin, SleepCause, WakePhases} from '../store/app-record.ts';
import type {Refusal} from './breaker.ts';
import type {GenerationMeta, InstanceTools, Paging, Rest} from './instance.ts';
import type {LateRestOptions, Origin} from './late-rest.ts';
import type {State} from './lifecycle.ts';
import type {RunningInstances} from './running-instances.ts';
import type {StandbyLimit} from './standby-limit.ts';
import type {NextWake, WakeTimerOptions} from './timers/wake-timer.ts';
import type {WakeTurns} from './wake-turns.ts';

export interface WakeRecord {
  readonly at: number;
  readonly ms: number;
  readonly trigger: string;
  readonly predictedPages: number;
  readonly faults: number;
  /** Where the time went; missing in records of before. */
  readonly phases?: WakePhases;
}

export interface HibernateRecord {
  readonly at: number;
  readonly ms: number;
  readonly frozenMs: number;
  readonly bytesWritten: number;
  /** Of its memory, all that a restore has. Unknown of sleeps of before. */
  readonly pageCount?: number;
  readonly cause: SleepCause;
}

/** What is said of an app after a change; the record in Redis is made of it. */
export interface AppStatus {
  readonly state: State;
  readonly rest: Rest;
  /** From which layers the app would start if its checkpoint did not count; those of an instance that runs from files. */
  readonly fileLayers: readonly string[];
  readonly token: FencingToken | null;
  readonly lastWake: WakeRecord | null;
  readonly lastHibernate: HibernateRecord | null;
  readonly lastError: LastError | null;
  /** How the app ended by itself the last time. */
  readonly lastExit: LastExit | null;
  /** The last error, as far as it was since the gateway started. */
  readonly lastFailure: Failure | null;
}

export type LiveStatus = {
  readonly address: string;
  /** On the host; the app's first process first. */
  readonly pids: readonly number[];
  readonly busySessions: number;
  readonly awakeBecause: string | null;
  /** How long until it can be put to sleep if nothing happens, or is looked at again; null when that is not foreseen. */
  readonly sleepsInMs: number | null;
  /** Who says that it does not sleep, and until when (milliseconds since 1970). */
  readonly pinned: Pinned | null;
  /** How long without traffic it must be now (null: it may be for ever), and how often of late it was woken right after it had fallen asleep. */
  readonly idle: IdleHabit;
  /** What it takes of memory; null when it does not run, or that is not known. */
  readonly memoryBytes: number | null;
  readonly paging: Paging | null;
  readonly layers: readonly string[];
  /** Its newest generation is being written again, in fewer segments. */
  readonly compacting: boolean;
  /** False while only a store that cannot be reached knows what the app starts from. */
  readonly isOriginKnown: boolean;
  /** The last one since the gateway started. */
  readonly lastFailure: Failure | null;
  /** Null while it is awake, and when nothing is due that wakes it. */
  readonly nextWake: NextWake | null;
  /** How the app ended by itself the last time. */
  readonly lastExit: LastExit | null;
  /** It runs, or ran last, without its newest checkpoint, and has no newer one yet. */
  readonly fallback: (Fallback & {readonly at: number}) | null;
  /** Wakes are refused, since the last ones failed. */
  readonly refusal: Refusal | null;
  /** It ended by itself and is started again; null when it is not. */
  readonly restartsInMs: number | null;
};

/** The newest checkpoint could not be restored, and the configuration allowed to go on without it. */
export type Fallback = {
  readonly kind: 'previous' | 'cold-start';
  readonly newest: Generation;
  /** The one that was restored; null for a start from files. */
  readonly generation: Generation | null;
  /** Why the newest could not be restored. */
  readonly reason: string;
};

export type Pinned = {readonly by: 'configuration' | 'operator'; readonly until: number | null};

export type IdleHabit = {readonly afterMs: number | null; readonly flaps: number};

export type Failure = {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly code: string | null;
  readonly message: string;
  /** Who has to act. */
  readonly source: ErrorSource;
  readonly retryable: boolean;
};

/** The shared state of one app, guarded by lease and fencing token. */
export interface Records {
  /** @throws CodedError when another worker owns the app, or Redis cannot be reached (retryable) */
  acquire(): Promise<FencingToken>;
  release(token: FencingToken): Promise<void>;
  /** Another worker may have had the app since what is known here was found out. Never, where there is only one. */
  isStale(): boolean;
  /** Another worker has been seen to have the app. */
  movedAway(): void;
  /** What is known here is as new as the lease that is held. */
  caughtUp(): void;
  /** A client of the app waits for an answer at another process' edge. @throws CodedError */
  isBusyElsewhere(): Promise<boolean>;
  /** Other workers may have the app. */
  readonly isShared: boolean;
  /** The same, of an app that is about to move. False when Redis does not say. */
  isUnfinishedElsewhere(): Promise<boolean>;
  save(token: FencingToken, status: AppStatus): Promise<void>;
  /** Makes `generation` the newest of the app. @throws CodedError when the token is old */
  point(token: FencingToken, generation: Generation, expected: Generation | null): Promise<void>;
  /** Remembers what an operator wants. @throws CodedError when Redis does not take it */
  pin(pin: Pin | null): Promise<void>;
  event(kind: string, fields: Readonly<Record<string, string | number>>): void;
}

export type StatusOptions = Pick<AppOptions, 'container' | 'network' | 'pager' | 'log'>;

export interface AppOptions extends InstanceTools {
  readonly standbys: StandbyLimit;
  readonly turns: WakeTurns;
  readonly records: Records;
  readonly clock: Clock;
  /** Names the app. */
  readonly log: Log;
  readonly rest: Rest;
  /** The generation at which Redis points. */
  readonly pointer: Generation | null;
  readonly running: Pick<RunningInstances, 'note' | 'forget'>;
  /** Told of each new state, at once. */
  readonly moved: (to: State) => void;
  readonly lastWake: WakeRecord | null;
  readonly lastHibernate: HibernateRecord | null;
  readonly lastError: LastError | null;
  readonly lastExit: LastExit | null;
  /** Of an operator. */
  readonly pin: Pin | null;
  readonly keepGenerations: number;
  /** Called when an instance has been put away: layers may be merged and old ones removed. */
  readonly tidy: (rest: Rest) => Promise<Rest>;
  /** What the next wake starts from as the store has it: with the layers that are stored. */
  readonly stored: (rest: Rest) => Promise<Rest>;
  /** @throws CodedError of the store */
  readonly metaOf: (generation: Generation) => Promise<GenerationMeta>;
  /** Removes all layers from this worker. */
  readonly dropLayers: () => Promise<void>;
  /** Called when the app was tidied up: what is stored of it may be another amount. */
  readonly tidied: () => void;
  /** What the next wake starts from, when that is not known yet (`rest` and `pointer` do not count then); null when it is. */
  readonly find: LateRestOptions['find'];
  /** Wakes the app after it has ended by itself, with the newest settings. */
  readonly restart: () => Promise<void>;
  /** Wakes the app, unless it was opened anew meanwhile. */
  readonly wakeWhenDue: WakeTimerOptions['wake'];
  /** Where several workers share the apps: what the next wake starts from, asked under the lease. Null: only this one can have changed that. */
  readonly refresh: (() => Promise<Origin>) | null;
  /** @throws CodedError when nothing may be woken on this worker */
  readonly admit: () => void;
}
