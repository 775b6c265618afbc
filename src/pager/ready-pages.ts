/**
 * Copies of the pages that a wake is expected to touch: not compressed, one after the other, in a file of their own. Where they are stored they lie
 * in many compressed blocks, and to decode these while CRIU and the app need the processor was most of a wake's time. The file has no name, so
 * that nothing of it is left when the pager ends in whatever way, and is never synced: the page cache, which gives way where memory is wanted, is
 * where it is to be read from. It is sealed like the segments that it is made of.
 */
import {constants} from 'node:fs';
import {type FileHandle, open} from 'node:fs/promises';
import type {ObjectStore} from '../store/object-store.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import {gather, gatheredSegment} from './checkpoints/gathered-pages.ts';
import {copiedPages, type PageCopies} from './checkpoints/page-copies.ts';
import type {PageRun} from './checkpoints/page-table.ts';
import {segmentPieces} from './checkpoints/segment-pieces.ts';
import type {LocalSegment} from './checkpoints/segment-reader.ts';
import {SegmentSource} from './checkpoints/segment-source.ts';

/** 64 MiB; those that are expected beyond are decoded when they are wanted. */
const maxPages = 16_384;
/** open(2); not among Node's constants. */
const unnamedFile = 0o20200000;
/** Of no other segment: those of cold objects begin at 0x40000000. */
const readySegmentNumber = 0x20000000;

export interface ReadyPages extends AsyncDisposable {
  readonly local: LocalSegment;
  readonly copies: PageCopies;
}

export interface ReadyPagesRequest {
  readonly objects: ObjectStore;
  readonly checkpoint: Checkpoint;
  readonly dataKey: Uint8Array | undefined;
  /** By process. */
  readonly expected: ReadonlyMap<number, readonly PageRun[]>;
  /** On a disk. */
  readonly directory: string;
}

/** @returns undefined when all of them can be read as they are. The caller disposes it. @throws DamagedCheckpointError, ObjectStoreError, Error of node:fs */
export async function layOut({objects, checkpoint, dataKey, expected, directory}: ReadyPagesRequest): Promise<ReadyPages | undefined> {
  const {app, generation, tables} = checkpoint;
  const object = `${app}/ready-pages`;
  await using source = new SegmentSource({objects, app, generation, dataKey});
  const pages = gather(await encodedOnly(source, expected), readySegmentNumber, maxPages);
  if (pages.count === 0) return undefined;
  await using scope = new AsyncDisposableStack();
  const file = scope.use(await open(directory, unnamedFile | constants.O_RDWR, 0o600));
  for await (const data of gatheredSegment(source, pages, {app, dataKey, object, compress: false})) await file.writeFile(data);
  const owned = scope.move();
  return {
    local: {app, segment: readySegmentNumber, object, generation, path: pathOf(file), dataKey},
    copies: copiedPages(tables, pages.tables),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A file without a name is opened once more through its descriptor. */
function pathOf({fd}: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

/** Those that must be decoded before they can be used. */
async function encodedOnly(source: SegmentSource, expected: ReadonlyMap<number, readonly PageRun[]>): Promise<ReadonlyMap<number, readonly PageRun[]>> {
  const found = new Map<number, readonly PageRun[]>();
  for (const [pid, runs] of expected) {
    const segments = await source.openAll(runs);
    const encoded = runs.flatMap((run) => {
      const segment = segments.get(run.segment);
      if (segment === undefined) return [];
      const pieces = segmentPieces(segment.place, segment.index, run.index, run.count).filter(({kind}) => kind === 'encoded');
      return pieces.map(({index, count}) => ({...run, page: run.page + index - run.index, index, count}));
    });
    found.set(pid, encoded);
  }
  return found;
}
