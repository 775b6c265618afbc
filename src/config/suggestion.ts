/** The word among `known` that somebody who wrote `word` most likely meant, or undefined when none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 40) return undefined;
  const wanted = fold(word);
  // One letter is as near to any other.
  let limit = wanted.length < 2 ? 0 : Math.min(3, Math.ceil(wanted.length / 3));
  let best: string | undefined;
  for (const candidate of known) {
    if (candidate === word) return candidate;
    if (Math.abs(candidate.length - word.length) > limit) continue;
    const distance = editDistance(wanted, fold(candidate), limit);
    if (distance > limit || (distance === limit && best !== undefined)) continue;
    best = candidate;
    limit = distance;
  }
  return best;
}

/** `; did you mean 'bind' maybe ?`, or nothing when there is no suggestion. */
export function inHaproxysWords(suggestion: string | undefined): string {
  return suggestion === undefined ? '' : `; did you mean '${suggestion}' maybe ?`;
}

/** The nearest known word as the end of a message, or nothing. */
export function didYouMean(word: string, known: Iterable<string>): string {
  return inHaproxysWords(nearest(word, known));
}

/** HAProxy mixes `-` and `_` in its keywords, and so do its users; case is often the only error. */
function fold(word: string): string {
  return word.toLowerCase().replaceAll('_', '-');
}

/** Insertions, deletions, replacements and swaps of neighbours between two words; more than `limit` is not told exactly. */
function editDistance(a: string, b: string, limit: number): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({length: b.length + 1}, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    let smallest = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1);
      current.push(cost);
      smallest = Math.min(smallest, cost);
    }
    if (smallest > limit) return limit + 1;
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
