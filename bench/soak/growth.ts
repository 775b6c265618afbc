/** Whether something becomes more and more, from what was counted at one rest after the other. */
import type {Rest} from './soak.ts';

const hourMs = 3_600_000;
/** Until then, caches fill, and what is kept of the past becomes as long as it may. */
const warmUpShare = 0.2;
/** Less than that per hour is not told from the noise of a heap. */
const leakBytesPerHour = 2 * 2 ** 20;

/** Few rests have none. */
export function afterWarmUp<Item>(rests: readonly Item[]): readonly Item[] {
  return rests.slice(Math.floor(rests.length * warmUpShare));
}

export interface Growth {
  readonly first: number;
  readonly last: number;
  readonly grows: boolean;
}

/** A count grows when even the lowest of the last rests is above the highest of the first ones. Null: fewer than two rests. */
export function countGrowth(counts: readonly number[]): Growth | null {
  const [first, last] = [counts[0], counts.at(-1)];
  if (first === undefined || last === undefined || counts.length < 2) return null;
  const few = Math.max(1, Math.floor(counts.length / 4));
  return {first, last, grows: Math.min(...counts.slice(-few)) > Math.max(...counts.slice(0, few))};
}

export interface Slope {
  readonly bytesPerHour: number;
  /** Of the slope: twice the standard error. */
  readonly uncertainty: number;
  readonly grows: boolean;
}

export interface MemoryPoint {
  readonly pid: number;
  readonly atMs: number;
  readonly bytes: number;
}

/**
 * The slope of one line per process, by least squares: a process that was replaced begins at another height, and the first third of its rests is its
 * warm-up. Null: too few points.
 */
export function memorySlope(points: readonly MemoryPoint[]): Slope | null {
  const processes = Map.groupBy(points, ({pid}) => pid)
    .values()
    .map((all) => all.slice(Math.ceil(all.length / 3)))
    .filter((all) => all.length > 0)
    .toArray();
  const centred = processes.flatMap((all) => {
    const mean = (of: 'atMs' | 'bytes'): number => all.reduce((sum, point) => sum + point[of], 0) / all.length;
    const [meanMs, meanBytes] = [mean('atMs'), mean('bytes')];
    return all.map(({atMs, bytes}) => ({hours: (atMs - meanMs) / hourMs, bytes: bytes - meanBytes}));
  });
  const freedom = centred.length - processes.length - 1;
  if (freedom < 1) return null;
  const squares = centred.reduce((sum, {hours}) => sum + hours ** 2, 0);
  const slope = centred.reduce((sum, {hours, bytes}) => sum + hours * bytes, 0) / squares;
  const rest = centred.reduce((sum, {hours, bytes}) => sum + (bytes - slope * hours) ** 2, 0);
  const uncertainty = 2 * Math.sqrt(rest / freedom / squares);
  return {bytesPerHour: slope, uncertainty, grows: slope - uncertainty > leakBytesPerHour};
}

/** Of one role, after the warm-up. */
export function memoryOf(rests: readonly Rest[], role: string): MemoryPoint[] {
  return afterWarmUp(rests).flatMap(({atMs, processes}) =>
    processes.filter((one) => one.role === role).map(({pid, proportionalBytes}) => ({pid, atMs, bytes: proportionalBytes})),
  );
}

/** Names of what became more and more. */
export function growing(rests: readonly Rest[]): string[] {
  return resourceNames(rests).filter((name) => countGrowth(countsOf(rests, name))?.grows ?? false);
}

export function resourceNames(rests: readonly Rest[]): string[] {
  return [...new Set(rests.flatMap(({counts}) => Object.keys(counts)))];
}

export function countsOf(rests: readonly Rest[], name: string): number[] {
  return afterWarmUp(rests).map(({counts}) => counts[name] ?? 0);
}
