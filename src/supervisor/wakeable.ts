import type {AppStatus} from './app-status.ts';

/** After a failure that may pass by itself: a balancer that is told of nothing but failures would never send the request that succeeds. */
const retryAfterMs = 60_000;

/** Whether an app that sleeps can be said to be well. A failure after which all went well is past. */
export function isWakeable({lastFailure, lastWake, lastHibernate}: Pick<AppStatus, 'lastFailure' | 'lastWake' | 'lastHibernate'>, nowMs: number): boolean {
  if (lastFailure === null) return true;
  const isPast = Math.max(lastWake?.at ?? 0, lastHibernate?.at ?? 0) > lastFailure.at;
  return isPast || (lastFailure.retryable && nowMs >= lastFailure.at + retryAfterMs);
}
