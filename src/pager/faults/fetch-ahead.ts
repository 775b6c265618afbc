/**
 * Which stored pages on the way of a stream of touches are not in the local cache. Asked for chunk by chunk, each would cost a round trip to the
 * store; so there is always some of the way under way, and it is asked for in large parts. Where a stream may only be beginning, that is guessed.
 */

import {blockPages, type PageTable} from '../checkpoints/page-table.ts';
import type {AbsentPages} from './absent-pages.ts';
import type {FetchState} from './fault-fetches.ts';
import type {Stretch} from './read-ahead.ts';

/** 1 MiB. */
const aheadPages = 256;
/** That are not known to be right, of one instance: where touches are scattered, no more than these are in vain. */
const openGuesses = 2;
/** Of one range of a guess: they come at the same time, and whoever goes on waits for no more than the next one. */
export const guessedRangeBytes = 256 * 1024;

interface Guess {
  readonly space: number;
  readonly page: number;
}

/** Faults from which a process was guessed to go on upwards. Pure data. */
export class Guesses {
  #open: Guess[] = [];

  get areTrusted(): boolean {
    return this.#open.length < openGuesses;
  }

  add(guess: Guess): void {
    this.#open.push(guess);
  }

  /** @returns whether a stream has got so far that a guess was right: behind what came with its first page */
  confirm(space: number, {page, direction}: Stretch): boolean {
    const isRight = (guess: Guess): boolean => guess.space === space && direction === 1 && page >= guess.page + blockPages && page <= guess.page + aheadPages;
    const before = this.#open.length;
    this.#open = this.#open.filter((guess) => !isRight(guess));
    return this.#open.length < before;
  }
}

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

/**
 * @param absent what of a segment is not there, whatever there are copies of
 * @returns what to ask for along with a page: of its segment, up to what the next 256 pages need of it; 1 MiB, and what its ends have in common with others
 */
export function absentBehind(page: number, {missing, absent}: Pick<Way, 'missing' | 'absent'>): readonly AbsentPages[] {
  const at = missing.get(page);
  if (at === undefined) return [];
  const ends = [...missing.runsIn(page, aheadPages)].filter(({segment}) => segment === at.segment).map(({index, count}) => index + count - at.index);
  const count = Math.max(1, ...ends.filter((end) => end <= aheadPages));
  return [absent(at.segment, at.index, count)].filter((found) => found !== undefined);
}

function absentOn({page, count, direction}: Stretch, pages: number, {missing, absent}: Way): AbsentPages[] {
  const first = direction === 1 ? page : Math.max(0, page + count - pages);
  const found = [...missing.runsIn(first, pages)].flatMap((run) => absent(run.segment, run.index, run.count) ?? []);
  return direction === 1 ? found : found.reverse();
}
