/** When a running app may go to sleep: a pure rule, so that `show` can say what holds an app awake. */
export interface IdleFacts {
  /** Monotonic milliseconds, as all times here. */
  readonly nowMs: number;
  /** The last real packet to or from the app. */
  readonly lastTrafficMs: number;
  readonly runningSinceMs: number;
  /** Sessions whose client waits for an answer. */
  readonly busySessions: number;
  /** Processes that an operator has started in it. */
  readonly guests: number;
  /** Null: never. */
  readonly hibernateAfterMs: number | null;
  readonly minAwakeMs: number;
  /** Not at all until this time, which may be infinite; null: as it comes. */
  readonly pin: {readonly untilMs: number; readonly reason: string} | null;
  /** Established connections, where they count; else 0. */
  readonly connections: number;
  /** Use of processors in percent of one, where it counts; `used` is null until it has been seen for long enough. */
  readonly cpu: {readonly used: number | null; readonly above: number} | null;
  /** After an attempt that did not succeed: not before this time, and why it did not. */
  readonly notBeforeMs: number;
  readonly notBeforeReason: string;
}

export interface Wait {
  readonly kind: 'wait';
  /** Until it could sleep, or is to be looked at again. */
  readonly ms: number;
  readonly reason: string;
}

export type IdleVerdict = {readonly kind: 'sleep'} | Wait;

/** How soon to look again at an app whose client waits for an answer. */
const busyRecheckMs = 250;
/** The same for what may end at any time. */
const recheckMs = 1000;

const guestsReason = 'a command of "picogate exec" runs in it';

/** Whoever looks asks for connections only where all else would let it sleep, so they come last. */
export function judgeIdle(facts: IdleFacts): IdleVerdict {
  const {nowMs, hibernateAfterMs, busySessions, pin} = facts;
  if (pin !== null && pin.untilMs > nowMs) return wait(pin.untilMs - nowMs, pin.reason);
  if (facts.guests > 0) return wait(recheckMs, guestsReason);
  if (hibernateAfterMs === null) return wait(Number.POSITIVE_INFINITY, 'hibernate-after never');
  if (busySessions > 0) return wait(busyRecheckMs, `${busySessions} sessions wait for an answer`);
  const lastUseMs = lastUse(facts);
  const waits = [
    wait(lastUseMs + hibernateAfterMs - nowMs, `traffic ${Math.round(nowMs - lastUseMs)} ms ago`),
    wait(facts.notBeforeMs - nowMs, facts.notBeforeReason),
    wait(facts.runningSinceMs + facts.minAwakeMs - nowMs, `it was woken ${Math.round(nowMs - facts.runningSinceMs)} ms ago (min-awake)`),
  ];
  const longest = waits.reduce((a, b) => (b.ms > a.ms ? b : a));
  return longest.ms > 0 ? longest : (conditionOf(facts) ?? {kind: 'sleep'});
}

function wait(ms: number, reason: string): Wait {
  return {kind: 'wait', ms, reason};
}

function lastUse({lastTrafficMs, runningSinceMs}: IdleFacts): number {
  return Math.max(lastTrafficMs, runningSinceMs);
}

/** What `awake-while` says. */
function conditionOf({cpu, connections}: IdleFacts): Wait | null {
  if (cpu !== null && cpu.used === null) return wait(recheckMs, 'its use of processors has not been seen for long enough (awake-while cpu)');
  if (cpu !== null && (cpu.used ?? 0) > cpu.above) {
    return wait(recheckMs, `it uses ${(cpu.used ?? 0).toFixed(1)} % of a processor (awake-while cpu > ${cpu.above}%)`);
  }
  if (connections === 0) return null;
  return wait(recheckMs, `${connections === 1 ? 'one connection is' : `${connections} connections are`} open (awake-while connections)`);
}

/** How recently an app must have been used not to be put to sleep even when memory is short: it would be woken at once. */
const inUseMs = 1000;

export type EvictionVerdict =
  | {readonly kind: 'stays'; readonly reason: string}
  /** `last`: only when that of no other app is enough. */
  | {readonly kind: 'goes' | 'last'; readonly lastUseMs: number};

/**
 * Whether an app may be put to sleep because memory is short. `hibernate-after` does not count then; `min-awake` and `awake-while` do as long as there
 * are others.
 */
export function judgeEviction(facts: IdleFacts): EvictionVerdict {
  const {nowMs, pin, busySessions} = facts;
  if (pin !== null && pin.untilMs > nowMs) return {kind: 'stays', reason: pin.reason};
  if (busySessions > 0) return {kind: 'stays', reason: `${busySessions} sessions wait for an answer`};
  if (facts.guests > 0) return {kind: 'stays', reason: guestsReason};
  const lastUseMs = lastUse(facts);
  if (nowMs - lastUseMs < inUseMs) return {kind: 'stays', reason: 'it is in use'};
  if (facts.notBeforeMs > nowMs) return {kind: 'stays', reason: facts.notBeforeReason};
  const isKept = facts.runningSinceMs + facts.minAwakeMs > nowMs || conditionOf(facts) !== null;
  return {kind: isKept ? 'last' : 'goes', lastUseMs};
}
