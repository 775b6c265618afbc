/**
 * What a layer of files is written as, one record after the other: each name with all of its metadata, the content of files, and where a
 * directory ends. A name is one component and belongs to the directory that is open, so nothing outside the layer can be meant.
 *
 *   record   u32 length, JSON
 *   content  after the record of a file: u64 position, u32 length, that many bytes; the last one has the length 0. What is between is a hole
 *
 * Numbers are little-endian. Names and values are bytes, in JSON as characters from 0 to 255.
 */

export interface Metadata {
  /** Permissions only. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970, as decimal digits. */
  readonly accessed: string;
  readonly modified: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
}

interface Named extends Metadata {
  readonly name: string;
  /** Other names of it refer to this number; 0 when it has none. */
  readonly id: number;
}

export type LayerRecord =
  /** The first one has no name: the root of the layer. */
  | ({readonly kind: 'directory'; readonly name: string} & Metadata)
  | ({readonly kind: 'file'; readonly sizeBytes: number} & Named)
  | ({readonly kind: 'symlink'; readonly target: string} & Named)
  /** A device (0/0: a whiteout), pipe or socket; `type` is that part of st_mode. */
  | ({readonly kind: 'node'; readonly type: number; readonly major: number; readonly minor: number} & Named)
  | {readonly kind: 'link'; readonly name: string; readonly to: number}
  /** The directory that is open has no more names. */
  | {readonly kind: 'up'};

/** No attribute is longer than 64 KiB, nor are all names of them together. */
const recordBytesMax = 16 * 1024 * 1024;
const chunkHeadBytes = 12;

export function renderRecord(record: LayerRecord): Buffer {
  const json = Buffer.from(JSON.stringify(record));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(json.length);
  return Buffer.concat([head, json]);
}

/** What precedes a piece of content. */
export function renderChunkHead(position: number, length: number): Buffer {
  const head = Buffer.alloc(chunkHeadBytes);
  head.writeBigUInt64LE(BigInt(position));
  head.writeUInt32LE(length, 8);
  return head;
}

/** Gives the next bytes of what was written. */
export interface ByteSource {
  /** Exactly so many; good until the next call. */
  read(length: number): Promise<Buffer>;
  /** An error that says where in the object this was found. */
  damaged(found: string, cause?: unknown): Error;
}

export async function readRecord(source: ByteSource): Promise<LayerRecord> {
  const length = (await source.read(4)).readUInt32LE();
  if (length > recordBytesMax) throw source.damaged(`a record of ${length} bytes`);
  const json = (await source.read(length)).toString('utf8');
  try {
    return recordOf(JSON.parse(json));
  } catch (cause) {
    throw source.damaged('a record cannot be read', cause);
  }
}

export async function readChunkHead(source: ByteSource): Promise<{position: number; length: number}> {
  const head = await source.read(chunkHeadBytes);
  return {position: Number(head.readBigUInt64LE()), length: head.readUInt32LE(8)};
}

/** The checksum says that we wrote it; only what could do harm outside of the layer is looked at. */
function recordOf(value: unknown): LayerRecord {
  const record = value as LayerRecord;
  if (record.kind === 'up') return record;
  if (typeof record.name !== 'string' || record.name.includes('/') || ['.', '..'].includes(record.name)) throw new TypeError('not a name');
  if (record.name === '' && record.kind !== 'directory') throw new TypeError('no name');
  return record;
}
