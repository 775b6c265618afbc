/** How a session ended, as the counters need it. */
export interface SessionEnd {
  /** `server-error`: an answer that could not be used, or none. */
  readonly outcome: 'done' | 'client-abort' | 'server-abort' | 'server-error';
  /** From the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Until the first byte of the answer; null: there was none. */
  readonly responseMs: number | null;
}
