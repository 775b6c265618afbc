/**
 * Sections of a kind say mostly the same. What one has in common with the one before it becomes the same object, so that each of thousands of apps takes
 * little more than what is its own. Nobody can tell, since all of it is frozen afterwards.
 */
export function shareEqual(sections: readonly object[]): void {
  let before: object = {};
  for (const section of sections) before = share(section, before) as object;
}

/** @returns `like` when it is equal, else `value`, whose parts are shared then */
function share(value: unknown, like: unknown): unknown {
  if (!isPlain(value) || !isPlain(like) || Array.isArray(value) !== Array.isArray(like)) return value;
  const names = Object.keys(value);
  let isEqual = names.length === Object.keys(like).length;
  for (const name of names) {
    const shared = share(value[name], like[name]);
    if (shared !== value[name]) value[name] = shared;
    isEqual &&= name in like && shared === like[name];
  }
  return isEqual ? like : value;
}

/** What a class has made may have parts that cannot be seen; what is frozen is shared by all already. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}
