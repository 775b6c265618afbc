/** The record of one app in Redis, as its owner on this worker writes it: under a lease, with the fencing token. */
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {errorCode, errorMessage} from '../core/errors.ts';
import type {AppName, FencingToken, Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppFields, AppRecord, Pin} from '../store/app-record.ts';
import type {Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {type KeptLease, keepLease, type Leases} from '../store/lease.ts';
import type {State as Store} from '../store/state.ts';
import {leaseHeldError} from './app-errors.ts';
import type {AppOptions, AppStatus, Records} from './app-status.ts';
import {firstDue} from './timers/app-timer.ts';

/** What the record says besides its own fields: the layers from which an app without a checkpoint starts. */
export interface Details {
  readonly startsFromFiles: boolean;
  readonly layers: readonly string[];
  /** The worker that had the app last: what is not in the store yet is there. */
  readonly home: string | null;
  /** When a timer of the sleeping app wakes it, milliseconds since 1970; null: none does. */
  readonly due: number | null;
}

/** The app is frozen while Redis is waited for; an embedded one is back within a fraction of a second. */
const pointPatienceMs = 2000;
/** CRIU waits no longer than a minute for the permission to let the app run. */
const acquirePatienceMs = 30_000;
const retryMs = 50;
/** A failover has lost the last writes, or Redis was emptied. (A pointer that is behind, too, is a conflict.) */
const lossCodes = new Set<string | undefined>(['ERR_UNKNOWN_APP', 'ERR_UNKNOWN_TOKEN', 'ERR_GENERATION_CONFLICT']);

/** @throws nothing: what cannot be read means an app that was never run */
export function parseDetails(details: Json): Details {
  const none: Details = {startsFromFiles: true, layers: [], home: null, due: null};
  if (typeof details !== 'object' || details === null || !('layers' in details) || !('startsFromFiles' in details)) return none;
  const layers = details.layers;
  if (!Array.isArray(layers)) return none;
  return {
    startsFromFiles: details.startsFromFiles === true,
    layers: layers.filter((layer): layer is string => typeof layer === 'string'),
    home: 'home' in details && typeof details.home === 'string' ? details.home : null,
    due: 'due' in details && typeof details.due === 'number' ? details.due : null,
  };
}

/** What happened to the app before, and what an operator wants of it. */
export function pastOf({
  lastWake,
  lastHibernate,
  lastError,
  lastExit,
  pin,
}: AppRecord): Pick<AppOptions, 'lastWake' | 'lastHibernate' | 'lastError' | 'lastExit' | 'pin'> {
  return {lastWake, lastHibernate, lastError, lastExit, pin};
}

/** Written in one step with the pointer: from then on the files that the app started from do not count. */
function fromCheckpoint(home: string): Json {
  return {startsFromFiles: false, layers: [], home, due: null};
}

/** @param of.timers the setting of the app; null: its timers do not wake it */
export function recordFields(status: AppStatus, {worker, timers}: {readonly worker: string; readonly timers: AppConfig['timers']}, nowMs: number): AppFields {
  const {rest} = status;
  const saved = rest.kind === 'checkpoint' ? rest.meta.timers : undefined;
  const due = saved === undefined || timers === null ? null : (firstDue(saved, timers.minMs)?.at ?? null);
  const runs = status.token !== null;
  return {
    state: status.state,
    residency: runs ? 'hot' : rest.kind === 'checkpoint' ? 'warm' : 'none',
    worker: runs ? worker : null,
    since: nowMs,
    lastWake: status.lastWake,
    lastHibernate: status.lastHibernate,
    lastError: status.lastError,
    lastExit: status.lastExit,
    details: {startsFromFiles: rest.kind === 'files', layers: rest.kind === 'files' ? status.fileLayers : [], home: worker, due},
  };
}

/** What only matters where several workers share the apps. */
export interface SharedRecords {
  /** The newest token, if all that is known was found out under it; null: it has yet to be found out. */
  readonly token: FencingToken | null;
  /** The lease has run out without being extended (true), or is held again (false): meanwhile another worker may have the app. */
  readonly onOverdue: (isOverdue: boolean) => void;
  /** Of an app that is about to move: a client waits for an answer at the edge of another worker. */
  readonly isUnfinished: () => Promise<boolean>;
}

/** The same for all apps. */
export interface CommonRecords {
  readonly worker: string;
  readonly store: Store;
  readonly leases: Leases;
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a worker may be silent before another one may take its apps. */
  readonly leaseMs: number;
  /** A client of the app waits for an answer at another process' edge. @throws CodedError */
  readonly isBusyElsewhere: (app: AppName) => Promise<boolean>;
}

export interface RecordsOptions {
  readonly common: CommonRecords;
  readonly app: AppName;
  readonly timers: AppConfig['timers'];
  /** The lease was lost to a newer owner: the instance must end without writing. */
  readonly onLost: (reason: string) => void;
  /** Null: no other worker can have the app. */
  readonly shared: SharedRecords | null;
  /** All that is known of the app, for a Redis that has lost it. */
  readonly record: () => AppRecord;
  /** How long a wake waits for a Redis that is restarted, or fails over. */
  readonly wakeTimeoutMs: number;
}

/** Redis may be away for a moment. */
async function patiently<T>(clock: Clock, patienceMs: number, attempt: () => Promise<T>): Promise<T> {
  const deadlineMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (errorCode(error) !== 'ERR_REDIS_UNAVAILABLE' || clock.monotonicMs() > deadlineMs) throw error;
      await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
    }
  }
}

