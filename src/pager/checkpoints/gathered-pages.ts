/** Copies of pages that lie in many segments, one after the other in a segment of their own, so that they are read at one go. */
import type {AppName} from '../../core/ids.ts';
import {pageChecksum} from './page-checksums.ts';
import {blockPages, type PageRun, PageTable} from './page-table.ts';
import {newSalt, objectCipher} from './sealing.ts';
import type {SegmentSource} from './segment-source.ts';
import {type PageBatch, type SegmentForm, segmentBody} from './segment-writer.ts';

/** Pages that are read and written together. */
const batchPages = 256;

export interface GatheredPages {
  readonly segment: number;
  readonly count: number;
  /** Where each page is now, in the order in which they are written. */
  readonly runs: readonly (PageRun & {readonly pid: number})[];
  /** Where each will be, by process. */
  readonly tables: ReadonlyMap<number, PageTable>;
}

/** @param segment its number. @param maxPages what is beyond is left where it is */
export function gather(wanted: ReadonlyMap<number, readonly PageRun[]>, segment: number, maxPages: number): GatheredPages {
  const tables = new Map<number, PageTable>();
  const runs: (PageRun & {pid: number})[] = [];
  let count = 0;
  for (const [pid, pages] of wanted) {
    const table = new PageTable();
    // In order of address and without doubles.
    for (const run of PageTable.from(pages).runs()) {
      if (count + run.count > maxPages) break;
      runs.push({...run, pid});
      table.add({page: run.page, count: run.count, segment, index: count, lazy: run.lazy});
      count += run.count;
    }
    tables.set(pid, table);
  }
  return {segment, count, runs, tables};
}

export interface NewSegment {
  readonly app: AppName;
  /** Seals it; undefined when the app has no key. */
  readonly dataKey: Uint8Array | undefined;
  /** Its name. */
  readonly object: string;
}

/** The bytes of the segment. @param source where the pages are. @throws DamagedCheckpointError, ObjectStoreError */
export function gatheredSegment(
  source: SegmentSource,
  pages: GatheredPages,
  {app, dataKey, object, ...form}: NewSegment & Pick<SegmentForm, 'compress'>,
): AsyncGenerator<Uint8Array, undefined> {
  const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt: newSalt(), object});
  return segmentBody({app, segment: pages.segment}, batches(source, pages), {...form, cipher});
}

async function* batches(source: SegmentSource, {runs}: GatheredPages): AsyncGenerator<PageBatch, undefined> {
  let pid = -1;
  let pages: number[] = [];
  let data: Buffer[] = [];
  const flush = (): PageBatch => {
    const all = Buffer.concat(data);
    const batch = {pid, pages, data: all, checksums: pages.map((_, at) => pageChecksum(all, at))};
    pages = [];
    data = [];
    return batch;
  };
  for (const run of runs) {
    for (let done = 0; done < run.count; ) {
      const page = run.page + done;
      const isNewBlock = pages.length === 0 || Math.floor(page / blockPages) !== Math.floor((pages.at(-1) ?? 0) / blockPages);
      if (pages.length > 0 && (run.pid !== pid || (isNewBlock && pages.length >= batchPages))) yield flush();
      pid = run.pid;
      const count = Math.min(run.count - done, blockPages - (page % blockPages));
      data.push(await source.read(run.segment, run.index + done, count));
      for (let at = 0; at < count; at++) pages.push(page + at);
      done += count;
    }
  }
  if (pages.length > 0) yield flush();
  return undefined;
}
