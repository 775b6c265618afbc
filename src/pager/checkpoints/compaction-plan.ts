/**
 * Which segments of a generation are to be rewritten into one. Every sleep with changed pages adds a segment, and an old one stays while one
 * of its pages is used, so without this the number of segments and the space for dead pages would grow for ever.
 *
 * Merging the smallest, in the way of log-structured merge trees, keeps the work small: a page is rewritten about once per doubling of what
 * it is merged with, not once per sleep.
 */

/** As one generation sees a segment. */
export interface SegmentUse {
  readonly segment: number;
  readonly storedPages: number;
  /** Pages of it that a page table refers to; each counts once. */
  readonly livePages: number;
}

/** A generation refers to at most so many segments; beyond it, they are merged. */
export const segmentsMax = 8;
/** The segments that a merge leaves, so that the next sleeps need none. */
const segmentsAfterMerge = 5;
/** Of what is stored, so much is in use at least. */
export const liveShareMin = 1 / 2;

export interface RewritePlan {
  /** The segments to rewrite; none when all is well. */
  readonly segments: ReadonlySet<number>;
  /** What is in use of them, and is to be written. */
  readonly pages: number;
  /** Nothing is left to be done after it. */
  readonly isWhole: boolean;
}

/**
 * The smallest of the segments that are to be rewritten, as far as they come to no more than `pagesMax` pages; the two smallest at least, since fewer
 * segments would not come of less.
 */
export function planWithin(uses: readonly SegmentUse[], pagesMax: number): RewritePlan {
  const wanted = segmentsToRewrite(uses);
  const segments = new Set<number>();
  let pages = 0;
  for (const {segment, livePages} of uses.filter((use) => wanted.has(use.segment)).sort((a, b) => a.livePages - b.livePages)) {
    if (segments.size >= 2 && pages + livePages > pagesMax) break;
    segments.add(segment);
    pages += livePages;
  }
  return {segments, pages, isWhole: segments.size === wanted.size};
}

/** @returns the segments to rewrite, none when all is well */
export function segmentsToRewrite(uses: readonly SegmentUse[]): ReadonlySet<number> {
  const stored = uses.reduce((sum, {storedPages}) => sum + storedPages, 0);
  const live = uses.reduce((sum, {livePages}) => sum + livePages, 0);
  if (uses.length <= segmentsMax && live >= stored * liveShareMin) return new Set();
  const chosen = new Set(uses.filter(({storedPages, livePages}) => livePages < storedPages * liveShareMin).map(({segment}) => segment));
  if (uses.length > segmentsMax) for (const segment of smallest(uses, chosen)) chosen.add(segment);
  return chosen;
}

/** The smallest segments, as many as must be merged; and those after them that are no larger than what is merged already. */
function* smallest(uses: readonly SegmentUse[], chosen: ReadonlySet<number>): Generator<number, undefined> {
  let left = uses.length - chosen.size + 1;
  let mergedPages = uses.reduce((sum, {segment, livePages}) => sum + (chosen.has(segment) ? livePages : 0), 0);
  for (const {segment, livePages} of uses.filter((use) => !chosen.has(use.segment)).sort((a, b) => a.livePages - b.livePages)) {
    if (left <= segmentsAfterMerge && livePages > mergedPages) return undefined;
    yield segment;
    left -= 1;
    mergedPages += livePages;
  }
  return undefined;
}
