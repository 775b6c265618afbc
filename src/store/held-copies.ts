/** Parts of remote objects in memory: read in place of the store as long as somebody holds them. */
import type {ByteRange} from './object-store.ts';

export interface HeldCopy extends ByteRange {
  readonly key: string;
  /** Of the whole object. */
  readonly sizeBytes: number;
  readonly data: Buffer;
}

export class HeldCopies {
  readonly #copies = new Map<string, HeldCopy>();

  /** One part of each object; of two that are held the later one counts. Disposing lets them go. */
  hold(copies: readonly HeldCopy[]): Disposable {
    for (const copy of copies) this.#copies.set(copy.key, copy);
    return {
      [Symbol.dispose]: () => {
        for (const copy of copies) if (this.#copies.get(copy.key) === copy) this.#copies.delete(copy.key);
      },
    };
  }

  sizeOf(key: string): number | undefined {
    return this.#copies.get(key)?.sizeBytes;
  }

  /** Undefined when that part is not held. */
  read(key: string, range: ByteRange | undefined): Buffer | undefined {
    const copy = this.#copies.get(key);
    if (copy === undefined) return undefined;
    const {position, length} = range ?? {position: 0, length: copy.sizeBytes};
    const start = position - copy.position;
    return start < 0 || start + length > copy.length ? undefined : copy.data.subarray(start, start + length);
  }
}
