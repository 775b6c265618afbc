/** What frontends, backends and servers count. HAProxy's columns are made of it, under HAProxy's names (manual, section 9.1). */

/** By the first digit of the status. */
export interface ResponseCounts {
  readonly informational: number;
  readonly success: number;
  readonly redirection: number;
  readonly clientError: number;
  readonly serverError: number;
  readonly other: number;
}

/** Averages, or largest values, in milliseconds. */
export interface TimeStats {
  readonly queueMs: number;
  readonly connectMs: number;
  readonly responseMs: number;
  readonly totalMs: number;
}

/** Totals are since the start or the last `clear counters all`; rates are per second. */
export interface TrafficStats {
  readonly sessions: number;
  readonly sessionsMax: number;
  readonly sessionsTotal: number;
  readonly sessionRate: number;
  readonly sessionRateMax: number;
  readonly queued: number;
  readonly queuedMax: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly deniedRequests: number;
  readonly deniedResponses: number;
  readonly deniedConnections: number;
  readonly deniedSessions: number;
  readonly requestErrors: number;
  readonly connectErrors: number;
  readonly responseErrors: number;
  readonly retries: number;
  readonly redispatches: number;
  readonly clientAborts: number;
  readonly serverAborts: number;
  readonly requestsTotal: number;
  readonly requestRate: number;
  readonly requestRateMax: number;
  readonly connectionsTotal: number;
  readonly connectionRate: number;
  readonly connectionRateMax: number;
  /** Connections that were opened to servers, and sessions that found an open one. */
  readonly connects: number;
  readonly reuses: number;
  /** Requests that were answered here. */
  readonly intercepted: number;
  /** How often a server was chosen by the balancing algorithm. */
  readonly chosen: number;
  readonly responses: ResponseCounts;
  readonly averages: TimeStats;
  readonly maxima: TimeStats;
  /** Seconds since the last session began; null: there was none. */
  readonly lastSessionSeconds: number | null;
}

const noTimes: TimeStats = {queueMs: 0, connectMs: 0, responseMs: 0, totalMs: 0};

/** For what counts only a part: `{...noTraffic, sessions}`. */
export const noTraffic: TrafficStats = {
  sessions: 0,
  sessionsMax: 0,
  sessionsTotal: 0,
  sessionRate: 0,
  sessionRateMax: 0,
  queued: 0,
  queuedMax: 0,
  bytesIn: 0,
  bytesOut: 0,
  deniedRequests: 0,
  deniedResponses: 0,
  deniedConnections: 0,
  deniedSessions: 0,
  requestErrors: 0,
  connectErrors: 0,
  responseErrors: 0,
  retries: 0,
  redispatches: 0,
  clientAborts: 0,
  serverAborts: 0,
  requestsTotal: 0,
  requestRate: 0,
  requestRateMax: 0,
  connectionsTotal: 0,
  connectionRate: 0,
  connectionRateMax: 0,
  connects: 0,
  reuses: 0,
  intercepted: 0,
  chosen: 0,
  responses: {informational: 0, success: 0, redirection: 0, clientError: 0, serverError: 0, other: 0},
  averages: noTimes,
  maxima: noTimes,
  lastSessionSeconds: null,
};
