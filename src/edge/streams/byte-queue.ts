/** Bytes in their order, in the pieces in which they came. The pieces are kept, not copied. */
export class ByteQueue {
  #pieces: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  unshift(piece: Buffer): void {
    this.#pieces.unshift(piece);
    this.#length += piece.length;
  }

  /** Takes the first piece; an empty one when there is none. */
  shift(): Buffer {
    const piece = this.#pieces.shift() ?? Buffer.alloc(0);
    this.#length -= piece.length;
    return piece;
  }

  /** All of it in one piece, which it consists of from then on. */
  whole(): Buffer {
    const [only] = this.#pieces;
    const whole = only !== undefined && this.#pieces.length === 1 ? only : Buffer.concat(this.#pieces);
    this.#pieces = [whole];
    return whole;
  }
}
