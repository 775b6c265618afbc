/**
 * Reads a tar archive, entry by entry. A reader of our own because attributes of files in pax headers are bytes (file capabilities are), which
 * the libraries decode as text, and because none of them knows GNU's sparse files.
 */
import {CodedError, errorCode} from '../../../core/errors.ts';
import {ByteReader, badArchive} from './byte-reader.ts';
import {blockBytes, type PaxRecords, parseHeader, parsePax, type TarHeader, text} from './tar-header.ts';
import {oldSparseMap, paxSparseMap, type SparseMap} from './tar-sparse.ts';

export type TarKind = 'file' | 'directory' | 'symlink' | 'link' | 'character' | 'block' | 'fifo';

export interface TarEntry {
  readonly kind: TarKind;
  /** As it is written, bytes as characters, but without slashes at the end. */
  readonly name: string;
  /** What a `symlink` or `link` refers to. */
  readonly linkName: string;
  /** Permissions and the bits setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedNs: bigint;
  readonly attributes: ReadonlyMap<string, Buffer>;
  readonly device: {readonly major: number; readonly minor: number};
  /** Of a file, holes included; 0 for what has no content. */
  readonly sizeBytes: number;
  /** Where the stored content begins in the archive. */
  readonly position: number;
  readonly isSparse: boolean;
  /** A file's bytes, to be read before the next entry is asked for; what is not read is skipped. */
  readonly content: () => AsyncGenerator<Buffer, void, void>;
}

const kinds: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  D: 'directory',
  S: 'file',
};
const extendedBytesMax = 1024 * 1024;
const zeros = Buffer.alloc(64 * 1024);
const attributePrefix = 'SCHILY.xattr.';
const noRecords: PaxRecords = new Map();

/** What stands before an entry and is about it. */
interface Announced {
  records: PaxRecords;
  name: string | undefined;
  linkName: string | undefined;
}

/** @throws CodedError ERR_BAD_ARCHIVE, whose message begins with the place; whatever the source throws */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, void> {
  const reader = new ByteReader(source);
  try {
    yield* readEntries(reader);
    await reader.toEnd();
  } finally {
    await reader.close();
  }
}

async function* readEntries(reader: ByteReader): AsyncGenerator<TarEntry, void, void> {
  let global = noRecords;
  let announced: Announced = {records: global, name: undefined, linkName: undefined};
  for (;;) {
    const position = reader.position;
    const block = position === 0 ? await firstBlock(reader) : await reader.exactly(blockBytes);
    if (block === undefined) return;
    if (isZero(block)) {
      if (isZero((await reader.exactly(blockBytes)) ?? block)) return;
      throw badArchive(position, 'there is an empty block in the middle');
    }
    const header = parseHeader(block, position);
    switch (header.type) {
      case 'g':
        global = parsePax(await extended(reader, header), global, position);
        announced.records = new Map([...global, ...announced.records]);
        break;
      case 'x':
      case 'X':
        announced.records = parsePax(await extended(reader, header), announced.records, position);
        break;
      case 'L':
        announced.name = text(await extended(reader, header));
        break;
      case 'K':
        announced.linkName = text(await extended(reader, header));
        break;
      case 'V':
        await reader.skip(padded(header.sizeBytes));
        break;
      default:
        yield* readEntry(reader, block, {header, announced, position});
        announced = {records: global, name: undefined, linkName: undefined};
    }
  }
}

/** @throws CodedError ERR_BAD_ARCHIVE when it is no tar archive at all */
async function firstBlock(reader: ByteReader): Promise<Buffer | undefined> {
  try {
    const block = await reader.exactly(blockBytes);
    if (block !== undefined && !isZero(block)) parseHeader(block, 0);
    return block;
  } catch (error) {
    if (errorCode(error) !== 'ERR_BAD_ARCHIVE' || reader.position > blockBytes) throw error;
    throw new CodedError('ERR_BAD_ARCHIVE', 'it is neither a tar archive nor one that was compressed with gzip, zstd, xz or bzip2', {source: 'client'});
  }
}

function isZero(block: Buffer): boolean {
  return block.equals(zeros.subarray(0, blockBytes));
}

function padded(length: number): number {
  return Math.ceil(length / blockBytes) * blockBytes;
}

