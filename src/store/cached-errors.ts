/** What goes wrong with local copies of remote objects. */
import {type ByteRange, ObjectStoreError} from './object-store.ts';

export function truncated(key: string, sizeBytes: number, {position, length}: ByteRange): ObjectStoreError {
  const found = `it ends at byte ${sizeBytes}, ${position + length} are needed`;
  return new ObjectStoreError('ERR_OBJECT_TRUNCATED', `Cannot read object "${key}": ${found}`, {key});
}

export function full(key: string, cause: unknown): ObjectStoreError {
  return new ObjectStoreError('ERR_STORE_FULL', `Cannot keep object "${key}" in the cache: the disk is full`, {key, cause});
}

/** A range of an object that is in memory. @throws ObjectStoreError ERR_OBJECT_TRUNCATED */
export function part(key: string, data: Buffer, range: ByteRange | undefined): Buffer {
  if (range === undefined) return data;
  if (range.position + range.length > data.length) throw truncated(key, data.length, range);
  return data.subarray(range.position, range.position + range.length);
}
