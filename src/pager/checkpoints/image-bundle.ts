/**
 * The object that holds what a generation has besides pages: first the page tables of its processes, then CRIU's images as they were. One
 * object, because each one costs a sync when written and a request when fetched. Its content is cut into frames, each compressed and sealed as
 * one; tables and images share none, so either can be had without the other. The manifest says what lies where in the content, and where in the
 * object each frame is.
 */
import {open} from 'node:fs/promises';
import {crc32} from 'node:zlib';
import {errorCode, errorMessage} from '../../core/errors.ts';
import type {ByteRange, ObjectStore} from '../../store/object-store.ts';
import {badDump} from './criu-image.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {DumpFile} from './dump.ts';
import type {ObjectCipher} from './sealing.ts';
import {compressPiece, decodePiece, type StoredPiece} from './stored-piece.ts';

/** Content of a frame, at most. */
const frameBytes = 1024 * 1024;
/** Every sleep writes images and tables anew, those of most apps a few KiB. */
const thoroughBytes = 128 * 1024;

/** The object, and whose it is for the message of an error. */
export interface BundleObject {
  readonly key: string;
  readonly generation: number;
  readonly frames: readonly BundleFrame[];
  readonly cipher: ObjectCipher | undefined;
}

/** The frames hold the content without gaps, in this order. */
export interface BundleFrame extends StoredPiece {
  /** CRC-32 of the stored bytes. */
  readonly checksum: number;
}

/** A part of the content. */
export interface BundlePart {
  readonly position: number;
  readonly length: number;
}

export interface BundleFile extends BundlePart {
  readonly name: string;
}

/** Filled in while the body is read. */
export interface BundleLayout {
  readonly frames: BundleFrame[];
  readonly tables: BundlePart[];
  readonly files: BundleFile[];
}

/** A file that goes into a bundle. */
export interface BundleSource {
  readonly name: string;
  readonly sizeBytes: number;
  open(): Promise<OpenBundleSource>;
}

export interface OpenBundleSource extends AsyncDisposable {
  /** Reads at most `into.length` bytes from `position` on. @returns how many, 0 at the end */
  read(into: Buffer, position: number): Promise<number>;
}

export interface BundleContent {
  readonly tables: readonly Buffer[];
  readonly files: readonly BundleSource[];
  /** Seals it; undefined when the app has no key. */
  readonly cipher: ObjectCipher | undefined;
}

/** The bytes of the object; `layout` is complete when they have been read. */
export async function* bundleBody({tables, files, cipher}: BundleContent, layout: BundleLayout): AsyncGenerator<Uint8Array, undefined> {
  let position = 0;
  let stored = 0;
  const buffer = Buffer.allocUnsafeSlow(frameBytes);
  let filled = 0;
  const frame = async (): Promise<Uint8Array> => {
    const plain = buffer.subarray(0, filled);
    const {codec, data} = await compressPiece(plain, filled <= thoroughBytes ? 'thorough' : 'quick');
    const bytes = cipher === undefined ? data : cipher.encrypt(stored, data);
    layout.frames.push({position: stored, storedBytes: bytes.length, plainBytes: filled, codec, checksum: crc32(bytes)});
    stored += bytes.length;
    filled = 0;
    return bytes;
  };
  for (const table of tables) {
    layout.tables.push({position, length: table.length});
    position += table.length;
    for (let done = 0; done < table.length; ) {
      const copied = table.copy(buffer, filled, done);
      done += copied;
      filled += copied;
      if (filled === frameBytes) yield await frame();
    }
  }
  if (filled > 0) yield await frame();
  for (const source of files) {
    const {name, sizeBytes} = source;
    await using file = await source.open();
    for (let done = 0; done < sizeBytes; ) {
      const bytesRead = await file.read(buffer.subarray(filled, Math.min(frameBytes, filled + sizeBytes - done)), done);
      if (bytesRead === 0) throw badDump(name, `it ends at byte ${done} of ${sizeBytes}`);
      done += bytesRead;
      filled += bytesRead;
      if (filled === frameBytes) yield await frame();
    }
    layout.files.push({name, position, length: sizeBytes});
    position += sizeBytes;
  }
  if (filled > 0) yield await frame();
  return undefined;
}

