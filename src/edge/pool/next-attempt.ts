/** What to do after a server could not be connected to (HAProxy manual, `retries`, `option redispatch`). */
import type {BackendConfig} from '../../config/proxy-value.ts';

/**
 * A listener that accepted a moment ago may refuse once more, for example while a server that was woken replaces its workers. So many
 * further attempts, the first at once, the others after these delays.
 */
const wokenDelaysMs = [0, 5, 20, 50, 100] as const;
/** Between two attempts on one server. */
const turnAroundMs = 1000;

export interface FailedAttempt {
  readonly backend: Pick<BackendConfig, 'balance' | 'retries' | 'redispatch' | 'retryOn' | 'connectTimeoutMs' | 'wakeTimeoutMs'>;
  /** Attempts that this session has made after its first one, and those of them that were due to a wake. */
  readonly retries: number;
  readonly wokenRetries: number;
  /** Since the session was given to the server. */
  readonly elapsedMs: number;
  readonly server: {readonly isApp: boolean; readonly isUp: boolean};
  readonly wasRefused: boolean;
  /** The server was chosen by what the client brought (a cookie, a stick table), not by balance. */
  readonly isPersistent: boolean;
  readonly usableServers: number;
}

export type NextAttempt =
  /** `isWoken`: does not count as a retry. */
  {readonly kind: 'same'; readonly delayMs: number; readonly isWoken: boolean} | {readonly kind: 'other'} | {readonly kind: 'give-up'};

export function nextAttempt(failed: FailedAttempt): NextAttempt {
  const {backend, server, retries} = failed;
  if (server.isApp && failed.wasRefused) {
    const delayMs = wokenDelaysMs[failed.wokenRetries];
    if (delayMs !== undefined && failed.elapsedMs + delayMs < backend.wakeTimeoutMs) return {kind: 'same', delayMs, isWoken: true};
  }
  if (retries >= backend.retries || !backend.retryOn.includes('conn-failure')) return {kind: 'give-up'};
  if (server.isApp) return mayLeave(failed) ? {kind: 'other'} : lookAgain(failed);
  if (isRedispatched(failed) || balancesAgain(failed)) return {kind: 'other'};
  return {kind: 'same', delayMs: Math.min(turnAroundMs, backend.connectTimeoutMs), isWoken: false};
}

/** Whoever does not answer may be a worker that is gone, and the app be elsewhere by now. */
function lookAgain({wasRefused, elapsedMs, backend}: FailedAttempt): NextAttempt {
  return wasRefused || elapsedMs > backend.wakeTimeoutMs ? {kind: 'give-up'} : {kind: 'same', delayMs: 0, isWoken: false};
}

/** A session whose server is dead to it may go to another one, whichever attempt this is. */
export function mayLeave(failed: Pick<FailedAttempt, 'backend' | 'isPersistent' | 'usableServers'>): boolean {
  return failed.backend.redispatch !== null || balancesAgain(failed);
}

/** n: every nth attempt; -n: the nth before the last, 0 as -1. */
function isRedispatched({backend: {redispatch, retries: maxRetries}, retries, server}: FailedAttempt): boolean {
  if (redispatch === null) return false;
  if (!server.isUp) return true;
  const attempt = retries + 1;
  if (redispatch > 0) return attempt % redispatch === 0;
  const interval = maxRetries + 1 + (redispatch === 0 ? -1 : redispatch);
  return interval > 0 && attempt % interval === 0;
}

/** Where sessions take turns anyway, the next attempt is simply the next turn. */
function balancesAgain({backend: {balance}, isPersistent, usableServers}: Pick<FailedAttempt, 'backend' | 'isPersistent' | 'usableServers'>): boolean {
  return !isPersistent && usableServers > 1 && ['roundrobin', 'static-rr', 'random'].includes(balance.kind);
}
