/** Of the handshakes with clients of one bind. All but `pending` only grow. */
export interface TlsCounters {
  pending: number;
  succeeded: number;
  /** Of those: how many went on with a session of before. */
  resumed: number;
  /** Too many at a time. */
  refused: number;
  timedOut: number;
  /** The client left. */
  abandoned: number;
  /** It sent something else than a ClientHello. */
  notTls: number;
  /** It asked for no name that we have, and `strict-sni` is set. */
  unknownName: number;
  /** Its certificate is missing or bad. */
  clientCertificate: number;
  /** No common version, cipher or the like. */
  failed: number;
}

export function newTlsCounters(): TlsCounters {
  return {
    pending: 0,
    succeeded: 0,
    resumed: 0,
    refused: 0,
    timedOut: 0,
    abandoned: 0,
    notTls: 0,
    unknownName: 0,
    clientCertificate: 0,
    failed: 0,
  };
}
