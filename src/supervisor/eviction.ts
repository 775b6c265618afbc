/** Which app is put to sleep next when memory is short: a pure rule. */
import type {EvictionVerdict} from './idle.ts';

export interface Candidate {
  readonly name: string;
  readonly verdict: EvictionVerdict;
}

export interface Shortage {
  /** By all apps together. */
  readonly usedBytes: number;
  readonly highBytes: number;
  readonly lowBytes: number;
}

/**
 * The one that was used longest ago, of those that may go; while more than `highBytes` is used, even one of those that go last. Undefined when
 * enough is free, or nobody can go.
 */
export function nextVictim(candidates: readonly Candidate[], {usedBytes, highBytes, lowBytes}: Shortage): string | undefined {
  if (usedBytes <= lowBytes) return undefined;
  const oldest = (kind: 'goes' | 'last'): string | undefined => {
    const found = candidates.flatMap(({name, verdict}) => (verdict.kind === kind ? [{name, lastUseMs: verdict.lastUseMs}] : []));
    return found.sort((a, b) => a.lastUseMs - b.lastUseMs)[0]?.name;
  };
  return oldest('goes') ?? (usedBytes > highBytes ? oldest('last') : undefined);
}
