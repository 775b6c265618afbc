/**
 * A synthetic day of many apps, most of which hardly anybody visits. How often an app is visited is log-normal among the apps, and so are the times
 * between two visits of one app: visits come in bursts with long silence between them. A few apps are busy all day.
 */
import {randomNumbers} from '../../test/helpers/random.ts';

export const dayMs = 86_400_000;

export const traceModel = {
  seed: 2016,
  /** Of the visits per day of an app that is not busy, and the deviation of their logarithm. */
  medianVisits: 1,
  visitsSigma: 1.3,
  /** The deviation of the logarithm of the times between visits: half of these are shorter than a seventh of the mean. */
  pauseSigma: 2,
  busyShare: 0.01,
  busyVisits: 2000,
  /** So that the day does not begin with a visit of all. */
  daysBefore: 30,
} as const;

export interface Visit {
  /** From the beginning of the day. */
  readonly atMs: number;
  readonly app: number;
}

/** In the order of time; the same for the same count. */
export function traceOfDay(apps: number): Visit[] {
  const random = randomNumbers(traceModel.seed);
  const busy = Math.ceil(apps * traceModel.busyShare);
  return Array.from({length: apps}, (_, app) => visitsOf(app, app < busy ? traceModel.busyVisits : visitsPerDay(random), random))
    .flat()
    .toSorted((a, b) => a.atMs - b.atMs);
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function visitsPerDay(random: () => number): number {
  return traceModel.medianVisits * Math.exp(traceModel.visitsSigma * normal(random));
}

function visitsOf(app: number, perDay: number, random: () => number): Visit[] {
  const medianMs = (dayMs / perDay) * Math.exp(-(traceModel.pauseSigma ** 2) / 2);
  const pause = (): number => medianMs * Math.exp(traceModel.pauseSigma * normal(random));
  const visits: Visit[] = [];
  for (let atMs = -traceModel.daysBefore * dayMs; atMs < dayMs; atMs += pause()) if (atMs >= 0) visits.push({atMs, app});
  return visits;
}
