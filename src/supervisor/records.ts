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
const pointRetryMs = 50;

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
}

export function appRecords(options: RecordsOptions): Records {
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
      await store.restoreApp(options.record(), token);
      log.warn({app}, 'Redis had lost the app; its record was written again');
      keep(token);
    } catch (error) {
      log.error({app, error: errorMessage(error)}, 'Redis has lost the app, and its record could not be written again; that is tried again');
      clock.after(leaseTtlMs / 3, () => void lost(token, reason));
    }
  };

  return {
    async acquire() {
      const acquired = await leases.acquire(app, {worker, ttlMs: leaseTtlMs, takeOverOwn: true});
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
    save: (token: FencingToken, status: AppStatus) => store.updateApp(app, token, recordFields(status, worker, clock.nowMs())),
    async point(token: FencingToken, generation: Generation, parent: Generation | null) {
      const deadlineMs = clock.monotonicMs() + pointPatienceMs;
      for (;;) {
        try {
          const expected = unsure ? ((await store.readApp(app))?.generation ?? null) : parent;
          await store.commitGeneration(app, token, {parent: expected, generation, fields: {details: fromCheckpoint}});
          unsure = false;
          return;
        } catch (error) {
          if (errorCode(error) !== 'ERR_REDIS_UNAVAILABLE') throw error;
          unsure = true;
          if (clock.monotonicMs() > deadlineMs) throw error;
          await new Promise<void>((resolve) => clock.after(pointRetryMs, resolve));
        }
      }
    },
    pin: (pin) => store.setPin(app, pin),
    event(kind, fields) {
      events
        .publish({...fields, at: clock.nowMs(), app, kind})
        .catch((error: unknown) => log.warn({app, kind, error: errorMessage(error)}, 'event not recorded'));
    },
  };
}
