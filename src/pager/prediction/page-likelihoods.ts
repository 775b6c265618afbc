/**
 * How likely each page of a process is to be touched at a wake: a byte per page in blocks of 32. Seven bits are the likelihood, a moving
 * average over the wakes that could tell; the lowest bit says that the page was touched only once so far, so that the average is still a guess.
 */
import {blockPages} from '../checkpoints/page-table.ts';

/** How much of the average one wake makes up. After four wakes without a touch, a page that was certain is worth 13 %. */
export const newestWeight = 0.4;
const steps = 127;
/** From here on a page seems certain. */
export const certain = 0.8;
/** Less than this is forgotten. */
const least = 4;

export function likelihoodOf(byte: number): number {
  return (byte >> 1) / steps;
}

/** Never 0: that is no page at all. */
export function byteOf(likelihood: number): number {
  return Math.max(1, Math.min(steps, Math.round(likelihood * steps))) << 1;
}

/** A page that was touched for the first time. */
export function newcomer(likelihood: number): number {
  return byteOf(likelihood) | 1;
}

export function isNewcomer(byte: number): boolean {
  return (byte & 1) === 1;
}

/** Rounded towards what was seen, so that the average reaches it. */
export function afterTouch(byte: number): number {
  const now = byte >> 1;
  return Math.min(steps, Math.ceil(now + newestWeight * (steps - now))) << 1;
}

/** Its block was touched while it was withheld: a doubtful page gains by that, but does not become certain. */
export function afterNeighbour(byte: number): number {
  return likelihoodOf(byte) >= certain ? byte : Math.min(afterTouch(byte), byteOf(certain));
}

export function afterMiss(byte: number): number {
  const now = Math.floor((byte >> 1) * (1 - newestWeight));
  return now < least ? 0 : now << 1;
}

export class PageLikelihoods {
  readonly #blocks = new Map<number, Uint8Array>();

  get(page: number): number {
    return this.#blocks.get(Math.floor(page / blockPages))?.[page % blockPages] ?? 0;
  }

  set(page: number, byte: number): void {
    this.blockFor(Math.floor(page / blockPages))[page % blockPages] = byte;
  }

  block(block: number): Uint8Array | undefined {
    return this.#blocks.get(block);
  }

  /** The same, made if there is none. */
  blockFor(block: number): Uint8Array {
    const found = this.#blocks.get(block);
    if (found !== undefined) return found;
    const made = new Uint8Array(blockPages);
    this.#blocks.set(block, made);
    return made;
  }

  delete(block: number): void {
    this.#blocks.delete(block);
  }

  get blockNumbers(): readonly number[] {
    return [...this.#blocks.keys()].sort((a, b) => a - b);
  }

  get size(): number {
    let size = 0;
    for (const bytes of this.#blocks.values()) for (const byte of bytes) if (byte !== 0) size += 1;
    return size;
  }

  /** Pages that are next to each other and equally likely, in order of address. */
  *runs(): Generator<{readonly page: number; readonly count: number; readonly byte: number}, undefined> {
    let open: {page: number; count: number; byte: number} | undefined;
    for (const block of this.blockNumbers) {
      for (const [slot, byte] of (this.#blocks.get(block) ?? []).entries()) {
        if (byte === 0) continue;
        const page = block * blockPages + slot;
        if (open !== undefined && open.page + open.count === page && open.byte === byte) {
          open.count += 1;
          continue;
        }
        if (open !== undefined) yield open;
        open = {page, count: 1, byte};
      }
    }
    if (open !== undefined) yield open;
    return undefined;
  }
}
