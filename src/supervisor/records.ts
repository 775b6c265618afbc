/** The record of one app in Redis, as its owner on this worker writes it: under a lease, with the fencing token. */
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {AppName, FencingToken, Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppFields, AppRecord} from '../store/app-record.ts';
import type {Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {type KeptLease, keepLease, type Leases} from '../store/lease.ts';
import type {State as Store} from '../store/state.ts';
import type {AppStatus, Records} from './app-status.ts';

/** A worker that is silent for this long has lost its apps to another one. */
export const leaseTtlMs = 15_000;

/** What the record says besides its own fields: the layers from which an app without a checkpoint starts. */
export interface Details {
  readonly startsFromFiles: boolean;
  readonly layers: readonly string[];
}

/** Written in one step with the pointer: from then on the files that the app started from do not count. */
const fromCheckpoint = {startsFromFiles: false, layers: []};
/** The app is frozen while Redis is waited for; an embedded one is back within a fraction of a second. */
const pointPatienceMs = 2000;
/** CRIU waits no longer than a minute for the permission to let the app run. */
const acquirePatienceMs = 30_000;
const retryMs = 50;
/** A failover has lost the last writes, or Redis was emptied. (A pointer that is behind, too, is a conflict.) */
const lossCodes = new Set<string | undefined>(['ERR_UNKNOWN_APP', 'ERR_UNKNOWN_TOKEN', 'ERR_GENERATION_CONFLICT']);

/** @throws nothing: what cannot be read means an app that was never run */
export function parseDetails(details: Json): Details {
  const none: Details = {startsFromFiles: true, layers: []};
  if (typeof details !== 'object' || details === null || !('layers' in details) || !('startsFromFiles' in details)) return none;
  const layers = details.layers;
  if (!Array.isArray(layers)) return none;
  return {startsFromFiles: details.startsFromFiles === true, layers: layers.filter((layer): layer is string => typeof layer === 'string')};
}

export function recordFields(status: AppStatus, worker: string, nowMs: number): AppFields {
  const {rest} = status;
  const runs = status.token !== null;
  return {
    state: status.state,
    residency: runs ? 'hot' : rest.kind === 'checkpoint' ? 'warm' : 'none',
    worker: runs ? worker : null,
    since: nowMs,
    lastWake: status.lastWake,
    lastHibernate: status.lastHibernate,
    lastError: status.lastError,
    details: {startsFromFiles: rest.kind === 'files', layers: rest.kind === 'files' ? status.fileLayers : []},
  };
}

export interface RecordsOptions {
  readonly app: AppName;
  readonly worker: string;
  readonly store: Store;
  readonly leases: Leases;
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
  /** The lease was lost to a newer owner: the instance must end without writing. */
  readonly onLost: (reason: string) => void;
  /** All that is known of the app, for a Redis that has lost it. */
  readonly record: () => AppRecord;
  /** How long a wake waits for a Redis that is restarted, or fails over. */
  readonly wakeTimeoutMs: number;
}

/** Writes, once more where Redis has lost what the write builds on. */
async function writeRemembered(write: () => Promise<void>, restate: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!lossCodes.has(errorCode(error))) throw error;
    await restate();
    await write();
  }
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

export interface OwnRecords extends Records {
  /** Tells Redis what it does not know of the app, or not any more. @returns whether that was so @throws CodedError */
  restate(token: FencingToken | null): Promise<boolean>;
}

export function appRecords(options: RecordsOptions): OwnRecords {
  const {app, worker, store, leases, events, clock, log} = options;
  let kept: KeptLease | undefined;
  // Redis was lost while the pointer was moved: it may or may not have been.
  let unsure = false;

  const keep = (token: FencingToken): void => {
    const lease = keepLease(leases, app, {worker, token}, {ttlMs: leaseTtlMs, clock, log});
    kept = lease;
    lease.lost.addEventListener('abort', () => {
      if (kept === lease) void lost(token, lease.lost.reason);
    });
  };
  /** A Redis that was emptied knows of no newer owner either: it is told again. */
  const lost = async (token: FencingToken, reason: unknown): Promise<void> => {
    if (errorCode(reason) !== 'ERR_UNKNOWN_TOKEN') return options.onLost(errorMessage(reason));
    try {
      await restate(token);
      keep(token);
    } catch (error) {
      log.error({app, error: errorMessage(error)}, 'Redis has lost the app, and its record could not be written again; that is tried again');
      clock.after(leaseTtlMs / 3, () => void lost(token, reason));
    }
  };

  const restate = async (token: FencingToken | null): Promise<boolean> => {
    const isRestored = (await store.restoreApp(options.record(), token)) === 'restored';
    if (isRestored) log.warn({app}, 'Redis had lost the app, or its newest checkpoint; its record was written again');
    return isRestored;
  };
  const writing = (token: FencingToken, write: () => Promise<void>): Promise<void> => writeRemembered(write, () => restate(token));

  return {
    async acquire() {
      const patienceMs = Math.min(options.wakeTimeoutMs, acquirePatienceMs);
      // Tokens do not follow one another: what tells that another worker had the app is `previous`.
      const acquired = await patiently(clock, patienceMs, () => leases.acquire(app, {worker, ttlMs: leaseTtlMs, takeOverOwn: true}));
      if (acquired.kind === 'held') {
        throw new CodedError('ERR_LEASE_HELD', `Cannot wake app "${app}": worker "${acquired.worker}" has it for ${acquired.remainingMs} ms more`, {
          source: 'host',
          retryable: true,
        });
      }
      keep(acquired.token);
      return acquired.token;
    },
    async release(token) {
      if (kept?.token !== token) return;
      const lease = kept;
      kept = undefined;
      await lease[Symbol.asyncDispose]();
    },
    save: (token: FencingToken, status: AppStatus) => writing(token, () => store.updateApp(app, token, recordFields(status, worker, clock.nowMs()))),
    restate,
    async point(token: FencingToken, generation: Generation, parent: Generation | null) {
      await patiently(clock, pointPatienceMs, async () => {
        try {
          const expected = unsure ? ((await store.readApp(app))?.generation ?? null) : parent;
          const commit = {parent: expected, generation, fields: {details: fromCheckpoint}};
          await writing(token, () => store.commitGeneration(app, token, commit));
          unsure = false;
        } catch (error) {
          if (errorCode(error) === 'ERR_REDIS_UNAVAILABLE') unsure = true;
          throw error;
        }
      });
    },
    pin: (pin) => store.setPin(app, pin),
    event(kind, fields) {
      events
        .publish({...fields, at: clock.nowMs(), app, kind})
        .catch((error: unknown) => log.warn({app, kind, error: errorMessage(error)}, 'event not recorded'));
    },
  };
}
