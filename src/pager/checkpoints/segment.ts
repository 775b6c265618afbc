/**
 * The format of a segment: an immutable object of pages of one app.
 *
 *   header   64 bytes: magic, version, segment, CRC-32 of the app's name; for people and tools
 *   blocks   up to 32 pages each, all from one aligned 32-page block of one process, or from several of which it has few pages each; one after
 *            the other, each compressed or not, and sealed when the app has a key
 *   index    per block: count, codec and stored length; then a CRC-32 per page of what it holds. Sealed like a block
 *   footer   96 bytes: magic, version, segment, CRC-32 of the app's name, sizes, how it is sealed, CRC-32 of the stored index and of the footer
 *
 * A page is addressed by its index, counted from the first block on. Pages of blocks that are neither compressed nor sealed can be read one by
 * one, and are checked by their checksums alone.
 */
import {crc32} from 'node:zlib';
import {CodedError} from '../../core/errors.ts';
import {DamagedCheckpointError} from './damage.ts';
import {pageSizeBytes} from './page-table.ts';
import {checkKey, keyId, type ObjectCipher, objectCipher, sealSaltBytes} from './sealing.ts';
import {decodePieceSync, rawCodec, type StoredPiece} from './stored-piece.ts';

export const segmentHeaderBytes = 64;
export const segmentFooterBytes = 96;

const headerMagic = 'PICOSEG2';
const footerMagic = 'PICOEND2';
const formatVersion = 2;
/** Format 1 ended with 64 bytes that began like this. */
const oldFooter = {magic: 'PICOEND1', bytes: 64} as const;
const blockEntryBytes = 8;
const sealedFlag = 1;
const keyIdBytes = 8;

export interface SegmentIdentity {
  readonly app: string;
  readonly segment: number;
}

export interface SegmentBlock extends StoredPiece {
  readonly firstIndex: number;
  readonly count: number;
}

export interface SegmentFooter {
  readonly pageCount: number;
  readonly blockCount: number;
  readonly indexPosition: number;
  readonly indexBytes: number;
  readonly indexChecksum: number;
  /** Null when nothing is sealed. */
  readonly sealed: {readonly keyId: string; readonly salt: Buffer} | null;
}

/** What one must know of a segment to read its pages. */
export interface SegmentIndex {
  readonly pageCount: number;
  /** Position of the index, where the blocks end. */
  readonly endOfBlocks: number;
  readonly blocks: readonly SegmentBlock[];
  /** CRC-32 of each page. */
  readonly checksums: Uint32Array;
  /** Undefined when nothing is sealed. */
  readonly cipher: ObjectCipher | undefined;
}

export function renderHeader({app, segment}: SegmentIdentity): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  header.write(headerMagic, 0, 'latin1');
  header.writeUInt32LE(formatVersion, 8);
  header.writeUInt32LE(segment, 12);
  header.writeUInt32LE(crc32(app), 16);
  return header;
}

/** What the index and the footer tell. */
export interface SegmentContent {
  readonly blocks: readonly Pick<SegmentBlock, 'count' | 'codec' | 'storedBytes'>[];
  readonly checksums: readonly number[];
  /** Where the blocks end. */
  readonly indexPosition: number;
  readonly cipher: ObjectCipher | undefined;
}

/** The index and the footer, which end the object. */
export function renderEnd(identity: SegmentIdentity, {blocks, checksums, indexPosition, cipher}: SegmentContent): Buffer {
  const plain = Buffer.alloc(blocks.length * blockEntryBytes + checksums.length * 4);
  let at = 0;
  for (const {count, codec, storedBytes} of blocks) {
    plain.writeUInt8(count, at);
    plain.writeUInt8(codec, at + 1);
    plain.writeUInt32LE(storedBytes, at + 4);
    at += blockEntryBytes;
  }
  for (const checksum of checksums) at = plain.writeUInt32LE(checksum, at);
  const index = cipher === undefined ? plain : cipher.encrypt(indexPosition, plain);
  const footer = Buffer.alloc(segmentFooterBytes);
  footer.write(footerMagic, 0, 'latin1');
  footer.writeUInt32LE(formatVersion, 8);
  footer.writeUInt32LE(identity.segment, 12);
  footer.writeUInt32LE(crc32(identity.app), 16);
  footer.writeUInt32LE(checksums.length, 20);
  footer.writeUInt32LE(blocks.length, 24);
  footer.writeUInt32LE(index.length, 28);
  footer.writeBigUInt64LE(BigInt(indexPosition), 32);
  footer.writeUInt32LE(crc32(index), 40);
  if (cipher !== undefined) {
    footer.writeUInt32LE(sealedFlag, 44);
    footer.write(keyId(cipher.seal.dataKey), 48, 'hex');
    footer.set(cipher.seal.salt, 48 + keyIdBytes);
  }
  footer.writeUInt32LE(crc32(footer.subarray(0, segmentFooterBytes - 4)), segmentFooterBytes - 4);
  return Buffer.concat([index, footer]);
}

