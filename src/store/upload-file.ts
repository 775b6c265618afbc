/** One local file as an object of a remote store, complete or with an error. */
import type {FileHandle} from 'node:fs/promises';
import {CodedError, errorCode} from '../core/errors.ts';
import {type ObjectStore, ObjectStoreError, type PutOptions} from './object-store.ts';

const pieceBytes = 1024 * 1024;
/** Of two objects of one name and size, so much of the end tells whether they are the same: segments end with their checksums. */
const comparedBytes = 256 * 1024;

/** Harmless to repeat. @throws CodedError ERR_UPLOAD_CONFLICT when another object of this name is there; ObjectStoreError */
export async function uploadFile(
  remote: ObjectStore,
  key: string,
  {file, sizeBytes}: {readonly file: FileHandle; readonly sizeBytes: number},
  options: PutOptions,
): Promise<void> {
  try {
    await remote.put(key, pieces(file), options);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_OBJECT_EXISTS') throw cause;
    if (!(await isSame(remote, key, {file, sizeBytes}))) {
      const message = `Cannot upload object "${key}": another worker has stored a different one of this name`;
      throw new CodedError('ERR_UPLOAD_CONFLICT', message, {source: 'host', cause});
    }
  }
  const storedBytes = await remote.size(key);
  if (storedBytes !== sizeBytes) {
    throw new ObjectStoreError('ERR_STORE_FAILED', `Cannot upload object "${key}": ${storedBytes} of ${sizeBytes} bytes are in the store`, {key});
  }
}

/** An upload whose answer was lost finds its own object. */
async function isSame(remote: ObjectStore, key: string, {file, sizeBytes}: {readonly file: FileHandle; readonly sizeBytes: number}): Promise<boolean> {
  if ((await remote.size(key)) !== sizeBytes) return false;
  const length = Math.min(sizeBytes, comparedBytes);
  const own = Buffer.alloc(length);
  await file.read(own, 0, length, sizeBytes - length);
  return own.equals(await remote.get(key, {position: sizeBytes - length, length}));
}

async function* pieces(file: FileHandle): AsyncGenerator<Uint8Array, undefined> {
  for (let position = 0; ; ) {
    const buffer = Buffer.allocUnsafeSlow(pieceBytes);
    const {bytesRead} = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return undefined;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Written here first, uploaded later. But of the keys that two workers make for an app at once, one must win before anything is sealed with it. */
export function isUploadedLater(key: string): boolean {
  return key.startsWith('apps/') && !key.endsWith('/key');
}
