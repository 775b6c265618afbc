/** Writes a directory like one of `criu dump`, of made-up processes. */
import {mkdir, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {pagemapFlag, renderPagemap} from '../../src/pager/checkpoints/criu-image.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {VarintWriter} from '../../src/pager/checkpoints/varint.ts';

export interface SyntheticMapping {
  readonly page: number;
  readonly count: number;
  /** Private anonymous memory; otherwise a private mapping of a file. */
  readonly lazy: boolean;
}

export interface SyntheticProcess {
  readonly pid: number;
  readonly mappings: readonly SyntheticMapping[];
  /** Present pages by number (address / 4096). */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

type Field = readonly [field: number, value: number | Buffer];

function message(fields: readonly Field[]): Buffer {
  const writer = new VarintWriter();
  for (const [field, value] of fields) {
    if (typeof value === 'number') {
      writer.write(field * 8);
      writer.write(value);
    } else {
      writer.write(field * 8 + 2);
      writer.write(value.length);
      writer.writeBytes(value);
    }
  }
  return writer.finish();
}

function image(magic: number, record: Buffer): Buffer {
  const writer = new VarintWriter();
  writer.writeUInt32LE(0x54564319);
  writer.writeUInt32LE(magic);
  writer.writeUInt32LE(record.length);
  writer.writeBytes(record);
  return writer.finish();
}

function mmImage(mappings: readonly SyntheticMapping[]): Buffer {
  const numbers = Array.from({length: 12}, (_, at): Field => [at + 1, 0]);
  const vmas = mappings.map(({page, count, lazy}): Field => {
    const status = lazy ? 1 | (1 << 9) : 1 | (1 << 6);
    const flags = lazy ? 0x22 : 0x02;
    return [
      14,
      message([
        [1, page * pageSizeBytes],
        [2, (page + count) * pageSizeBytes],
        [3, 0],
        [4, 0],
        [5, 3],
        [6, flags],
        [7, status],
        [8, 1],
      ]),
    ];
  });
  return image(0x57492820, message([...numbers, ...vmas]));
}

export interface SyntheticDump {
  readonly processes: readonly SyntheticProcess[];
  /** Images besides those of memory. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

/** Replaces `directory` by the dump. */
export async function writeDump(directory: string, dump: SyntheticDump): Promise<void> {
  await rm(directory, {recursive: true, force: true});
  await mkdir(directory, {recursive: true});
  const files: Record<string, Uint8Array> = {'inventory.img': Buffer.from('inventory'), 'pstree.img': Buffer.from('pstree'), ...dump.files};
  for (const [at, {pid, mappings, pages}] of dump.processes.entries()) {
    const isLazy = (page: number): boolean => mappings.some((mapping) => mapping.lazy && page >= mapping.page && page < mapping.page + mapping.count);
    const sorted = [...pages].sort(([a], [b]) => a - b);
    const entries: {page: number; count: number; flags: number}[] = [];
    for (const [page] of sorted) {
      const flags = pagemapFlag.present | (isLazy(page) ? pagemapFlag.lazy : 0);
      const last = entries.at(-1);
      if (last !== undefined && last.page + last.count === page && last.flags === flags) last.count++;
      else entries.push({page, count: 1, flags});
    }
    files[`pagemap-${pid}.img`] = renderPagemap({pagesId: at + 1, entries});
    files[`pages-${at + 1}.img`] = Buffer.concat(sorted.map(([, data]) => data));
    files[`mm-${pid}.img`] = mmImage(mappings);
  }
  for (const [name, data] of Object.entries(files)) await writeFile(join(directory, name), data);
}

/** A page whose bytes follow from `seed`; not compressible, never zero. */
export function pageOf(seed: number): Buffer {
  const data = Buffer.allocUnsafe(pageSizeBytes);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < pageSizeBytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data.writeInt32LE(state | 1, at);
  }
  return data;
}
