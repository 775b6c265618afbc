/** What is known about a request when it is over, for the log (HAProxy's manual, section 8.2). */
import type {SessionTimes, SessionWake} from '../logs/session-record.ts';

export interface RequestRecord {
  readonly times: SessionTimes;
  readonly requestNumber: number;
  /** Null: none was chosen. */
  readonly backend: string | null;
  readonly server: string | null;
  readonly serverAddress: {readonly host: string; readonly port: number} | null;
  readonly backendSource: {readonly host: string; readonly port: number} | null;
  /** As received; null: it was not understood. */
  readonly request: {readonly method: string; readonly uri: string; readonly version: string} | null;
  /** 0: none. */
  readonly status: number;
  readonly bytesFromServer: number;
  readonly bytesFromClient: number;
  /** Who ended it, in which phase, and two about the persistence cookie; `----` is a good end. */
  readonly termination: string;
  readonly requestCookie: string | null;
  readonly responseCookie: string | null;
  readonly wake: SessionWake | null;
  readonly retries: number;
  readonly redispatched: boolean;
  /** Of `set-log-level`: `silent` leaves no line. */
  readonly logLevel: string | null;
  /** Why it was refused, for people; null: it was not. */
  readonly reason: string | null;
}

export interface BrokenRequestFacts {
  readonly session: {readonly facts: {readonly acceptedAtMs: number}; readonly acceptedMs: number; readonly handshakeMs: number};
  readonly idleSinceMs: number;
  /** 0: nothing came. */
  readonly firstByteMs: number;
  readonly nowMs: number;
  readonly wallMs: number;
  readonly status: number;
  readonly bytes: {readonly in: number; readonly out: number};
  readonly termination: string;
  readonly reason: string;
}

/** Of a request that could not be read. */
export function brokenRequestRecord({session, nowMs, wallMs, firstByteMs, ...facts}: BrokenRequestFacts): RequestRecord {
  const isBegun = firstByteMs !== 0;
  return {
    times: {
      acceptedAtMs: session.facts.acceptedAtMs,
      requestAtMs: wallMs - (nowMs - (isBegun ? firstByteMs : facts.idleSinceMs)),
      handshakeMs: session.handshakeMs,
      idleMs: isBegun ? Math.max(0, Math.round(firstByteMs - facts.idleSinceMs)) : null,
      requestMs: null,
      waitMs: null,
      connectMs: null,
      responseMs: null,
      activeMs: Math.round(nowMs - (isBegun ? firstByteMs : facts.idleSinceMs)),
      totalMs: Math.round(nowMs - session.acceptedMs),
    },
    requestNumber: 0,
    backend: null,
    server: null,
    serverAddress: null,
    backendSource: null,
    request: null,
    status: facts.status,
    bytesFromServer: facts.bytes.out,
    bytesFromClient: facts.bytes.in,
    termination: facts.termination,
    requestCookie: null,
    responseCookie: null,
    wake: null,
    retries: 0,
    redispatched: false,
    logLevel: null,
    reason: facts.reason,
  };
}
