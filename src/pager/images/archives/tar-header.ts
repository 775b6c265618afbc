/** One header of a tar archive: the formats v7, ustar and GNU's, and the records of pax. Names are bytes, one character (U+0000 to U+00FF) each. */
import {badArchive} from './byte-reader.ts';

export const blockBytes = 512;

export interface TarHeader {
  /** A character. */
  readonly type: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly modifiedSeconds: number;
  readonly device: {readonly major: number; readonly minor: number};
}

/** @param position of the block in the archive, for messages. @throws CodedError ERR_BAD_ARCHIVE */
export function parseHeader(block: Buffer, position: number): TarHeader {
  const number = (offset: number, length: number, what: string): number => {
    const value = parseNumber(block.subarray(offset, offset + length));
    if (value === undefined) throw badArchive(position, `there is a header whose ${what} is no number`);
    return value;
  };
  checkSum(block, number(148, 8, 'checksum'), position);
  const magic = block.toString('latin1', 257, 265);
  const prefix = magic.startsWith('ustar\0') ? text(block.subarray(345, 500)) : '';
  const name = text(block.subarray(0, 100));
  const sizeBytes = number(124, 12, 'size');
  if (sizeBytes < 0) throw badArchive(position, 'there is a header with a negative size');
  const type = block.toString('latin1', 156, 157);
  const isDevice = type === '3' || type === '4';
  return {
    type: type === '\0' ? '0' : type,
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block.subarray(157, 257)),
    mode: number(100, 8, 'mode'),
    // Some programs write nobody as -2.
    uid: number(108, 8, 'owner') >>> 0,
    gid: number(116, 8, 'group') >>> 0,
    sizeBytes,
    modifiedSeconds: number(136, 12, 'time'),
    device: isDevice ? {major: number(329, 8, 'device'), minor: number(337, 8, 'device')} : {major: 0, minor: 0},
  };
}

function checkSum(block: Buffer, expected: number, position: number): void {
  let unsigned = 0;
  let signed = 0;
  for (const [index, byte] of block.entries()) {
    const counted = index >= 148 && index < 156 ? 0x20 : byte;
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted; // As some old programs did.
  }
  if (expected !== unsigned && expected !== signed) throw badArchive(position, 'there is no header of tar (its checksum is wrong)');
}

export function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.length : end);
}

/** Octal digits, or in GNU's way binary when the first bit says so. Undefined: neither, or greater than what a number holds. */
export function parseNumber(field: Buffer): number | undefined {
  const [first = 0] = field;
  if (first >= 0x80) {
    let value = first === 0xff ? -1n : BigInt(first & 0x7f);
    for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
    return Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
  }
  const digits = text(field).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

/** Records of pax by key; those of sparse files of the first version, which repeat keys, in the form of the second. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

/** @param before records that hold where these say nothing. @throws CodedError ERR_BAD_ARCHIVE */
export function parsePax(data: Buffer, before: PaxRecords, position: number): PaxRecords {
  const records = new Map(before);
  const sparse: string[] = [];
  for (let at = 0; at < data.length; ) {
    const blank = data.indexOf(0x20, at);
    const digits = blank < 0 ? '' : data.toString('latin1', at, blank);
    const end = at + (/^[1-9]\d{0,9}$/.test(digits) ? Number(digits) : Number.NaN);
    const equals = data.indexOf(0x3d, blank);
    // Negated, so that what is no number is refused too.
    if (!(end <= data.length && equals > blank && equals < end && data[end - 1] === 0x0a)) throw badArchive(position, 'there is a damaged extended header');
    const key = data.toString('latin1', blank + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') sparse.push(value.toString('latin1'));
    else if (value.length === 0) records.delete(key);
    else records.set(key, value);
    at = end;
  }
  if (sparse.length > 0) records.set('GNU.sparse.map', Buffer.from(sparse.join(',')));
  return records;
}
