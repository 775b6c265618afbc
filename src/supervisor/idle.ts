/** When a running app may go to sleep: a pure rule, so that `show` can say what holds an app awake. */
export interface IdleFacts {
  /** Monotonic milliseconds, as all times here. */
  readonly nowMs: number;
  /** The last real packet to or from the app. */
  readonly lastTrafficMs: number;
  readonly runningSinceMs: number;
  /** Sessions whose client waits for an answer. */
  readonly busySessions: number;
  /** Null: never. */
  readonly hibernateAfterMs: number | null;
  /** After an attempt that did not succeed: not before this time, and why it did not. */
  readonly notBeforeMs: number;
  readonly notBeforeReason: string;
}

export type IdleVerdict = {readonly kind: 'sleep'} | {readonly kind: 'wait'; readonly ms: number; readonly reason: string};

/** How soon to look again at an app whose client waits for an answer. */
const busyRecheckMs = 250;

export function judgeIdle(facts: IdleFacts): IdleVerdict {
  if (facts.hibernateAfterMs === null) return {kind: 'wait', ms: Number.POSITIVE_INFINITY, reason: 'hibernate-after never'};
  if (facts.busySessions > 0) return {kind: 'wait', ms: busyRecheckMs, reason: `${facts.busySessions} sessions wait for an answer`};
  const idleSinceMs = Math.max(facts.lastTrafficMs, facts.runningSinceMs);
  const idleLeftMs = idleSinceMs + facts.hibernateAfterMs - facts.nowMs;
  const backOffLeftMs = facts.notBeforeMs - facts.nowMs;
  if (idleLeftMs <= 0 && backOffLeftMs <= 0) return {kind: 'sleep'};
  if (backOffLeftMs > idleLeftMs) return {kind: 'wait', ms: backOffLeftMs, reason: facts.notBeforeReason};
  return {kind: 'wait', ms: idleLeftMs, reason: `traffic ${Math.round(facts.nowMs - idleSinceMs)} ms ago`};
}
