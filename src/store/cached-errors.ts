/** What goes wrong with local copies of remote objects. */
import {type ByteRange, ObjectStoreError} from './object-store.ts';

export function truncated(key: string, sizeBytes: number, {position, length}: ByteRange): ObjectStoreError {
  const found = `it ends at byte ${sizeBytes}, ${position + length} are needed`;
  return new ObjectStoreError('ERR_OBJECT_TRUNCATED', `Cannot read object "${key}": ${found}`, {key});
}

export function full(key: string, cause: unknown): ObjectStoreError {
  return new ObjectStoreError('ERR_STORE_FULL', `Cannot keep object "${key}" in the cache: the disk is full`, {key, cause});
}
