/**
 * An app that is woken again right after it has fallen asleep has cost more than it saved. When that happens again and again it is given more time
 * without traffic before it is put to sleep, and gets its own time back as it sleeps longer, or as time goes by.
 */
export interface Flaps {
  /** How often it happened of late. */
  readonly count: number;
  /** Monotonic milliseconds: of the last wake that was counted. */
  readonly sinceMs: number;
}

export interface Nap {
  readonly asleepMs: number;
  /** What putting it to sleep and waking it took. */
  readonly costMs: number;
  /** When it was woken. */
  readonly nowMs: number;
}

export const noFlaps: Flaps = {count: 0, sinceMs: 0};

/** A sleep must last so many times what it costs. */
const worthwhile = 10;
/** So often it may happen without a consequence. */
export const tolerated = 2;
const maxDoublings = 5;
/** One time is forgotten after so long. */
const forgottenAfterMs = 10 * 60_000;

/** What counts after a nap. */
export function afterNap(flaps: Flaps, {asleepMs, costMs, nowMs}: Nap): Flaps {
  const before = countAt(flaps, nowMs);
  const count = asleepMs < worthwhile * costMs ? Math.min(before + 1, tolerated + maxDoublings) : Math.max(before - 1, 0);
  return {count, sinceMs: nowMs};
}

/** How many still count. */
export function countAt({count, sinceMs}: Flaps, nowMs: number): number {
  return Math.max(0, count - Math.floor((nowMs - sinceMs) / forgottenAfterMs));
}

/** By what `hibernate-after` is multiplied. */
export function idleFactor(flaps: Flaps, nowMs: number): number {
  return 2 ** Math.max(0, countAt(flaps, nowMs) - tolerated);
}
