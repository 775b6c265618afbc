/** What a frontend has done since it was opened; `sessions` and `waiting` are of this moment. */
export interface Counters {
  sessions: number;
  sessionsMax: number;
  waiting: number;
  accepted: number;
  /** By rules. */
  denied: number;
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
}

export function newCounters(): Counters {
  return {
    sessions: 0,
    sessionsMax: 0,
    waiting: 0,
    accepted: 0,
    denied: 0,
    handshakeFailures: 0,
    refused: 0,
    abandoned: 0,
    wakeFailures: 0,
    connectFailures: 0,
    timeouts: 0,
    bytesIn: 0,
    bytesOut: 0,
    datagramsDropped: 0,
  };
}
