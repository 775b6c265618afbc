/**
 * The object that holds what a generation has besides pages: first the page tables of its processes, then CRIU's images as they were. One
 * object, because each one costs a sync when written and a request when fetched. The manifest says what lies where.
 */
import {open} from 'node:fs/promises';
import {crc32} from 'node:zlib';
import {errorCode, errorMessage} from '../core/errors.ts';
import type {ByteRange, ObjectStore} from '../store/object-store.ts';
import {badDump} from './criu-image.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {DumpFile} from './dump.ts';

const chunkBytes = 1024 * 1024;

/** The object, and whose it is for the message of an error. */
export interface BundleObject {
  readonly key: string;
  readonly generation: number;
}

/** A part of the object. */
export interface BundlePart {
  readonly position: number;
  readonly length: number;
  readonly checksum: number;
}

export interface BundleFile extends BundlePart {
  readonly name: string;
}

/** Filled in while the body is read. */
export interface BundleLayout {
  readonly tables: BundlePart[];
  readonly files: BundleFile[];
}

/** The bytes of the object; `layout` is complete when they have been read. */
export async function* bundleBody(
  content: {tables: readonly Buffer[]; files: readonly DumpFile[]},
  layout: BundleLayout,
): AsyncGenerator<Uint8Array, undefined> {
  let position = 0;
  for (const table of content.tables) {
    layout.tables.push({position, length: table.length, checksum: crc32(table)});
    position += table.length;
    yield table;
  }
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  for (const {name, path, sizeBytes} of content.files) {
    await using file = await open(path, 'r');
    let checksum = crc32('');
    for (let done = 0; done < sizeBytes; ) {
      const {bytesRead} = await file.read(buffer, 0, Math.min(chunkBytes, sizeBytes - done), done);
      if (bytesRead === 0) throw badDump(name, `it ends at byte ${done} of ${sizeBytes}`);
      const piece = buffer.subarray(0, bytesRead);
      checksum = crc32(piece, checksum);
      done += bytesRead;
      yield piece;
    }
    layout.files.push({name, position, length: sizeBytes, checksum});
    position += sizeBytes;
  }
  return undefined;
}

/** Reads and checks a part. @throws DamagedCheckpointError, ObjectStoreError */
export async function readPart(objects: ObjectStore, object: BundleObject, part: BundlePart): Promise<Buffer> {
  const data = await getPart(objects, object, part);
  checkPart(object, part, data);
  return data;
}

/** Checks a part without keeping it, in pieces. @throws DamagedCheckpointError, ObjectStoreError */
export async function verifyPart(objects: ObjectStore, object: BundleObject, part: BundlePart): Promise<void> {
  let checksum = crc32('');
  for (let done = 0; done < part.length; done += chunkBytes) {
    checksum = crc32(await getPart(objects, object, {position: part.position + done, length: Math.min(chunkBytes, part.length - done)}), checksum);
  }
  if (checksum !== part.checksum) throw wrongChecksum(object, part, checksum);
}

/** Bytes of the object. That it ends too early is damage: the manifest says how long it is. */
export async function getPart(objects: ObjectStore, object: BundleObject, range: ByteRange): Promise<Buffer> {
  try {
    return await objects.get(object.key, range);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_OBJECT_TRUNCATED') throw cause;
    throw new DamagedCheckpointError({object: object.key, generation: object.generation, offset: range.position, found: errorMessage(cause), cause});
  }
}

/** @throws DamagedCheckpointError when `data` is not what was written as `part` */
export function checkPart(object: BundleObject, part: BundlePart, data: Uint8Array): void {
  const checksum = crc32(data);
  if (checksum !== part.checksum) throw wrongChecksum(object, part, checksum);
}

function wrongChecksum(object: BundleObject, part: BundlePart, checksum: number): DamagedCheckpointError {
  const found = `${part.length} bytes have checksum ${checksum.toString(16)} instead of ${part.checksum.toString(16)}`;
  return new DamagedCheckpointError({object: object.key, generation: object.generation, offset: part.position, found});
}
