/**
 * Which stored pages on the way of a stream of touches are not in the local cache. Asked for chunk by chunk, each would cost a round trip to the
 * store; so there is always some of the way under way, and it is asked for in large parts.
 */

import type {PageTable} from '../checkpoints/page-table.ts';
import type {AbsentPages} from './absent-pages.ts';
import type {FetchState} from './fault-fetches.ts';
import type {Stretch} from './read-ahead.ts';

/** 1 MiB. */
const aheadPages = 256;

interface Way {
  /** What the process lacks. */
  readonly missing: PageTable;
  /** What of these pages is not there. */
  readonly absent: (segment: number, index: number, count: number) => AbsentPages | undefined;
  readonly state: (missing: AbsentPages) => FetchState;
}

/** @returns what to ask for now, the first needed first; nothing while half of the way is there or asked for */
export function wantedAhead(stretch: Stretch, way: Way): readonly AbsentPages[] {
  if (!absentOn(stretch, aheadPages / 2, way).some((part) => way.state(part) === 'unknown')) return [];
  return absentOn(stretch, aheadPages, way);
}

function absentOn({page, count, direction}: Stretch, pages: number, {missing, absent}: Way): AbsentPages[] {
  const first = direction === 1 ? page : Math.max(0, page + count - pages);
  const found = [...missing.runsIn(first, pages)].flatMap((run) => absent(run.segment, run.index, run.count) ?? []);
  return direction === 1 ? found : found.reverse();
}
