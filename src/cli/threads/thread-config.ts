/** Which part of a configuration each thread serves. */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Spread} from '../../config/thread-spread.ts';

export interface ThreadPlace {
  /** The first is 0. */
  readonly index: number;
  readonly count: number;
}

/** All shares are one limit together. */
export function shareOf(total: number, {index, count}: ThreadPlace): number {
  return Math.floor(total / count) + (index < total % count ? 1 : 0);
}

/**
 * Each thread takes from the same backlog, and has its share of each `maxconn`: together they have all of it. A frontend that is not spread listens in
 * the first thread only; the others have it without its binds, so that the lists of patterns are the same in all of them.
 */
export function frontendsOfThread(frontends: readonly FrontendConfig[], {spread}: Spread, place: ThreadPlace): readonly FrontendConfig[] {
  if (place.count === 1) return frontends;
  return frontends.flatMap((frontend): readonly FrontendConfig[] => {
    if (spread.has(frontend.name)) {
      const binds = frontend.binds.map((bind) => ({...bind, maxconn: bind.maxconn === null ? null : shareOf(bind.maxconn, place)}));
      return [{...frontend, binds, maxconn: shareOf(frontend.maxconn, place)}];
    }
    if (place.index === 0) return [frontend];
    return frontend.mode === 'dns' || frontend.mode === 'nat' ? [] : [{...frontend, binds: []}];
  });
}
