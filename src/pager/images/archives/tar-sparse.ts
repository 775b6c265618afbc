/** Files with holes: GNU's old headers, and the three ways in which pax tells where the data of such a file belongs. */
import {type ByteReader, badArchive} from './byte-reader.ts';
import {blockBytes, type PaxRecords, parseNumber} from './tar-header.ts';

/** A part of a file that is stored; between the parts are zeros. */
export interface DataPart {
  readonly position: number;
  readonly length: number;
}

export interface SparseMap {
  /** Of the file, holes included. */
  readonly sizeBytes: number;
  readonly parts: readonly DataPart[];
  /** What the map itself takes of the stored data. */
  readonly mapBytes: number;
}

const partsMax = 1_000_000;

/** @param header the block of the file, whose map may go on in the blocks behind it. @throws CodedError ERR_BAD_ARCHIVE */
export async function oldSparseMap(header: Buffer, reader: ByteReader): Promise<SparseMap> {
  const {position} = reader;
  const numbers: (number | undefined)[] = [];
  const take = (block: Buffer, from: number, count: number): void => {
    for (let part = 0; part < count; part += 1) {
      const at = from + part * 24;
      if (block[at] === 0) return; // Not used.
      numbers.push(parseNumber(block.subarray(at, at + 12)), parseNumber(block.subarray(at + 12, at + 24)));
    }
  };
  take(header, 386, 4);
  for (let goesOn = header[482] === 1; goesOn; ) {
    const block = await reader.needed(blockBytes);
    take(block, 0, 21);
    if (numbers.length > partsMax * 2) throw badArchive(position, 'there is a file with too many holes');
    goesOn = block[504] === 1;
  }
  return {...checkParts(numbers, parseNumber(header.subarray(483, 495)), position), mapBytes: 0};
}

/** @returns undefined when the file is not sparse. @throws CodedError ERR_BAD_ARCHIVE */
export async function paxSparseMap(records: PaxRecords, reader: ByteReader): Promise<SparseMap | undefined> {
  const {position} = reader;
  const said = (key: string): string | undefined => records.get(key)?.toString('latin1');
  const version = said('GNU.sparse.major');
  const map = said('GNU.sparse.map');
  if (version === undefined && map === undefined) return undefined;
  const sizeBytes = decimal(said('GNU.sparse.realsize') ?? said('GNU.sparse.size'));
  if (map !== undefined) return {...checkParts(map.split(',').map(decimal), sizeBytes, position), mapBytes: 0};
  if (version !== '1' || said('GNU.sparse.minor') !== '0') throw badArchive(position, `there is a sparse file of an unknown version (${version})`);
  const {numbers, mapBytes} = await readMap(reader);
  return {...checkParts(numbers, sizeBytes, position), mapBytes};
}

/** Decimal numbers, one a line, the first of which says how many parts there are; filled up to a block. */
async function readMap(reader: ByteReader): Promise<{numbers: (number | undefined)[]; mapBytes: number}> {
  const begin = reader.position;
  const numbers: (number | undefined)[] = [];
  let unread = '';
  for (let wanted = 1; numbers.length < wanted; ) {
    unread += (await reader.needed(blockBytes)).toString('latin1');
    const lines = unread.split('\n');
    unread = lines.pop() ?? '';
    for (const line of lines) if (numbers.length < wanted) wanted = numbers.push(decimal(line)) === 1 ? 1 + (numbers[0] ?? partsMax + 1) * 2 : wanted;
    if (wanted > partsMax * 2 || unread.length > blockBytes) throw badArchive(begin, 'there is a damaged map of a sparse file');
  }
  return {numbers: numbers.slice(1), mapBytes: reader.position - begin};
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function checkParts(numbers: readonly (number | undefined)[], sizeBytes: number | undefined, position: number): Pick<SparseMap, 'sizeBytes' | 'parts'> {
  const parts: DataPart[] = [];
  let end = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [from, length] = [numbers[at], numbers[at + 1]];
    if (from === undefined || length === undefined || from < end) throw badArchive(position, 'there is a damaged map of a sparse file');
    end = from + length;
    if (length > 0) parts.push({position: from, length});
  }
  if (sizeBytes === undefined || end > sizeBytes) throw badArchive(position, 'there is a sparse file that is larger than it says');
  return {sizeBytes, parts};
}
