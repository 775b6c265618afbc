import type {Readable} from 'node:stream';

/** The beginning of an answer to a GET. */
export interface Answer {
  /** Of the body. */
  readonly sizeBytes: number;
  /** Where the body begins in the object; undefined when the server does not say, as for whole objects. */
  readonly position: number | undefined;
  readonly body: Readable;
}
