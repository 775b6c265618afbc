/**
 * The few CRIU image files that we must understand: pagemaps (read and written) and the mappings in `mm-<pid>.img` (read). Everything else
 * passes through as it is. An image is two magic numbers and then records of a 32-bit length and a protobuf message (CRIU's images/*.proto).
 */
import {CodedError, errorMessage} from '../../core/errors.ts';
import {pageSizeBytes} from './page-table.ts';
import {VarintReader, VarintWriter} from './varint.ts';

const commonMagic = 0x54564319;
const pagemapMagic = 0x56084025;
const mmMagic = 0x57492820;

/** Flags of a pagemap entry, CRIU's PE_*. */
export const pagemapFlag = {parent: 1, lazy: 2, present: 4} as const;

export interface PagemapEntry {
  /** Address / 4096. */
  readonly page: number;
  readonly count: number;
  readonly flags: number;
}

export interface Pagemap {
  /** The pages are in `pages-<pagesId>.img`, one after the other in the order of the entries that are present. */
  readonly pagesId: number;
  readonly entries: readonly PagemapEntry[];
}

export interface Mapping {
  readonly firstPage: number;
  readonly endPage: number;
  /** CRIU restores such a mapping through userfaultfd; a page that is missing in it is zero. */
  readonly lazy: boolean;
}

type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

/** @throws CodedError ERR_BAD_DUMP */
export function parsePagemap(name: string, data: Buffer): Pagemap {
  return parsing(name, () => {
    const records = messages(data, pagemapMagic);
    const head = records.next().value;
    if (head === undefined) throw new RangeError('it has no head');
    const entries: PagemapEntry[] = [];
    for (const message of records) {
      const address = number(message, 1);
      const flags = number(message, 4, pagemapFlag.present) | (number(message, 3, 0) === 0 ? 0 : pagemapFlag.parent);
      const count = number(message, 5, number(message, 2, 0));
      if (address % pageSizeBytes !== 0) throw new RangeError(`address 0x${address.toString(16)} is not that of a page`);
      entries.push({page: address / pageSizeBytes, count, flags});
    }
    return {pagesId: number(head, 1), entries};
  });
}

/** A pagemap as CRIU 4.2 writes it. Entries must be in order of address. */
export function renderPagemap(pagemap: Pagemap): Buffer {
  const writer = new VarintWriter();
  writer.writeUInt32LE(commonMagic);
  writer.writeUInt32LE(pagemapMagic);
  writeMessage(writer, [[1, pagemap.pagesId]]);
  for (const {page, count, flags} of pagemap.entries) {
    writeMessage(writer, [
      [1, page * pageSizeBytes],
      [2, 0], // the 32-bit count, required by the schema and unused since field 5 exists
      [4, flags],
      [5, count],
    ]);
  }
  return writer.finish();
}

/** The mappings of a process, ordered by address. @throws CodedError ERR_BAD_DUMP */
export function parseMappings(name: string, data: Buffer): readonly Mapping[] {
  return parsing(name, () => {
    const mm = messages(data, mmMagic).next().value;
    if (mm === undefined) throw new RangeError('it has no record');
    return (mm.get(14) ?? []).map((vma) => {
      if (typeof vma === 'number') throw new RangeError('a mapping is not a message');
      return parseMapping(fieldsOf(vma));
    });
  });
}

/** MAP_* of mmap(2) and CRIU's VMA_* as its test "can this mapping be lazy" has them. */
const map = {private: 0x2, anonymous: 0x20, locked: 0x2000, hugeTlb: 0x40000} as const;
const special = {vsyscall: 1 << 2, vdso: 1 << 3, vvar: 1 << 12} as const;

function parseMapping(vma: Fields): Mapping {
  const flags = number(vma, 6);
  const status = number(vma, 7);
  const isLazy =
    (flags & map.anonymous) !== 0 &&
    (flags & map.private) !== 0 &&
    (flags & (map.locked | map.hugeTlb)) === 0 &&
    (status & (special.vsyscall | special.vdso | special.vvar)) === 0;
  return {firstPage: Math.floor(number(vma, 1) / pageSizeBytes), endPage: Math.floor(number(vma, 2) / pageSizeBytes), lazy: isLazy};
}

function parsing<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw badDump(name, errorMessage(cause), cause);
  }
}

/** An image that CRIU wrote and that we cannot use. */
export function badDump(name: string, found: string, cause?: unknown): CodedError {
  return new CodedError('ERR_BAD_DUMP', `Cannot read CRIU image "${name}": ${found}`, {source: 'host', cause});
}

function* messages(data: Buffer, magic: number): Generator<Fields, undefined> {
  const reader = new VarintReader(data);
  const found = [reader.readUInt32LE(), reader.readUInt32LE()] as const;
  if (found[0] !== commonMagic || found[1] !== magic) throw new RangeError(`its magic numbers are 0x${found[0].toString(16)} 0x${found[1].toString(16)}`);
  while (!reader.done) yield fieldsOf(reader.readBytes(reader.readUInt32LE()));
  return undefined;
}

function fieldsOf(message: Buffer): Fields {
  const fields = new Map<number, (number | Buffer)[]>();
  const reader = new VarintReader(message);
  while (!reader.done) {
    const tag = reader.read();
    const values = fields.get(Math.floor(tag / 8)) ?? [];
    values.push(fieldValue(reader, tag % 8));
    fields.set(Math.floor(tag / 8), values);
  }
  return fields;
}

function fieldValue(reader: VarintReader, wireType: number): number | Buffer {
  switch (wireType) {
    case 0:
      return reader.read();
    case 1:
      return reader.readBytes(8);
    case 2:
      return reader.readBytes(reader.read());
    case 5:
      return reader.readBytes(4);
    default:
      throw new RangeError(`a field has wire type ${wireType}`);
  }
}

/** A numeric field; without `otherwise` it must be there. */
function number(fields: Fields, field: number, otherwise?: number): number {
  const value = fields.get(field)?.at(-1) ?? otherwise;
  if (typeof value === 'number') return value;
  throw new RangeError(`field ${field} is ${value === undefined ? 'missing' : 'not a number'}`);
}

function writeMessage(writer: VarintWriter, fields: readonly (readonly [field: number, value: number])[]): void {
  const message = new VarintWriter();
  for (const [field, value] of fields) {
    message.write(field * 8);
    message.write(value);
  }
  const data = message.finish();
  writer.writeUInt32LE(data.length);
  writer.writeBytes(data);
}
