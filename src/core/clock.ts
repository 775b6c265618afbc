/** Time, as everything that waits sees it; tests of timing rules pass a fake one. */
export interface Clock {
  /** Milliseconds that only ever grow, from an arbitrary start; for durations. */
  monotonicMs(): number;
  /** Milliseconds since 1970, UTC; for people and records. */
  nowMs(): number;
  /** Calls `callback` once after `delayMs`; the returned function cancels it. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

/** While one event is dealt with, in microseconds, all that asks is told the same time: asking takes longer than most of what is done with it. */
const held = {isHeld: false, monotonicMs: 0, nowMs: 0};

/** From now on the system clock stands, until it is asked to again or `releaseTime`. @returns its `monotonicMs` */
export function holdTime(): number {
  held.isHeld = true;
  held.nowMs = 0;
  held.monotonicMs = performance.now();
  return held.monotonicMs;
}

export function releaseTime(): void {
  held.isHeld = false;
}

export const systemClock: Clock = {
  monotonicMs: () => (held.isHeld ? held.monotonicMs : performance.now()),
  nowMs() {
    if (!held.isHeld) return Date.now();
    if (held.nowMs === 0) held.nowMs = Date.now();
    return held.nowMs;
  },
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
