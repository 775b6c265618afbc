import type {TimeStats, TrafficStats} from '../../admin/traffic-stats.ts';

/** Of several threads. Maxima are at most what is told: the threads need not have had theirs at one time. */
export function sumTraffic(first: TrafficStats, others: readonly TrafficStats[]): TrafficStats {
  return others.reduce((sum, one) => add(sum, one), first);
}

function add(a: TrafficStats, b: TrafficStats): TrafficStats {
  const parts: readonly (readonly [string, unknown])[] = Object.entries(a);
  const numbers = parts.flatMap(([name, value]) => (typeof value === 'number' ? [[name, value + Number(Reflect.get(b, name))] as const] : []));
  const digits: readonly (readonly [string, number])[] = Object.entries(a.responses);
  const responses = digits.map(([digit, count]) => [digit, count + Number(Reflect.get(b.responses, digit))] as const);
  const last = [a.lastSessionSeconds, b.lastSessionSeconds].filter((seconds) => seconds !== null);
  return {
    ...a,
    ...Object.fromEntries(numbers),
    responses: {...a.responses, ...Object.fromEntries(responses)},
    averages: times((of) => weighted(a, b, of)),
    maxima: times((of) => Math.max(a.maxima[of], b.maxima[of])),
    lastSessionSeconds: last.length === 0 ? null : Math.min(...last),
  };
}

function times(value: (of: keyof TimeStats) => number): TimeStats {
  return {queueMs: value('queueMs'), connectMs: value('connectMs'), responseMs: value('responseMs'), totalMs: value('totalMs')};
}

/** By how many sessions each average is of. */
function weighted(a: TrafficStats, b: TrafficStats, of: keyof TimeStats): number {
  const sessions = a.sessionsTotal + b.sessionsTotal;
  return sessions === 0 ? 0 : Math.round((a.averages[of] * a.sessionsTotal + b.averages[of] * b.sessionsTotal) / sessions);
}