/** Where something was read from, for the message of an error. */
export interface SegmentPlace extends SegmentIdentity {
  /** Key of the object. */
  readonly object: string;
  readonly generation?: number | undefined;
}

/** @throws DamagedCheckpointError; CodedError ERR_UNKNOWN_FORMAT when another version of ours wrote it */
export function parseFooter(place: SegmentPlace, objectBytes: number, footer: Buffer): SegmentFooter {
  const offset = Math.max(0, objectBytes - segmentFooterBytes);
  const damaged = (found: string): DamagedCheckpointError => new DamagedCheckpointError({...place, offset, found});
  if (footer.toString('latin1', footer.length - oldFooter.bytes, footer.length - oldFooter.bytes + 8) === oldFooter.magic) throw unknownFormat(place, 1);
  if (objectBytes < segmentHeaderBytes + segmentFooterBytes || footer.length !== segmentFooterBytes) {
    throw damaged(`the object ends after ${objectBytes} bytes`);
  }
  if (footer.toString('latin1', 0, 8) !== footerMagic) throw damaged('the footer of a segment is missing');
  const checksum = crc32(footer.subarray(0, segmentFooterBytes - 4));
  if (checksum !== footer.readUInt32LE(segmentFooterBytes - 4)) throw damaged('the footer has a wrong checksum');
  if (footer.readUInt32LE(8) !== formatVersion) throw unknownFormat(place, footer.readUInt32LE(8));
  if (footer.readUInt32LE(12) !== place.segment || footer.readUInt32LE(16) !== crc32(place.app)) {
    throw damaged(`it is segment ${footer.readUInt32LE(12)}, or that of another app`);
  }
  const saltAt = 48 + keyIdBytes;
  const isSealed = (footer.readUInt32LE(44) & sealedFlag) !== 0;
  const parsed = {
    pageCount: footer.readUInt32LE(20),
    blockCount: footer.readUInt32LE(24),
    indexBytes: footer.readUInt32LE(28),
    indexPosition: Number(footer.readBigUInt64LE(32)),
    indexChecksum: footer.readUInt32LE(40),
    sealed: isSealed ? {keyId: footer.toString('hex', 48, saltAt), salt: Buffer.from(footer.subarray(saltAt, saltAt + sealSaltBytes))} : null,
  };
  if (parsed.indexPosition + parsed.indexBytes !== offset) throw damaged(`the index ends at byte ${parsed.indexPosition + parsed.indexBytes}`);
  return parsed;
}

function unknownFormat({object}: SegmentPlace, version: number): CodedError {
  const found = `it has format ${version}, this version of Picogate reads ${formatVersion}`;
  return new CodedError('ERR_UNKNOWN_FORMAT', `Cannot read object "${object}": ${found}`, {source: 'host'});
}

/**
 * @param dataKey of the app, if there is one
 * @throws DamagedCheckpointError; CodedError ERR_WRONG_KEY
 */
export function parseIndex(place: SegmentPlace, footer: SegmentFooter, stored: Buffer, dataKey: Uint8Array | undefined): SegmentIndex {
  const {pageCount, blockCount, indexPosition, indexBytes, sealed} = footer;
  const damaged = (found: string): DamagedCheckpointError => new DamagedCheckpointError({...place, offset: indexPosition, found});
  if (crc32(stored) !== footer.indexChecksum) throw damaged('the index has a wrong checksum');
  let cipher: ObjectCipher | undefined;
  if (sealed !== null) {
    checkKey(dataKey, {object: place.object, keyId: sealed.keyId});
    cipher = objectCipher({dataKey, salt: sealed.salt, object: place.object});
  }
  const piece = {position: indexPosition, storedBytes: indexBytes, plainBytes: blockCount * blockEntryBytes + pageCount * 4, codec: rawCodec};
  const plain = decodePieceSync(stored, piece, place, cipher);
  const data = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  const blocks: SegmentBlock[] = [];
  let [firstIndex, position] = [0, segmentHeaderBytes];
  for (let at = 0; at < blockCount * blockEntryBytes; at += blockEntryBytes) {
    const count = data.readUInt8(at);
    const storedBytes = data.readUInt32LE(at + 4);
    blocks.push({firstIndex, count, codec: data.readUInt8(at + 1), position, storedBytes, plainBytes: count * pageSizeBytes});
    firstIndex += count;
    position += storedBytes;
  }
  if (firstIndex !== pageCount || position !== indexPosition) throw damaged(`the index tells of ${firstIndex} pages, up to byte ${position}`);
  const checksums = new Uint32Array(pageCount);
  // Little-endian, as all hosts are that CRIU runs on but s390x.
  Buffer.from(checksums.buffer).set(data.subarray(blockCount * blockEntryBytes, blockCount * blockEntryBytes + pageCount * 4));
  return {pageCount, endOfBlocks: indexPosition, blocks, checksums, cipher};
}
