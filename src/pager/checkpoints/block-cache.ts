/** Blocks that were decoded lately, up to a number of bytes; the least recently used give way. */
export class BlockCache {
  readonly #maxBytes: number;
  /** The least recently used first. */
  readonly #blocks = new Map<string, Uint8Array>();
  #bytes = 0;
  #owners = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A number for one object, never given twice: what it had cached is not found again once the object is closed, and ages out. */
  newOwner(): number {
    return ++this.#owners;
  }

  get(owner: number, position: number): Uint8Array | undefined {
    const key = keyOf(owner, position);
    const block = this.#blocks.get(key);
    if (block === undefined) return undefined;
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    return block;
  }

  /** @param block must not be changed from now on */
  add(owner: number, position: number, block: Uint8Array): void {
    const key = keyOf(owner, position);
    this.#bytes += block.length - (this.#blocks.get(key)?.length ?? 0);
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    for (const [oldest, {length}] of this.#blocks) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#blocks.delete(oldest);
      this.#bytes -= length;
    }
  }
}

/** Numbers that are put together to one would soon be too large to be exact. */
function keyOf(owner: number, position: number): string {
  return `${owner}:${position}`;
}
