import {Rate} from './rate.ts';

/** What a frontend has done since it was opened, or its counters were cleared; `sessions`, `waiting` and `tlsConnections` are of this moment. */
export interface Counters {
  sessions: number;
  sessionsMax: number;
  /** Connections that rules and handshakes have let in; of datagrams, as many as were accepted. */
  sessionsTotal: number;
  waiting: number;
  accepted: number;
  tlsConnections: number;
  tlsConnectionsTotal: number;
  /** By rules `tcp-request connection`, `session`, and by those that look at contents; `http-response` rules deny answers. */
  deniedConnections: number;
  deniedSessions: number;
  deniedRequests: number;
  deniedResponses: number;
  /** PROXY header or TLS were missing, wrong or late. */
  handshakeFailures: number;
  /** Not let in: the queue of the server was full, or a bound of the frontend was reached. */
  refused: number;
  /** Clients that left while they were held. */
  abandoned: number;
  wakeFailures: number;
  connectFailures: number;
  timeouts: number;
  bytesIn: number;
  bytesOut: number;
  /** Datagrams only: not kept while the app woke, because the session's bound was reached. */
  datagramsDropped: number;
  /** HTTP only: all, those that cannot be read, and those that were answered here. */
  requestsTotal: number;
  requestErrors: number;
  intercepted: number;
  /** Answers by the first digit of their status; the first is of all others. */
  responses: [other: number, informational: number, success: number, redirection: number, clientError: number, serverError: number];
  connectionRate: Rate;
  sessionRate: Rate;
  requestRate: Rate;
}

export function newCounters(): Counters {
  return {
    sessions: 0,
    sessionsMax: 0,
    sessionsTotal: 0,
    waiting: 0,
    accepted: 0,
    tlsConnections: 0,
    tlsConnectionsTotal: 0,
    deniedConnections: 0,
    deniedSessions: 0,
    deniedRequests: 0,
    deniedResponses: 0,
    handshakeFailures: 0,
    refused: 0,
    abandoned: 0,
    wakeFailures: 0,
    connectFailures: 0,
    timeouts: 0,
    bytesIn: 0,
    bytesOut: 0,
    datagramsDropped: 0,
    requestsTotal: 0,
    requestErrors: 0,
    intercepted: 0,
    responses: [0, 0, 0, 0, 0, 0],
    connectionRate: new Rate(),
    sessionRate: new Rate(),
    requestRate: new Rate(),
  };
}

/** A connection, or the first datagram of a client, has come. */
export function countConnection(counters: Counters, nowMs: number): void {
  counters.accepted++;
  counters.connectionRate.count(nowMs);
}

/** Rules about the contents of a stream refuse it. @param facts of the connection, whose bind may be counted for itself */
export function countDenied(counters: Counters, {listener = null}: {readonly listener?: Counters | null}): void {
  counters.deniedRequests++;
  if (listener !== null) listener.deniedRequests++;
}

/** It has become a session. The caller counts it among `sessions`. */
export function countSession(counters: Counters, nowMs: number): void {
  counters.sessionsTotal++;
  counters.sessionsMax = Math.max(counters.sessionsMax, counters.sessions);
  counters.sessionRate.count(nowMs);
}

/** `clear counters`: what is of this moment stays. */
export function clearCounters(counters: Counters, scope: 'maxima' | 'all'): void {
  const {sessions, waiting, tlsConnections} = counters;
  if (scope === 'all') Object.assign(counters, newCounters(), {sessions, waiting, tlsConnections});
  counters.sessionsMax = sessions;
  for (const rate of [counters.connectionRate, counters.sessionRate, counters.requestRate]) rate.max = 0;
}
