/**
 * Where checkpoints live: named, immutable sequences of bytes. A directory implements it, and S3, because nothing below needs more than
 * GET with a range, HEAD, PUT (also with `If-None-Match: *`), LIST and DELETE.
 */
import {CodedError, type ErrorSource} from '../core/errors.ts';

/** What is written: all at once, or piece by piece. A piece may be reused by its maker once the next one is asked for. */
export type ObjectBody = Uint8Array | AsyncIterable<Uint8Array>;

export interface PutOptions {
  /** Fail with ERR_OBJECT_EXISTS instead of replacing. Of two such writers exactly one succeeds. Default false. */
  readonly ifAbsent?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface ByteRange {
  readonly position: number;
  readonly length: number;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface KnownObjects {
  readonly objects: readonly ListedObject[];
  /** False when there may be more. */
  readonly isComplete: boolean;
}

/** A local copy to read from; plain data. Its path is good until it is evicted or removed. */
export interface LocalCopy {
  readonly path: string;
  readonly sizeBytes: number;
  /** Which chunks of it are there, one byte each, set from 0 to 1 by another thread; undefined when all are. */
  readonly presence: {readonly map: SharedArrayBuffer; readonly chunkBytes: number} | undefined;
}

export interface ObjectStore {
  /** Stores an object; when this resolves it is durable and complete, and until then nobody sees any of it. @returns its size */
  put(key: string, body: ObjectBody, options?: PutOptions): Promise<number>;
  /**
   * The bytes of an object, or exactly those of `range`.
   * @param into of the length of the range: they may be put there, and what is returned is then this. Nobody else uses it until this has settled.
   * @throws ObjectStoreError ERR_NO_OBJECT, or ERR_OBJECT_TRUNCATED when the object ends before the range does
   */
  get(key: string, range?: ByteRange, into?: Buffer): Promise<Buffer>;
  /** In bytes. @throws ObjectStoreError ERR_NO_OBJECT */
  size(key: string): Promise<number>;
  /** All objects whose key starts with `prefix`, ordered by key. */
  list(prefix: string): Promise<readonly ListedObject[]>;
  /** Removes an object; one that does not exist is fine. */
  delete(key: string): Promise<void>;
  /** Path of a local file with exactly the object's bytes, if the store has one. Only for reading. */
  localFile(key: string): Promise<string | undefined>;
  /**
   * Stores that keep copies of remote objects: the local copy of one, complete or not, made if need be.
   * @param sizeBytes of the object, if it is known. @throws ObjectStoreError ERR_NO_OBJECT
   */
  openLocal?(key: string, sizeBytes?: number): Promise<LocalCopy>;
  /** The same stores: as `list()`, or, while the remote store cannot be reached, what is known of it on this host. */
  listKnown?(prefix: string): Promise<KnownObjects>;
  /** The same stores: whether the remote store has it. */
  isStored?(key: string): Promise<boolean>;
}

export type ObjectStoreCode = 'ERR_BAD_OBJECT_KEY' | 'ERR_NO_OBJECT' | 'ERR_OBJECT_EXISTS' | 'ERR_OBJECT_TRUNCATED' | 'ERR_STORE_FULL' | 'ERR_STORE_FAILED';

const sources: Readonly<Record<ObjectStoreCode, ErrorSource>> = {
  ERR_BAD_OBJECT_KEY: 'bug',
  ERR_NO_OBJECT: 'host',
  ERR_OBJECT_EXISTS: 'host',
  ERR_OBJECT_TRUNCATED: 'host',
  ERR_STORE_FULL: 'host',
  ERR_STORE_FAILED: 'host',
};

export class ObjectStoreError extends CodedError<ObjectStoreCode> {
  readonly key: string;

  /** @param detail.retryable true when the store could not be reached or was too busy: the same may work later */
  constructor(code: ObjectStoreCode, message: string, detail: {key: string; cause?: unknown; retryable?: boolean}) {
    super(code, message, {source: sources[code], cause: detail.cause, ...(detail.retryable === true ? {retryable: true} : {})});
    this.key = detail.key;
  }
}

/** Whether an error of a store says nothing but that it cannot be reached at the moment. */
export function isUnreachable(error: unknown): error is ObjectStoreError {
  return error instanceof ObjectStoreError && error.code === 'ERR_STORE_FAILED' && error.retryable;
}

const keyPattern = /^(?!\.)((?!\.{1,2}(\/|$))[A-Za-z0-9_.:-]+(\/(?!$)|$))+$/;

/**
 * Keys are parts of letters, digits and `_ . : -` joined by `/`. No part is `.` or `..` and the first does not start with a dot, so that a key
 * never leaves the store nor meets what an implementation keeps for itself.
 * @throws ObjectStoreError ERR_BAD_OBJECT_KEY
 */
export function checkKey(key: string): void {
  if (keyPattern.test(key) && key.length <= 512) return;
  throw new ObjectStoreError('ERR_BAD_OBJECT_KEY', `Cannot use "${key}" as the key of an object`, {key});
}
