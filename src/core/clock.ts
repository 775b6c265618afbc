/** Time, as everything that waits sees it; tests of timing rules pass a fake one. */
export interface Clock {
  /** Milliseconds that only ever grow, from an arbitrary start; for durations. */
  monotonicMs(): number;
  /** Milliseconds since 1970, UTC; for people and records. */
  nowMs(): number;
  /** Calls `callback` once after `delayMs`; the returned function cancels it. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  nowMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
