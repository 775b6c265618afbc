/**
 * Does `work` for each item, at most `limit` at a time, in the order of the items. Begins nothing more after a failure, and waits for what has begun.
 * @returns the results in the order of the items. @throws the first failure
 */
export async function limited<Item, Result>(items: readonly Item[], limit: number, work: (item: Item, index: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  const rest = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of rest) {
      if (failures.length > 0) return;
      try {
        results[index] = await work(item, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({length: Math.min(limit, items.length)}, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}
