/** The bytes of a page table: runs in order of address, each relative to the one before, a few bytes per run. */
import {type PageRun, PageTable} from './page-table.ts';
import {VarintReader, VarintWriter} from './varint.ts';

const formatVersion = 1;

export function encodePageTable(table: PageTable): Buffer {
  const writer = new VarintWriter();
  writer.write(formatVersion);
  let [page, segment, index] = [0, 0, 0];
  for (const run of table.runs()) {
    writer.write(run.page - page);
    writer.write(run.count * 2 + (run.lazy ? 1 : 0));
    writer.writeSigned(run.segment - segment);
    writer.writeSigned(run.index - index);
    page = run.page + run.count;
    segment = run.segment;
    index = run.index + run.count;
  }
  return writer.finish();
}

/** @throws RangeError when the bytes are not a page table; the caller knows whose */
export function decodePageTable(data: Buffer): PageTable {
  const reader = new VarintReader(data);
  const version = reader.read();
  if (version !== formatVersion) throw new RangeError(`its version is ${version}`);
  return PageTable.from(decodeRuns(reader));
}

function* decodeRuns(reader: VarintReader): Generator<PageRun, undefined> {
  let [page, segment, index] = [0, 0, 0];
  while (!reader.done) {
    page += reader.read();
    const countAndKind = reader.read();
    const count = Math.floor(countAndKind / 2);
    segment += reader.readSigned();
    index += reader.readSigned();
    if (segment < 0 || index < 0 || segment > 0x7ffffff0 || index + count > 0xffffffff)
      throw new RangeError(`a run lies at page ${index} of segment ${segment}`);
    yield {page, count, segment, index, lazy: countAndKind % 2 === 1};
    page += count;
    index += count;
  }
  return undefined;
}
