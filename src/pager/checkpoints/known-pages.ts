/**
 * Finds a page by its checksum among those of some segments: what an app has moved to another address need not be written again. An open hash
 * table in typed arrays, since this is made while the app stands still: 16 bytes per page, and the checksums are as good as random already.
 */
import type {SegmentIndex} from './segment.ts';

/** Eight gigabytes of pages; those of more segments are not looked for. */
const maxPages = 2 * 1024 * 1024;

export interface KnownPage {
  readonly segment: number;
  readonly index: number;
}

export class KnownPages {
  readonly #checksums: Uint32Array;
  /** Segment number + 1; 0 where there is no page. */
  readonly #segments: Uint32Array;
  readonly #indexes: Uint32Array;
  readonly #mask: number;

  constructor(segments: ReadonlyMap<number, SegmentIndex>) {
    const used: (readonly [number, SegmentIndex])[] = [];
    let pages = 0;
    for (const [segment, index] of segments) {
      if (pages + index.pageCount > maxPages) continue;
      pages += index.pageCount;
      used.push([segment, index]);
    }
    const size = 2 ** Math.ceil(Math.log2(((pages + 1) * 4) / 3));
    this.#mask = size - 1;
    this.#checksums = new Uint32Array(size);
    this.#segments = new Uint32Array(size);
    this.#indexes = new Uint32Array(size);
    for (const [segment, {checksums}] of used) {
      for (let index = 0; index < checksums.length; index++) this.#add(checksums[index] ?? 0, segment, index);
    }
  }

  /** A page that has this checksum, and so very likely the same content. */
  find(checksum: number): KnownPage | undefined {
    const slot = this.#slotOf(checksum);
    const segment = this.#segments[slot] ?? 0;
    return segment === 0 ? undefined : {segment: segment - 1, index: this.#indexes[slot] ?? 0};
  }

  /** Of pages with the same checksum, the first is kept. */
  #add(checksum: number, segment: number, index: number): void {
    const slot = this.#slotOf(checksum);
    if (this.#segments[slot] !== 0) return;
    this.#checksums[slot] = checksum;
    this.#segments[slot] = segment + 1;
    this.#indexes[slot] = index;
  }

  /** Where a checksum is, or would be. A quarter of the slots are free, so the search ends. */
  #slotOf(checksum: number): number {
    let slot = checksum & this.#mask;
    while (this.#segments[slot] !== 0 && this.#checksums[slot] !== checksum) slot = (slot + 1) & this.#mask;
    return slot;
  }
}
