import {closeSync, openSync, readSync} from 'node:fs';
import {CodedError} from '../../core/errors.ts';
import {BlockCache} from '../checkpoints/block-cache.ts';
import {objectCipher} from '../checkpoints/sealing.ts';
import {decodePieceSync, type StoredPiece} from '../checkpoints/stored-piece.ts';
import type {EncodedFile, Extent} from './fuse-files.ts';
import type {FileNode} from './fuse-tree.ts';

const defaultOpenFiles = 64;
/** Decoded pieces: CRIU reads a file in parts that are smaller than they, in order. */
const cachedBytes = 4 * 1024 * 1024;

/**
 * Reads ranges of files made of extents, synchronously, for the thread that has nothing else to do. Keeps a bounded
 * number of backing files open.
 */
export class ExtentReader implements Disposable {
  readonly #maxOpenFiles: number;
  /** By path, least recently used first. */
  readonly #descriptors = new Map<string, number>();
  readonly #cache = new BlockCache(cachedBytes);
  /** By path, what a file's pieces have in the cache. */
  readonly #owners = new Map<string, number>();

  constructor(maxOpenFiles = defaultOpenFiles) {
    this.#maxOpenFiles = maxOpenFiles;
  }

  /**
   * Fills `out` from `at` on with up to `size` bytes of the file from `offset` on; fewer only at its end.
   * @returns the number of bytes
   * @throws CodedError ERR_BACKING_FILE when a backing file cannot be read or is too short, DamagedCheckpointError when a piece of it cannot be decoded:
   *   what was written to `out` is then meaningless
   */
  read(file: FileNode, range: {readonly offset: number; readonly size: number}, out: Buffer, at: number): number {
    const end = Math.min(range.offset + range.size, file.sizeBytes);
    let offset = range.offset;
    for (let index = extentAt(file.starts, offset); offset < end; index++) {
      const extent = file.extents[index];
      const start = file.starts[index];
      if (extent === undefined || start === undefined) break;
      const skip = offset - start;
      const length = Math.min(extent.length - skip, end - offset);
      this.#copy(extent, skip, out.subarray(at, at + length));
      offset += length;
      at += length;
    }
    return Math.max(0, offset - range.offset);
  }

  /** Closes the backing files of what was removed, so that their space can be freed. Others that need them open them again. */
  release(files: readonly FileNode[]): void {
    for (const file of files) {
      for (const extent of file.extents) {
        if (extent.source.kind === 'file') this.#close(extent.source.path);
        else if (extent.source.kind === 'encoded') this.#forget(extent.source.file);
      }
    }
  }

  [Symbol.dispose](): void {
    for (const path of [...this.#descriptors.keys()]) this.#close(path);
  }

  #copy(extent: Extent, skip: number, out: Buffer): void {
    const {source} = extent;
    switch (source.kind) {
      case 'bytes':
        out.set(source.data.subarray(skip, skip + out.length));
        return;
      case 'zero':
        out.fill(0);
        return;
      case 'file':
        this.#readBacking(source.path, source.position + skip, out);
        return;
      case 'encoded':
        out.set(this.#decoded(source.file, source.piece).subarray(source.skipBytes + skip, source.skipBytes + skip + out.length));
        return;
      case 'absent':
        throw new CodedError('ERR_BACKING_FILE', `Cannot read a part of object "${source.object}": it has no local copy`, {source: 'host'});
      default:
        source satisfies never;
    }
  }

  #decoded(file: EncodedFile, piece: StoredPiece): Uint8Array {
    const owner = this.#owners.get(file.path) ?? this.#cache.newOwner();
    this.#owners.set(file.path, owner);
    const known = this.#cache.get(owner, piece.position);
    if (known !== undefined) return known;
    const stored = Buffer.allocUnsafeSlow(piece.storedBytes);
    this.#readBacking(file.path, piece.position, stored);
    const decoded = decodePieceSync(stored, piece, file, file.seal === undefined ? undefined : objectCipher(file.seal));
    this.#cache.add(owner, piece.position, decoded);
    return decoded;
  }

  #forget({path}: EncodedFile): void {
    this.#close(path);
    this.#owners.delete(path);
  }

  #readBacking(path: string, position: number, out: Buffer): void {
    let done = 0;
    let found = '';
    try {
      const descriptor = this.#open(path);
      while (done < out.length) {
        const received = readSync(descriptor, out, done, out.length - done, position + done);
        if (received === 0) break;
        done += received;
      }
      if (done === out.length) return;
      found = `it ends at ${position + done}`;
    } catch (cause) {
      throw new CodedError('ERR_BACKING_FILE', `Cannot read ${out.length} bytes at ${position} of "${path}"`, {source: 'host', cause});
    }
    throw new CodedError('ERR_BACKING_FILE', `Cannot read ${out.length} bytes at ${position} of "${path}": ${found}`, {source: 'host'});
  }

  #open(path: string): number {
    const known = this.#descriptors.get(path);
    if (known !== undefined) {
      this.#descriptors.delete(path);
      this.#descriptors.set(path, known);
      return known;
    }
    const descriptor = openSync(path, 'r');
    this.#descriptors.set(path, descriptor);
    const [oldest] = this.#descriptors.keys();
    if (this.#descriptors.size > this.#maxOpenFiles && oldest !== undefined) this.#close(oldest);
    return descriptor;
  }

  #close(path: string): void {
    const descriptor = this.#descriptors.get(path);
    if (descriptor === undefined) return;
    this.#descriptors.delete(path);
    closeSync(descriptor);
  }
}

/** The index of the extent that holds `offset`: the last that starts at or before it. Empty extents in front are passed over. */
function extentAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low;
}
