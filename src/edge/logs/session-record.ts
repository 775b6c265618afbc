/** What is known about a finished or running session, or one request of it: HAProxy's manual, sections 8.2 and 8.4. */

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Durations in milliseconds; null: that point was not reached, and the log says -1. Names in parentheses are those of the log variables.
 */
export interface SessionTimes {
  /** When the connection was accepted (`%t`) and when the first byte of this request came (`%tr`), since 1970. */
  readonly acceptedAtMs: number;
  readonly requestAtMs: number;
  /** PROXY header and TLS (`%Th`), waiting for a request (`%Ti`), and its head (`%TR`). */
  readonly handshakeMs: number | null;
  readonly idleMs: number | null;
  readonly requestMs: number | null;
  /** In queues, for an app to wake included (`%Tw`); connecting (`%Tc`); the head of the answer (`%Tr`). */
  readonly waitMs: number | null;
  readonly connectMs: number | null;
  readonly responseMs: number | null;
  /** From the first byte of the request (`%Ta`), and from accept, to the end (`%Tt`). */
  readonly activeMs: number | null;
  readonly totalMs: number | null;
}

/** `actconn/feconn/beconn/srv_conn/retries srv_queue/backend_queue` */
export interface SessionCounts {
  readonly process: number;
  readonly frontend: number;
  readonly backend: number;
  readonly server: number;
  readonly retries: number;
  /** Another server was taken in the end: `+` before the retries. */
  readonly redispatched: boolean;
  readonly serverQueue: number;
  readonly backendQueue: number;
}

/** A session that was held while its app woke. */
export interface SessionWake {
  readonly app: string;
  /** As far as it was waited for. */
  readonly ms: number;
  /** What of the session was a reason for the wake: `tcp/80 GET /wiki`. */
  readonly trigger: string;
}

export interface SessionRecord {
  readonly times: SessionTimes;
  readonly counts: SessionCounts;
  /** The number of this request in the process (`%rt`), and of this line in its frontend (`%lc`). */
  readonly requestNumber: number;
  readonly lineNumber: number;
  /** Null: none was chosen; then a request that the frontend answered itself has the frontend's name. */
  readonly backend: string | null;
  /** Null: none was reached, `<NOSRV>`. */
  readonly server: string | null;
  readonly serverAddress: Endpoint | null;
  /** Our end of the connection to the server. */
  readonly backendSource: Endpoint | null;
  /** As received, before any rule changed it; null: it was not understood, `<BADREQ>`. */
  readonly request: {readonly method: string; readonly uri: string; readonly version: string} | null;
  /** 0: none; the log says -1. */
  readonly status: number;
  readonly bytesFromServer: number;
  readonly bytesFromClient: number;
  /** Four characters: who ended it, in which phase, and two about the persistence cookie; `----` is a good end. */
  readonly termination: string;
  readonly requestCookie: string | null;
  readonly responseCookie: string | null;
  /** Null: its app was awake, or its server is none. */
  readonly wake: SessionWake | null;
}
