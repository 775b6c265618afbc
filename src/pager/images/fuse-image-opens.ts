/**
 * Which files of a mount are open, how often and in which way. While a file is open all further opens must be answered in the same way - from a
 * real file or by us - or the kernel refuses them. So this outlives us: it is kept in a file, written before the kernel is answered. After a
 * kill a count may be too high by those that were being answered, never too low: the file then keeps its way for as long as the mount lives.
 */
import {closeSync, constants, openSync, readFileSync, writeSync} from 'node:fs';

export interface OpenFile {
  readonly count: number;
  /** The kernel's name of the real file that serves it; 0 when we do. */
  readonly backingId: number;
}

const recordBytes = 8;

export class OpenFiles implements Disposable {
  readonly #descriptor: number;
  readonly #files = new Map<number, OpenFile>();

  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const data = readFileSync(path);
    for (let at = 0; at + recordBytes <= data.length; at += recordBytes) {
      const count = data.readInt32LE(at);
      if (count > 0) this.#files.set(at / recordBytes, {count, backingId: data.readInt32LE(at + 4)});
    }
  }

  get(nodeId: number): OpenFile | undefined {
    return this.#files.get(nodeId);
  }

  /** Counts one more. @param backingId of the first open; later ones have the same */
  add(nodeId: number, backingId: number): void {
    const known = this.#files.get(nodeId);
    this.#set(nodeId, {count: (known?.count ?? 0) + 1, backingId: known?.backingId ?? backingId});
  }

  /** Counts one less. @returns the backing id when it was the last one */
  remove(nodeId: number): number | undefined {
    const known = this.#files.get(nodeId);
    if (known === undefined) return undefined;
    this.#set(nodeId, {count: known.count - 1, backingId: known.backingId});
    return known.count === 1 ? known.backingId : undefined;
  }

  #set(nodeId: number, file: OpenFile): void {
    if (file.count > 0) this.#files.set(nodeId, file);
    else this.#files.delete(nodeId);
    const data = Buffer.alloc(recordBytes);
    data.writeInt32LE(file.count, 0);
    data.writeInt32LE(file.backingId, 4);
    writeSync(this.#descriptor, data, 0, recordBytes, nodeId * recordBytes);
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}
