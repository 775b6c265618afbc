/** Bytes of a stream in the amounts that a reader of a format wants. */
import {CodedError} from '../../../core/errors.ts';

export function badArchive(position: number, found: string): CodedError<'ERR_BAD_ARCHIVE'> {
  return new CodedError('ERR_BAD_ARCHIVE', `at byte ${position} ${found}`, {source: 'client'});
}

export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** How many bytes have been taken. */
  get position(): number {
    return this.#position;
  }

  /** What comes next, at most so much, at least one byte; undefined at the end. The buffer is not used again. */
  async some(maxBytes: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    const taken = this.#rest.subarray(0, maxBytes);
    this.#rest = this.#rest.subarray(taken.length);
    this.#position += taken.length;
    return taken;
  }

  /** Exactly so many bytes; undefined when the stream has ended before the first. @throws CodedError ERR_BAD_ARCHIVE when it ends in the middle */
  async exactly(count: number): Promise<Buffer | undefined> {
    const begin = this.#position;
    const first = await this.some(count);
    if (first === undefined || first.length === count) return first;
    const whole = Buffer.allocUnsafe(count);
    let filled = first.copy(whole);
    while (filled < count) {
      const next = await this.some(count - filled);
      if (next === undefined) throw badArchive(begin, `${count} bytes are expected, and after ${filled} it ends`);
      filled += next.copy(whole, filled);
    }
    return whole;
  }

  /** @throws CodedError ERR_BAD_ARCHIVE when there are not so many */
  async needed(count: number): Promise<Buffer> {
    if (count === 0) return Buffer.alloc(0);
    const data = await this.exactly(count);
    if (data === undefined) throw badArchive(this.#position, `${count} bytes are expected, and it ends`);
    return data;
  }

  /** @throws CodedError ERR_BAD_ARCHIVE when there are not so many */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const skipped = await this.some(left);
      if (skipped === undefined) throw badArchive(this.#position, `${left} more bytes are expected, and it ends`);
      left -= skipped.length;
    }
  }

  /** Nothing more is wanted of the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** Takes everything, so that whoever counts or sums the stream has all of it. */
  async toEnd(): Promise<void> {
    while ((await this.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }
}
