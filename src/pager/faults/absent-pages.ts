/** Which parts of an object its local copy has: a sparse file, and one byte per chunk that another thread sets when the chunk is there. */
import {CodedError} from '../../core/errors.ts';

export interface ByteRange {
  readonly position: number;
  readonly length: number;
}

/** Shared between threads: it changes while it is looked at, from 0 to 1 only, and after the chunk's bytes are in the file. */
export interface Presence {
  /** One byte per chunk of the object, 1 when it is in the file. */
  readonly map: SharedArrayBuffer;
  readonly chunkBytes: number;
}

/** A local copy that may lack parts. */
export interface PartialFile {
  readonly segment: number;
  readonly path: string;
  /** Undefined for a complete file. */
  readonly presence?: Presence | undefined;
}

/** What has to be fetched before something can be read. */
export interface AbsentPages {
  readonly file: PartialFile;
  /** Whole chunks, in order of position; the last one may reach beyond the end of the object. */
  readonly ranges: readonly ByteRange[];
}

/** Pages are stored, but not in the local cache yet: nothing is wrong, somebody must fetch them. */
export class AbsentPagesError extends CodedError<'ERR_PAGE_ABSENT'> implements AbsentPages {
  readonly file: PartialFile;
  readonly ranges: readonly ByteRange[];

  constructor({file, ranges}: AbsentPages) {
    const bytes = ranges.reduce((sum, {length}) => sum + length, 0);
    const message = `Cannot read pages of segment ${file.segment}: ${bytes} bytes from ${ranges[0]?.position ?? 0} on are not in the local cache`;
    super('ERR_PAGE_ABSENT', message, {source: 'host', retryable: true});
    this.file = file;
    this.ranges = ranges;
  }
}

/** The chunks that are not there, adjacent ones as one range. */
export function absentRanges({map, chunkBytes}: Presence, wanted: Iterable<ByteRange>): readonly ByteRange[] {
  const present = new Uint8Array(map);
  const found: {position: number; length: number}[] = [];
  for (const {position, length} of wanted) {
    for (let chunk = Math.floor(position / chunkBytes); chunk * chunkBytes < position + length; chunk++) {
      if (chunk >= present.length || Atomics.load(present, chunk) !== 0) continue;
      const last = found.at(-1);
      if (last !== undefined && last.position + last.length > chunk * chunkBytes) continue;
      if (last?.position !== undefined && last.position + last.length === chunk * chunkBytes) last.length += chunkBytes;
      else found.push({position: chunk * chunkBytes, length: chunkBytes});
    }
  }
  return found;
}

/** Undefined when all is there. No error: for the making of one, a wake could install some pages. */
export function absentPages(file: PartialFile, wanted: Iterable<ByteRange>): AbsentPages | undefined {
  const ranges = file.presence === undefined ? [] : absentRanges(file.presence, wanted);
  return ranges.length > 0 ? {file, ranges} : undefined;
}
