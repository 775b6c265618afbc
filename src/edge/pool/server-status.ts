import {bestHealth, type HealthThresholds} from './server-health.ts';
import type {AdminState, Condition} from './server-host.ts';

interface Shown {
  readonly condition: Condition;
  readonly admin: AdminState;
  readonly health: number;
  readonly isDownByAgent: boolean;
  readonly config: {readonly check: unknown};
}

/** What `show stat` calls the state of a server. @param facts.isFollower it has the state of another one */
export function statusOf({condition, admin, health, isDownByAgent, config}: Shown, facts: {thresholds: HealthThresholds; isFollower: boolean}): string {
  const {thresholds, isFollower} = facts;
  switch (condition) {
    case 'maint':
      return admin === 'maint' ? 'MAINT' : 'MAINT (resolution)';
    case 'nolb':
      return 'NOLB';
    case 'drain':
      return 'DRAIN';
    case 'down':
      return isDownByAgent ? 'DOWN (agent)' : health === 0 ? 'DOWN' : `DOWN ${health}/${thresholds.rise}`;
    case 'up':
      if (config.check === null && !isFollower) return 'no check';
      if (isFollower || health === bestHealth(thresholds)) return 'UP';
      return `UP ${health - thresholds.rise + 1}/${thresholds.fall}`;
    default:
      return condition satisfies never;
  }
}
