/** File names in the cache of image contents: a complete content has its key as name, an incomplete one has this. */
const suffix = '.part';

export function partName(key: string): string {
  return `${key}${suffix}`;
}

export function isPartName(name: string): boolean {
  return name.endsWith(suffix);
}
