/**
 * One worker owns an app at a time: a lease with an expiry, and a fencing token that proves which owner is newest. The expiry lets
 * another worker take over from a dead one; safety comes from the token alone, which Redis and the object store check on every write.
 */
import type {Clock} from '../core/clock.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {type AppName, type FencingToken, fencingToken} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Connection} from './connection.ts';
import {storeKeys} from './keys.ts';
import {badReply, outcomeReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const scripts = {
  acquire: loadScript('acquire-lease-2'),
  extend: loadScript('extend-lease-2'),
  release: loadScript('release-lease-1'),
} as const;

export type Acquired =
  /** `previous` was the newest token before, 0 when there was none: not the caller's own where somebody else had the app since. */
  | {readonly kind: 'acquired'; readonly token: FencingToken; readonly previous: number}
  | {readonly kind: 'held'; readonly worker: string; readonly remainingMs: number};
/** `extended` also for a lease that had expired, if nobody had the app since. */
export type Extended = 'extended' | 'old-token' | 'unknown-token';

export interface Holder {
  readonly worker: string;
  readonly token: FencingToken;
}

/** Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND, ERR_BAD_STATE. */
export interface Leases {
  /** @param request.takeOverOwn a lease under the same worker name is an earlier run's, and is replaced */
  acquire(app: AppName, request: {readonly worker: string; readonly ttlMs: number; readonly takeOverOwn?: boolean}): Promise<Acquired>;
  extend(app: AppName, holder: Holder, ttlMs: number): Promise<Extended>;
  /** The worker that has it now, and for how long if it does not extend it; null: none. */
  owner(app: AppName): Promise<{readonly worker: string; readonly remainingMs: number} | null>;
  /** @returns false when it was no longer the holder's */
  release(app: AppName, holder: Holder): Promise<boolean>;
}

/** @param options.prefix of all keys; default `picogate` */
export function openLeases(connection: Connection, options: {readonly prefix?: string} = {}): Leases {
  const keys = storeKeys(options.prefix);
  return {
    async acquire(app, {worker, ttlMs, takeOverOwn = false}) {
      const key = keys.lease(app);
      const reply = await runScript(connection, scripts.acquire, [key, keys.token(app)], [worker, ttlMs, takeOverOwn ? '1' : '0']);
      const {kind, rest} = outcomeReply(key, reply);
      const [first, second] = rest;
      if (kind === 'acquired' && typeof first === 'number' && typeof second === 'number') return {kind, token: fencingToken(first), previous: second};
      if (kind === 'held' && typeof first === 'string' && typeof second === 'number') return {kind, worker: first, remainingMs: second};
      return badReply(key, reply, "a lease script's result");
    },
    async extend(app, {worker, token}, ttlMs) {
      const key = keys.lease(app);
      const reply = await runScript(connection, scripts.extend, [key, keys.token(app)], [worker, token, ttlMs]);
      const {kind} = outcomeReply(key, reply);
      return kind === 'extended' || kind === 'old-token' || kind === 'unknown-token' ? kind : badReply(key, reply, "a lease script's result");
    },
    async owner(app) {
      const key = keys.lease(app);
      const [held, remainingMs] = await Promise.all([connection.call('GET', key), connection.call('PTTL', key)]);
      if (held === null) return null;
      const worker = typeof held === 'string' ? /^\d+ (.*)$/s.exec(held)?.[1] : undefined;
      return worker === undefined ? badReply(key, held, 'a lease') : {worker, remainingMs: Math.max(0, Number(remainingMs))};
    },
    async release(app, {worker, token}) {
      const key = keys.lease(app);
      return outcomeReply(key, await runScript(connection, scripts.release, [key], [worker, token])).kind === 'released';
    },
  };
}

/** What is to be done when a lease has run out takes a moment: so much of it is left then. */
const overdueMargin = 0.05;

export interface KeptLease extends AsyncDisposable {
  readonly token: FencingToken;
  /** Aborted when a newer owner, or a Redis that has lost state, makes the token worthless; its reason is a CodedError. */
  readonly lost: AbortSignal;
  /** Until when (Clock.monotonicMs) nobody else can have taken the lease, for all we know. */
  validUntilMs(): number;
}

export interface KeepOptions {
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Told with true when the lease is about to run out without having been extended, and somebody else may take it then; with false when it is held again. */
  readonly onOverdue?: ((isOverdue: boolean) => void) | undefined;
}

/**
 * Extends a lease three times per period until it is disposed (then the lease is released) or lost. While Redis cannot be reached it
 * goes on trying: after an expiry the lease is taken again unless there was another owner.
 */
export function keepLease(leases: Leases, app: AppName, holder: Holder, options: KeepOptions): KeptLease {
  const {ttlMs, clock, log, onOverdue} = options;
  const lost = new AbortController();
  let validUntilMs = clock.monotonicMs() + ttlMs;
  let stopped = false;
  let cancel: () => void;
  let current: Promise<void> = Promise.resolve();
  let isOverdue = false;
  let cancelOverdue = (): void => undefined;
  const overdue = (now: boolean): void => {
    if (isOverdue === now) return;
    isOverdue = now;
    onOverdue?.(now);
  };
  const watchExpiry = (): void => {
    cancelOverdue();
    if (onOverdue !== undefined) cancelOverdue = clock.after(Math.max(0, validUntilMs - ttlMs * overdueMargin - clock.monotonicMs()), () => overdue(true));
  };

  const extend = async (): Promise<void> => {
    const askedAtMs = clock.monotonicMs();
    try {
      const result = await leases.extend(app, holder, ttlMs);
      if (result === 'extended') {
        validUntilMs = askedAtMs + ttlMs;
        if (stopped) return;
        watchExpiry();
        overdue(false);
      } else {
        loose(result);
      }
    } catch (error) {
      log.warn({app, reason: errorMessage(error)}, 'lease not extended, trying again');
    }
    if (!stopped && !lost.signal.aborted) cancel = schedule();
  };
  const loose = (result: 'old-token' | 'unknown-token'): void => {
    const why = result === 'old-token' ? 'it has a newer owner' : 'Redis has lost state';
    cancelOverdue();
    lost.abort(
      new CodedError(result === 'old-token' ? 'ERR_OLD_TOKEN' : 'ERR_UNKNOWN_TOKEN', `Cannot keep the lease of app "${app}": ${why}`, {source: 'host'}),
    );
  };
  const schedule = (): (() => void) =>
    clock.after(ttlMs / 3, () => {
      current = extend();
    });

  cancel = schedule();
  watchExpiry();
  return {
    token: holder.token,
    lost: lost.signal,
    validUntilMs: () => validUntilMs,
    async [Symbol.asyncDispose]() {
      if (stopped) return;
      stopped = true;
      cancel();
      cancelOverdue();
      await current;
      if (lost.signal.aborted) return;
      try {
        await leases.release(app, holder);
      } catch (error) {
        log.warn({app, reason: errorMessage(error)}, 'lease not released, it will expire');
      }
    },
  };
}
