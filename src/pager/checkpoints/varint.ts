/** Base-128 numbers of variable length, as protobuf has them; exact up to 2^53. Used for CRIU's images and for our page tables. */

const sevenBits = 128;

export class VarintWriter {
  #data = Buffer.allocUnsafe(256);
  #length = 0;

  /** @param value a non-negative safe integer */
  write(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= sevenBits) {
      this.#data[this.#length++] = (rest % sevenBits) + sevenBits;
      rest = Math.floor(rest / sevenBits);
    }
    this.#data[this.#length++] = rest;
  }

  /** A number of either sign, small ones short. */
  writeSigned(value: number): void {
    this.write(value < 0 ? -2 * value - 1 : 2 * value);
  }

  writeUInt32LE(value: number): void {
    this.#reserve(4);
    this.#data.writeUInt32LE(value, this.#length);
    this.#length += 4;
  }

  writeBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#data.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#data.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#data.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#data.length * 2, this.#length + bytes));
    larger.set(this.#data.subarray(0, this.#length));
    this.#data = larger;
  }
}

/** Reads what VarintWriter wrote. Reading past the end throws RangeError: the caller knows what is damaged. */
export class VarintReader {
  readonly #data: Buffer;
  #position = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#position >= this.#data.length;
  }

  get position(): number {
    return this.#position;
  }

  read(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= sevenBits) {
      const byte = this.#data[this.#position++];
      if (byte === undefined) throw new RangeError('the data ends within a number');
      value += (byte % sevenBits) * scale;
      if (byte < sevenBits) return value;
    }
    throw new RangeError('a number is longer than ten bytes');
  }

  readSigned(): number {
    const value = this.read();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  readUInt32LE(): number {
    return this.readBytes(4).readUInt32LE(0);
  }

  readBytes(length: number): Buffer {
    if (length < 0 || this.#position + length > this.#data.length)
      throw new RangeError(`${length} bytes are wanted, ${this.#data.length - this.#position} are left`);
    this.#position += length;
    return this.#data.subarray(this.#position - length, this.#position);
  }
}
