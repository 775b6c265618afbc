/** HAProxy warns of timeouts that nobody has set. */
import {isMissing, type Section} from './section.ts';

export type TimeoutName = 'timeout client' | 'timeout connect' | 'timeout server';

export function missingTimeouts(section: Section, names: readonly TimeoutName[]): readonly TimeoutName[] {
  return names.filter((name) => isMissing(section, name));
}
