/** What a server, or a backend in all, has done: the counters behind `show stat` (HAProxy management guide). Only what is counted; the rest is computed when it is asked for. */
import {Rate} from '../rate.ts';
import type {SessionEnd} from './session-end.ts';

export interface ServerStats {
  /** smax: most sessions at a time. */
  sessionsMax: number;
  /** stot, lbtot: sessions that came here, and those of them that the balance algorithm sent. */
  sessionsTotal: number;
  balancedTotal: number;
  /** qmax: most sessions that waited at a time. */
  queueMax: number;
  bytesIn: number;
  bytesOut: number;
  /** econ, eresp, wretr, wredis. */
  connectErrors: number;
  responseErrors: number;
  retries: number;
  redispatches: number;
  clientAborts: number;
  serverAborts: number;
  /** chkfail, hanafail, chkdown. */
  failedChecks: number;
  observedFailures: number;
  timesDown: number;
  /** Clock.monotonicMs of the last change of state, and the time that it was down before. */
  changedAtMs: number;
  downtimeMs: number;
  /** Clock.monotonicMs of the last session; null: there was none. */
  lastSessionMs: number | null;
  /** Attempts to connect, and those that waited for a wake. */
  connectAttempts: number;
  wakes: number;
  wakeFailures: number;
  /** Answers by the first digit of their status; the first is of all others. */
  responses: [other: number, informational: number, success: number, redirection: number, clientError: number, serverError: number];
  sessionRate: Rate;
  queueMs: MovingAverage;
  connectMs: MovingAverage;
  responseMs: MovingAverage;
  totalMs: MovingAverage;
}

export function newServerStats(nowMs: number): ServerStats {
  return {
    sessionsMax: 0,
    sessionsTotal: 0,
    balancedTotal: 0,
    queueMax: 0,
    bytesIn: 0,
    bytesOut: 0,
    connectErrors: 0,
    responseErrors: 0,
    retries: 0,
    redispatches: 0,
    clientAborts: 0,
    serverAborts: 0,
    failedChecks: 0,
    observedFailures: 0,
    timesDown: 0,
    changedAtMs: nowMs,
    downtimeMs: 0,
    lastSessionMs: null,
    connectAttempts: 0,
    wakes: 0,
    wakeFailures: 0,
    responses: [0, 0, 0, 0, 0, 0],
    sessionRate: new Rate(),
    queueMs: new MovingAverage(),
    connectMs: new MovingAverage(),
    responseMs: new MovingAverage(),
    totalMs: new MovingAverage(),
  };
}

const averagedSamples = 1024;

/** The average of about the last 1024 samples, as in the times of `show stat`: older ones fade. */
export class MovingAverage {
  #sum = 0;
  #count = 0;
  max = 0;

  add(sample: number): void {
    if (sample > this.max) this.max = sample;
    if (this.#count < averagedSamples) this.#count++;
    else this.#sum -= this.#sum / averagedSamples;
    this.#sum += sample;
  }

  /** Rounded. */
  get value(): number {
    return this.#count === 0 ? 0 : Math.round(this.#sum / this.#count);
  }
}

/** A session has been given to the server, or has come to the backend, which has `sessions` now. */
export function countSession(stats: ServerStats, sessions: number, nowMs: number): void {
  stats.sessionsTotal++;
  stats.lastSessionMs = nowMs;
  if (sessions > stats.sessionsMax) stats.sessionsMax = sessions;
  stats.sessionRate.count(nowMs);
}

/** `clear counters`: of what it was, and since when, nothing is forgotten. @param now sessions, and those that wait, at this moment */
export function clearStats(stats: ServerStats, scope: 'maxima' | 'all', now: {readonly sessions: number; readonly queued: number}): void {
  const {changedAtMs, downtimeMs} = stats;
  if (scope === 'all') Object.assign(stats, newServerStats(changedAtMs), {downtimeMs});
  stats.sessionsMax = now.sessions;
  stats.queueMax = now.queued;
  stats.sessionRate.max = 0;
  for (const times of [stats.queueMs, stats.connectMs, stats.responseMs, stats.totalMs]) times.max = 0;
}

/** A session is over. */
export function countEnd(
  stats: ServerStats,
  {outcome, bytesIn, bytesOut, responseMs}: SessionEnd,
  {queuedMs, totalMs}: {readonly queuedMs: number; readonly totalMs: number},
): void {
  stats.bytesIn += bytesIn;
  stats.bytesOut += bytesOut;
  if (outcome === 'client-abort') stats.clientAborts++;
  if (outcome === 'server-abort') stats.serverAborts++;
  if (outcome === 'server-error') stats.responseErrors++;
  if (responseMs !== null) stats.responseMs.add(responseMs);
  stats.queueMs.add(queuedMs);
  stats.totalMs.add(totalMs);
}

export function countResponse(stats: ServerStats, status: number): void {
  const digit = Math.floor(status / 100);
  switch (digit) {
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
      stats.responses[digit]++;
      break;
    default:
      stats.responses[0]++;
  }
}
