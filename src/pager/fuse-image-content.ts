/** Contents of files in the cache's directory, as the serving thread sees them: what is there, and reads. */
import {closeSync, openSync, readSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError, errorCode} from '../core/errors.ts';
import {partName} from './rootfs-image-cache-names.ts';

const maxOpenFiles = 128;

interface Content {
  /** Pieces that are there. */
  present: Set<number> | 'all';
  descriptor: number | undefined;
}

export class LocalContents implements Disposable {
  readonly #directory: string;
  /** By key, least recently used first. Those of which only a part is there are always here. */
  readonly #contents = new Map<string, Content>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  isComplete(key: string): boolean {
    return this.#find(key)?.present === 'all';
  }

  has(key: string, piece: number): boolean {
    const content = this.#find(key);
    return content !== undefined && (content.present === 'all' || content.present.has(piece));
  }

  stored(key: string, pieces: readonly number[], complete: boolean): void {
    const known = this.#contents.get(key);
    if (complete) {
      // Nobody has asked for it: it is found when somebody does.
      if (known !== undefined) known.present = 'all';
      return;
    }
    const content = known ?? {present: new Set<number>(), descriptor: undefined};
    this.#contents.set(key, content);
    if (content.present !== 'all') for (const piece of pieces) content.present.add(piece);
  }

  dropped(key: string): void {
    this.#close(key);
    this.#contents.delete(key);
  }

  /** An open descriptor, valid until the next call of any method. @throws CodedError ERR_BACKING_FILE */
  descriptor(key: string): number {
    const content = this.#find(key);
    if (content === undefined) throw new CodedError('ERR_BACKING_FILE', `Cannot open content ${key} in the cache: it is not there`, {source: 'host'});
    content.descriptor ??= this.#open(key);
    this.#trim(key);
    return content.descriptor;
  }

  /** Fills `out`, all pieces of which must be there. @throws CodedError ERR_BACKING_FILE */
  read(key: string, position: number, out: Buffer): void {
    const descriptor = this.descriptor(key);
    for (let done = 0; done < out.length; ) {
      const received = readSync(descriptor, out, done, out.length - done, position + done);
      if (received === 0) throw new CodedError('ERR_BACKING_FILE', `Cannot read content ${key} in the cache: it ends at ${position + done}`, {source: 'host'});
      done += received;
    }
  }

  #find(key: string): Content | undefined {
    const known = this.#contents.get(key);
    if (known !== undefined) {
      this.#contents.delete(key);
      this.#contents.set(key, known);
      return known;
    }
    try {
      const content: Content = {present: 'all', descriptor: openSync(join(this.#directory, key), 'r')};
      this.#contents.set(key, content);
      this.#trim(key);
      return content;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #open(key: string): number {
    try {
      return openSync(join(this.#directory, key), 'r');
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      return openSync(join(this.#directory, partName(key)), 'r');
    }
  }

  /** Closes what was not used for long; what is complete is forgotten with it, since it may be removed from the cache. */
  #trim(kept: string): void {
    let open = 0;
    for (const {descriptor} of this.#contents.values()) if (descriptor !== undefined) open += 1;
    for (const [key, content] of this.#contents) {
      if (open <= maxOpenFiles) return;
      if (key === kept || content.descriptor === undefined) continue;
      this.#close(key);
      if (content.present === 'all') this.#contents.delete(key);
      open -= 1;
    }
  }

  #close(key: string): void {
    const content = this.#contents.get(key);
    if (content?.descriptor === undefined) return;
    closeSync(content.descriptor);
    content.descriptor = undefined;
  }

  [Symbol.dispose](): void {
    for (const key of this.#contents.keys()) this.#close(key);
    this.#contents.clear();
  }
}
