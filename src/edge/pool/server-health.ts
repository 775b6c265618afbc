/**
 * Whether a server is up, as HAProxy decides it: a counter from 0 to rise + fall - 1. It is up from `rise` on; a success or failure moves the
 * counter by one, and where that crosses `rise` it goes on to the end, so that the other direction takes its whole number again.
 */
import type {PassiveChecks} from '../../config/health.ts';

export interface HealthThresholds {
  readonly rise: number;
  readonly fall: number;
}

/** Up, but down at the first failure. */
export function initialHealth({rise}: HealthThresholds): number {
  return rise;
}

export function bestHealth({rise, fall}: HealthThresholds): number {
  return rise + fall - 1;
}

export function healthAfter(health: number, passed: boolean, thresholds: HealthThresholds): number {
  const {rise} = thresholds;
  if (passed) {
    const next = Math.min(health + 1, bestHealth(thresholds));
    return next >= rise ? bestHealth(thresholds) : next;
  }
  const next = Math.max(health - 1, 0);
  return next < rise ? 0 : next;
}

export function isUp(health: number, {rise}: HealthThresholds): boolean {
  return health >= rise;
}

/** The counter before the failed check that `on-error` makes of too many errors; null: it makes none. */
export function healthAtErrors(health: number, onError: PassiveChecks['onError'], {rise}: HealthThresholds): number | null {
  switch (onError) {
    case 'fastinter':
      return null;
    case 'fail-check':
      return health;
    case 'sudden-death':
      return Math.min(health, rise + 1);
    case 'mark-down':
      return rise;
    default:
      return onError satisfies never;
  }
}

/** `3/3 UP`, `1/2 DOWN`: how far it is from changing. */
export function describeHealth(health: number, thresholds: HealthThresholds, upWord: 'UP' | 'DRAIN'): string {
  const {rise, fall} = thresholds;
  return isUp(health, thresholds) ? `${health - rise + 1}/${fall} ${upWord}` : `${health}/${rise} DOWN`;
}
