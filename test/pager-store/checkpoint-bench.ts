/** A checkpoint store in a directory of its own, fed with made-up dumps of one process with a heap and a library. */
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {appName, fencingToken, type Generation} from '../../src/core/ids.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {type CheckpointStore, openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import type {CommitResult} from '../../src/pager/checkpoints/commit.ts';
import {parsePagemap} from '../../src/pager/checkpoints/criu-image.ts';
import type {Keyring} from '../../src/pager/checkpoints/keyring.ts';
import {PageTable, pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {fileBytes} from './fuse-files-on-disk.ts';
import {pageOf, type SyntheticMapping, type SyntheticProcess, writeDump} from './synthetic-dump.ts';

export const app = appName('shop');
export const heap: SyntheticMapping = {page: 0x7f0000000, count: 70_000, lazy: true};
export const library: SyntheticMapping = {page: 0x400, count: 64, lazy: false};
export const zero: Buffer = Buffer.alloc(pageSizeBytes);
export const segmentKey = 'apps/shop/segments/00000001';

export interface Bench extends AsyncDisposable {
  readonly path: string;
  readonly root: string;
  readonly objects: ObjectStore;
  readonly store: CheckpointStore;
  commit(processes: readonly SyntheticProcess[], more?: CommitMore): Promise<CommitResult>;
}

export interface CommitMore {
  readonly parent?: Checkpoint | null;
  readonly above?: Generation | null;
  readonly missing?: ReadonlyMap<number, PageTable>;
  readonly token?: number;
  readonly meta?: unknown;
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly signal?: AbortSignal;
}

export async function bench(root?: string, keyring: Keyring | null = null): Promise<Bench> {
  const directory = await temporaryDirectory();
  const storeRoot = root ?? join(directory.path, 'store');
  const objects = await openDirectoryStore(storeRoot);
  const store = openCheckpointStore({objects, keyring});
  const dumpDir = join(directory.path, 'dump');
  return {
    path: directory.path,
    root: storeRoot,
    objects,
    store,
    async commit(processes, more = {}) {
      await writeDump(dumpDir, {processes, files: more.files ?? {}});
      return store.commit({
        app,
        token: fencingToken(more.token ?? 1),
        dumpDir,
        parent: more.parent ?? null,
        above: more.above,
        missing: more.missing ?? new Map(),
        meta: more.meta ?? null,
        signal: more.signal,
      });
    },
    [Symbol.asyncDispose]: async () => directory[Symbol.asyncDispose](),
  };
}

export function heapProcess(pages: ReadonlyMap<number, Uint8Array>, pid = 1): SyntheticProcess {
  return {pid, mappings: [library, heap], pages};
}

/** `count` pages of the heap, made from their number. */
export function heapPages(count: number, seed = 0): Map<number, Uint8Array> {
  return new Map(Array.from({length: count}, (_, at) => [heap.page + at, pageOf(seed + at)]));
}

/** A page that is easily compressed, and differs from those of other seeds. */
export function easyPage(seed: number): Buffer {
  return Buffer.alloc(pageSizeBytes, `line ${seed} of a log\n`);
}

/** All pages of a process as a restore gives them. */
export async function restored(checkpoint: Checkpoint, pid = 1): Promise<Map<number, Buffer>> {
  const files = await checkpoint.images('eager');
  const pagemap = parsePagemap('pagemap', fileBytes(files, `pagemap-${pid}.img`));
  const data = fileBytes(files, `pages-${pagemap.pagesId}.img`);
  const pages = new Map<number, Buffer>();
  let at = 0;
  for (const {page, count} of pagemap.entries) {
    for (let number = 0; number < count; number++, at++) pages.set(page + number, data.subarray(at * pageSizeBytes, (at + 1) * pageSizeBytes));
  }
  if (at * pageSizeBytes !== data.length) throw new Error(`${data.length} bytes of pages, ${at} pages in the pagemap`);
  return pages;
}

export function samePages(found: ReadonlyMap<number, Uint8Array>, expected: ReadonlyMap<number, Uint8Array>): boolean {
  if (found.size !== expected.size) return false;
  return [...expected].every(([page, data]) => found.get(page) !== undefined && Buffer.compare(found.get(page) ?? zero, data) === 0);
}

export async function objectKeys(objects: ObjectStore): Promise<readonly string[]> {
  return (await objects.list('')).map(({key}) => key);
}

export function parentTable(parent: Checkpoint, pid = 1): PageTable {
  return parent.tables.get(pid) ?? new PageTable();
}

export async function flipByte(path: string, offset: number): Promise<void> {
  const data = await readFile(path);
  data[Math.floor(offset)] = (data[Math.floor(offset)] ?? 0) ^ 0x10;
  await writeFile(path, data);
}
