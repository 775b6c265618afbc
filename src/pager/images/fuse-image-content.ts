/** Contents of files in the cache's directory, as the serving thread sees them: what is there, and reads. */
import {closeSync, openSync, readSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError, errorCode} from '../../core/errors.ts';

const maxOpenFiles = 128;

interface Content {
  /** Pieces that are there. */
  present: Set<number> | 'all';
  /** The file that they are in; null when the content is complete. */
  part: string | null;
  descriptor: number | undefined;
}

export class LocalContents implements Disposable {
  readonly #directory: string;
  /** By key, least recently used first. Those of which only a part is there are always here, until they are gone. */
  readonly #contents = new Map<string, Content>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  isComplete(key: string): boolean {
    return this.#opened(key)?.present === 'all';
  }

  has(key: string, piece: number): boolean {
    const content = this.#opened(key);
    return content !== undefined && (content.present === 'all' || content.present.has(piece));
  }

  /** @param part the file that the pieces are in; null when the content is complete, undefined when it is gone again */
  stored(key: string, pieces: readonly number[], part: string | null | undefined): void {
    if (part === undefined) return;
    const known = this.#contents.get(key);
    if (part === null) {
      // Nobody has asked for it: it is found when somebody does.
      if (known !== undefined) Object.assign(known, {present: 'all', part});
      return;
    }
    if (known !== undefined && known.part !== null && known.part !== part) this.dropped(key);
    const content: Content = this.#contents.get(key) ?? {present: new Set<number>(), part, descriptor: undefined};
    this.#contents.set(key, content);
    if (content.present !== 'all') for (const piece of pieces) content.present.add(piece);
  }

  dropped(key: string): void {
    this.#close(key);
    this.#contents.delete(key);
  }

  /** An open descriptor, valid until the next call of any method. @throws CodedError ERR_BACKING_FILE */
  descriptor(key: string): number {
    const descriptor = this.#opened(key)?.descriptor;
    if (descriptor === undefined) throw new CodedError('ERR_BACKING_FILE', `Cannot open content ${key} in the cache: it is not there`, {source: 'host'});
    return descriptor;
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

  /** What is known of a content, and open: what the cache has removed since it was told is not there. */
  #opened(key: string): Content | undefined {
    const known = this.#contents.get(key);
    this.#contents.delete(key);
    const content = known?.descriptor === undefined ? this.#open(key, known) : known;
    if (content === undefined) return undefined;
    this.#contents.set(key, content);
    this.#trim(key);
    return content;
  }

  #open(key: string, known: Content | undefined): Content | undefined {
    const descriptor = typeof known?.part === 'string' ? tryOpen(join(this.#directory, known.part)) : undefined;
    if (known !== undefined && descriptor !== undefined) return {...known, descriptor};
    // Complete, maybe since a moment ago.
    const complete = tryOpen(join(this.#directory, key));
    return complete === undefined ? undefined : {present: 'all', part: null, descriptor: complete};
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

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