/** A file of a dump. */
export function fileSource({name, path, sizeBytes}: DumpFile): BundleSource {
  return {
    name,
    sizeBytes,
    async open() {
      const file = await open(path, 'r');
      return {
        read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
        [Symbol.asyncDispose]: async () => file.close(),
      };
    },
  };
}

/** Files of a bundle that is stored already; they are checked while they are read. */
export function bundledSources(objects: ObjectStore, object: BundleObject, files: readonly BundleFile[]): readonly BundleSource[] {
  // Small files share a frame, and are read one after the other.
  let last: {readonly frame: BundleFrame; readonly content: Uint8Array} | undefined;
  const read = async ({position, length}: BundlePart, into: Buffer): Promise<number> => {
    const [first] = framesOf(object, {position, length});
    if (first === undefined) return 0;
    const {frame, skipBytes} = first;
    if (last?.frame !== frame) last = {frame, content: await readFrame(objects, object, frame)};
    const part = last.content.subarray(skipBytes, skipBytes + Math.min(first.length, into.length));
    into.set(part);
    return part.length;
  };
  return files.map(({name, position, length}) => ({
    name,
    sizeBytes: length,
    open: async () =>
      Promise.resolve({
        read: async (into: Buffer, done: number) => read({position: position + done, length: length - done}, into),
        [Symbol.asyncDispose]: async () => Promise.resolve(),
      }),
  }));
}

/** A frame, and the part of its content that belongs to what was asked for. */
export interface FramePart {
  readonly frame: BundleFrame;
  readonly skipBytes: number;
  readonly length: number;
}

/** The frames that hold a part, in order. @throws DamagedCheckpointError when they do not reach that far */
export function framesOf(object: BundleObject, {position, length}: BundlePart): readonly FramePart[] {
  const found: FramePart[] = [];
  let start = 0;
  let left = length;
  for (const frame of object.frames) {
    if (left === 0) break;
    const skipBytes = position + length - left - start;
    start += frame.plainBytes;
    if (skipBytes >= frame.plainBytes) continue;
    const taken = Math.min(left, frame.plainBytes - skipBytes);
    found.push({frame, skipBytes, length: taken});
    left -= taken;
  }
  if (left === 0) return found;
  throw new DamagedCheckpointError({...home(object), offset: 0, found: `byte ${position + length - 1} of its content is needed, it has ${start}`});
}

/** Reads and checks a part. @throws DamagedCheckpointError, ObjectStoreError */
export async function readPart(objects: ObjectStore, object: BundleObject, part: BundlePart): Promise<Buffer> {
  const pieces = await Promise.all(
    framesOf(object, part).map(async ({frame, skipBytes, length}) => (await readFrame(objects, object, frame)).subarray(skipBytes, skipBytes + length)),
  );
  return Buffer.concat(pieces);
}

/** The content of a frame. @throws DamagedCheckpointError, ObjectStoreError */
export async function readFrame(objects: ObjectStore, object: BundleObject, frame: BundleFrame): Promise<Uint8Array> {
  const stored = await getPart(objects, object, {position: frame.position, length: frame.storedBytes});
  const checksum = crc32(stored);
  if (checksum !== frame.checksum) {
    const found = `${stored.length} bytes have checksum ${checksum.toString(16)} instead of ${frame.checksum.toString(16)}`;
    throw new DamagedCheckpointError({...home(object), offset: frame.position, found});
  }
  return decodePiece(stored, frame, home(object), object.cipher);
}

/** Bytes of the object. That it ends too early is damage: the manifest says how long it is. */
async function getPart(objects: ObjectStore, object: BundleObject, range: ByteRange): Promise<Buffer> {
  try {
    return await objects.get(object.key, range);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_OBJECT_TRUNCATED') throw cause;
    throw new DamagedCheckpointError({...home(object), offset: range.position, found: errorMessage(cause), cause});
  }
}

function home({key, generation}: BundleObject): {object: string; generation: number} {
  return {object: key, generation};
}
