/** What the edge counts, in the words of the runtime API. */
import {noTraffic, type TrafficStats} from '../admin/traffic-stats.ts';
import type {Counters} from '../edge/counters.ts';
import type {ServerStats} from '../edge/pool/server-stats.ts';

type Responses = Counters['responses'];

function responseCounts([other, informational, success, redirection, clientError, serverError]: Responses): TrafficStats['responses'] {
  return {other, informational, success, redirection, clientError, serverError};
}

/** @param nowMs of Clock.monotonicMs */
export function frontendTraffic(counters: Counters, nowMs: number): TrafficStats {
  return {
    ...noTraffic,
    sessions: counters.sessions,
    sessionsMax: counters.sessionsMax,
    sessionsTotal: counters.sessionsTotal,
    sessionRate: counters.sessionRate.read(nowMs),
    sessionRateMax: counters.sessionRate.max,
    connectionsTotal: counters.accepted,
    connectionRate: counters.connectionRate.read(nowMs),
    connectionRateMax: counters.connectionRate.max,
    queued: counters.waiting,
    bytesIn: counters.bytesIn,
    bytesOut: counters.bytesOut,
    deniedConnections: counters.deniedConnections,
    deniedSessions: counters.deniedSessions,
    deniedRequests: counters.deniedRequests,
    deniedResponses: counters.deniedResponses,
    requestErrors: counters.requestErrors,
    requestsTotal: counters.requestsTotal,
    requestRate: counters.requestRate.read(nowMs),
    requestRateMax: counters.requestRate.max,
    intercepted: counters.intercepted,
    responses: responseCounts(counters.responses),
  };
}

/** Of a server, or a backend. @param now sessions, and those that wait, at this moment; `nowMs` is of Clock.monotonicMs */
export function serverTraffic(stats: ServerStats, now: {readonly sessions: number; readonly queued: number; readonly nowMs: number}): TrafficStats {
  const {queueMs, connectMs, responseMs, totalMs, responses, sessionRate, lastSessionMs} = stats;
  return {
    ...noTraffic,
    sessions: now.sessions,
    sessionsMax: stats.sessionsMax,
    sessionsTotal: stats.sessionsTotal,
    sessionRate: sessionRate.read(now.nowMs),
    sessionRateMax: sessionRate.max,
    queued: now.queued,
    queuedMax: stats.queueMax,
    bytesIn: stats.bytesIn,
    bytesOut: stats.bytesOut,
    // An app that does not wake up cannot be connected to.
    connectErrors: stats.connectErrors + stats.wakeFailures,
    responseErrors: stats.responseErrors,
    retries: stats.retries,
    redispatches: stats.redispatches,
    clientAborts: stats.clientAborts,
    serverAborts: stats.serverAborts,
    connects: stats.connectAttempts,
    chosen: stats.balancedTotal,
    requestsTotal: responses.reduce((sum, count) => sum + count, 0),
    responses: responseCounts(responses),
    averages: {queueMs: queueMs.value, connectMs: connectMs.value, responseMs: responseMs.value, totalMs: totalMs.value},
    maxima: {
      queueMs: Math.round(queueMs.max),
      connectMs: Math.round(connectMs.max),
      responseMs: Math.round(responseMs.max),
      totalMs: Math.round(totalMs.max),
    },
    lastSessionSeconds: lastSessionMs === null ? null : Math.floor((now.nowMs - lastSessionMs) / 1000),
  };
}
