/**
 * File names in the cache of image contents: a complete content has its key as name. An incomplete one has its own number in it too: whoever was told of
 * one that is gone must not find the next one, in which other pieces are holes.
 */
const suffix = '.part';

export function partName(key: string, number: number): string {
  return `${key}.${number}${suffix}`;
}

export function isPartName(name: string): boolean {
  return name.endsWith(suffix);
}