/** As a class: of thousands of apps each would have some twenty closures. */
export class OwnRecords implements Records {
  readonly #options: RecordsOptions;
  #kept: KeptLease | undefined;
  /** One that was given out since the last own one is somebody else's. */
  #newestOwn: FencingToken | null;
  #isStale: boolean;
  /** Redis was lost while the pointer was moved: it may or may not have been. */
  #isPointerUnsure = false;

  constructor(options: RecordsOptions) {
    const {shared} = options;
    this.#options = options;
    this.#newestOwn = shared?.token ?? null;
    this.#isStale = shared !== null && shared.token === null;
  }

  get isShared(): boolean {
    return this.#options.shared !== null;
  }

  async acquire(): Promise<FencingToken> {
    const {app, common, wakeTimeoutMs} = this.#options;
    const {leases, worker, leaseMs, clock} = common;
    const patienceMs = Math.min(wakeTimeoutMs, acquirePatienceMs);
    const acquired = await patiently(clock, patienceMs, () => leases.acquire(app, {worker, ttlMs: leaseMs, takeOverOwn: true}));
    if (acquired.kind === 'held') throw leaseHeldError(app, acquired);
    this.#isStale ||= this.isShared && acquired.previous !== this.#newestOwn;
    this.#newestOwn = acquired.token;
    this.#keep(acquired.token);
    return acquired.token;
  }

  async release(token: FencingToken): Promise<void> {
    if (this.#kept?.token !== token) return;
    const lease = this.#kept;
    this.#kept = undefined;
    await lease[Symbol.asyncDispose]();
  }

  isStale(): boolean {
    return this.#isStale;
  }

  movedAway(): void {
    this.#isStale = this.isShared;
  }

  caughtUp(): void {
    this.#isStale = false;
  }

  isBusyElsewhere(): Promise<boolean> {
    return this.#options.common.isBusyElsewhere(this.#options.app);
  }

  async isUnfinishedElsewhere(): Promise<boolean> {
    return (await this.#options.shared?.isUnfinished().catch(() => false)) ?? false;
  }

  save(token: FencingToken, status: AppStatus): Promise<void> {
    const {app, common, timers} = this.#options;
    return this.#write(token, () => common.store.updateApp(app, token, recordFields(status, {worker: common.worker, timers}, common.clock.nowMs())));
  }

  /** Tells Redis what it does not know of the app, or not any more. @returns whether that was so @throws CodedError */
  async restate(token: FencingToken | null): Promise<boolean> {
    const {app, common, record} = this.#options;
    const isRestored = (await common.store.restoreApp(record(), token)) === 'restored';
    if (isRestored) common.log.warn({app}, 'Redis had lost the app, or its newest checkpoint; its record was written again');
    return isRestored;
  }

  /** Is patient with a Redis that was lost meanwhile: the app is frozen, but cannot go on before it is known what is newest. */
  async point(token: FencingToken, generation: Generation, parent: Generation | null): Promise<void> {
    const {app, common} = this.#options;
    const {worker, store, clock} = common;
    await patiently(clock, pointPatienceMs, async () => {
      try {
        const expected = this.#isPointerUnsure ? ((await store.readApp(app))?.generation ?? null) : parent;
        const commit = {parent: expected, generation, fields: {details: fromCheckpoint(worker)}};
        await this.#write(token, () => store.commitGeneration(app, token, commit));
        this.#isPointerUnsure = false;
      } catch (error) {
        if (errorCode(error) === 'ERR_REDIS_UNAVAILABLE') this.#isPointerUnsure = true;
        throw error;
      }
    });
  }

  pin(pin: Pin | null): Promise<void> {
    return this.#options.common.store.setPin(this.#options.app, pin);
  }

  event(kind: string, fields: Readonly<Record<string, string | number>>): void {
    const {app, common} = this.#options;
    const {events, clock, worker, log} = common;
    events
      .publish({...fields, at: clock.nowMs(), app, kind, ...(this.isShared ? {worker} : {})})
      .catch((error: unknown) => log.warn({app, kind, error: errorMessage(error)}, 'event not recorded'));
  }

  #keep(token: FencingToken): void {
    const {app, common, shared} = this.#options;
    const {leases, worker, leaseMs, clock, log} = common;
    const lease = keepLease(leases, app, {worker, token}, {ttlMs: leaseMs, clock, log, onOverdue: shared?.onOverdue});
    this.#kept = lease;
    lease.lost.addEventListener('abort', () => {
      if (this.#kept === lease) void this.#lost(token, lease.lost.reason);
    });
  }

  /** A Redis that was emptied knows of no newer owner either: it is told again. */
  async #lost(token: FencingToken, reason: unknown): Promise<void> {
    const {app, common, onLost} = this.#options;
    const {clock, leaseMs, log} = common;
    if (errorCode(reason) !== 'ERR_UNKNOWN_TOKEN') {
      this.#isStale = this.isShared;
      return onLost(errorMessage(reason));
    }
    try {
      await this.restate(token);
      this.#keep(token);
    } catch (error) {
      log.error({app, error: errorMessage(error)}, 'Redis has lost the app, and its record could not be written again; that is tried again');
      clock.after(leaseMs / 3, () => void this.#lost(token, reason));
    }
  }

  /** Once more where Redis has lost what the write builds on. */
  async #write(token: FencingToken, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!lossCodes.has(errorCode(error))) throw error;
      await this.restate(token);
      await write();
    }
  }
}
