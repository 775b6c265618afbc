import type {Counters} from '../counters.ts';
import type {RequestRecord} from './session-record.ts';

/**
 * Counts a request that is over, as its termination state tells how it ended (HAProxy's manual, section 8.5): who ended it, and in which phase.
 * @param nowMs of Clock.monotonicMs
 */
export function countRequest(counters: Counters, {status, termination, request}: RequestRecord, nowMs: number): void {
  // A connection that ended, or idled for too long, without a request.
  if (request === null && status === 0) return;
  counters.requestsTotal++;
  counters.requestRate.count(nowMs);
  const digit = Math.floor(status / 100);
  if (status > 0) counters.responses[isClass(digit) ? digit : 0]++;
  const [cause = '-', phase = '-'] = termination;
  if (phase === 'R') countEndAtRequest(counters, cause, request === null || status === 400);
  else if (cause === 'P' && phase === 'H') counters.deniedResponses++;
}

/** It came to no server. */
function countEndAtRequest(counters: Counters, cause: string, isMalformed: boolean): void {
  if (cause === 'L') counters.intercepted++;
  else if (cause === 'P' && !isMalformed) counters.deniedRequests++;
  else counters.requestErrors++;
}

function isClass(digit: number): digit is 1 | 2 | 3 | 4 | 5 {
  return digit >= 1 && digit <= 5;
}
