import type {Seal} from '../checkpoints/sealing.ts';
import type {StoredPiece} from '../checkpoints/stored-piece.ts';

/** One stretch of a file that FUSE serves: bytes in memory, a part of a real file, what a piece of a stored object holds, zeros, or what nobody reads. */
export type Extent = {
  readonly length: number;
  readonly source:
    | {readonly kind: 'bytes'; readonly data: Uint8Array}
    | {readonly kind: 'file'; readonly path: string; readonly position: number}
    | {readonly kind: 'encoded'; readonly file: EncodedFile; readonly piece: StoredPiece; readonly skipBytes: number}
    | {readonly kind: 'zero'}
    /** It has a length only: there is no local copy of the object. Reading it fails. */
    | {readonly kind: 'absent'; readonly object: string};
};

/** A local copy of an object whose pieces must be decoded. */
export interface EncodedFile {
  readonly path: string;
  /** Key of the object, for the message of an error. */
  readonly object: string;
  /** How it is sealed, if it is. */
  readonly seal: Seal | undefined;
}

/** The files of one directory by name; the extents of a file follow each other without gaps. */
export type FuseFiles = ReadonlyMap<string, readonly Extent[]>;