async function extended(reader: ByteReader, {sizeBytes}: TarHeader): Promise<Buffer> {
  if (sizeBytes > extendedBytesMax) throw badArchive(reader.position, `there is an extended header of ${sizeBytes} bytes`);
  return (await reader.needed(padded(sizeBytes))).subarray(0, sizeBytes);
}

async function* readEntry(
  reader: ByteReader,
  block: Buffer,
  {header, announced, position}: {readonly header: TarHeader; readonly announced: Announced; readonly position: number},
): AsyncGenerator<TarEntry, void, void> {
  const {records} = announced;
  const named = records.get('GNU.sparse.name') ?? records.get('path');
  const name = named?.toString('latin1') ?? announced.name ?? header.name;
  const kind = header.type === '0' && name.endsWith('/') ? 'directory' : kinds[header.type];
  if (kind === undefined) throw badArchive(position, `there is "${readable(name)}" of the unknown type "${header.type}"`);
  const number = (key: string, otherwise: number): number => {
    const value = records.get(key)?.toString('latin1') ?? String(otherwise);
    if (/^\d{1,15}$/.test(value)) return Number(value);
    throw badArchive(position, `there is an extended header whose ${key} is no number`);
  };
  const storedBytes = kind === 'file' || header.type === 'D' ? number('size', header.sizeBytes) : 0;
  const sparse = header.type === 'S' ? await oldSparseMap(block, reader) : kind === 'file' ? await paxSparseMap(records, reader) : undefined;
  const content: StoredContent = {reader, sparse, begin: reader.position - (sparse?.mapBytes ?? 0), storedBytes};
  if (sparse !== undefined && sparse.parts.reduce((sum, {length}) => sum + length, sparse.mapBytes) !== storedBytes) {
    throw badArchive(position, `there is the sparse file "${readable(name)}" whose map does not fit its data`);
  }
  yield {
    kind,
    name: name.replace(/\/+$/, (slashes) => (slashes.length === name.length ? '/' : '')),
    linkName: records.get('linkpath')?.toString('latin1') ?? announced.linkName ?? header.linkName,
    mode: header.mode & 0o7777,
    uid: number('uid', header.uid),
    gid: number('gid', header.gid),
    modifiedNs: modified(records, header, position),
    attributes: attributesIn(records),
    device: header.device,
    sizeBytes: sparse?.sizeBytes ?? (kind === 'file' ? storedBytes : 0),
    position: content.begin,
    isSparse: sparse !== undefined,
    content: () => readContent(content),
  };
  await reader.skip(content.begin + padded(storedBytes) - reader.position);
}

interface StoredContent {
  readonly reader: ByteReader;
  readonly sparse: SparseMap | undefined;
  /** Of what is stored, the map included. */
  readonly begin: number;
  readonly storedBytes: number;
}

async function* readContent({reader, sparse, storedBytes}: StoredContent): AsyncGenerator<Buffer, void, void> {
  let at = 0;
  for (const {position, length} of sparse?.parts ?? [{position: 0, length: storedBytes}]) {
    yield* nothing(position - at);
    for (let left = length; left > 0; ) {
      const data = await reader.some(left);
      if (data === undefined) throw badArchive(reader.position, `${left} more bytes are expected, and it ends`);
      left -= data.length;
      yield data;
    }
    at = position + length;
  }
  yield* nothing((sparse?.sizeBytes ?? at) - at);
}

function* nothing(length: number): Generator<Buffer, void, void> {
  for (let left = length; left > 0; left -= Math.min(left, zeros.length)) yield zeros.subarray(0, left);
}

function modified(records: PaxRecords, {modifiedSeconds}: TarHeader, position: number): bigint {
  const written = records.get('mtime')?.toString('latin1');
  if (written === undefined) return BigInt(modifiedSeconds) * 1_000_000_000n;
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(written);
  if (match === null) throw badArchive(position, 'there is an extended header whose mtime is no time');
  const [, sign, seconds = '0', fraction = ''] = match;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9));
  return sign === '-' ? -ns : ns;
}

function attributesIn(records: PaxRecords): ReadonlyMap<string, Buffer> {
  const attributes = new Map<string, Buffer>();
  for (const [key, value] of records) if (key.startsWith(attributePrefix)) attributes.set(key.slice(attributePrefix.length), Buffer.from(value));
  return attributes;
}

/** A name for messages: its bytes are mostly UTF-8. */
export function readable(name: string): string {
  return Buffer.from(name, 'latin1').toString();
}
