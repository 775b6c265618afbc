import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {pino} from 'pino';
import {fencingToken} from '../../src/core/ids.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {type CheckpointStore, openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import type {PageRun, PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {coldObject} from '../../src/pager/remote/cold-writer.ts';
import {Uploads} from '../../src/pager/remote/uploads.ts';
import {type CachedStore, openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {type UnreliableStore, unreliableStore} from '../helpers/unreliable-store.ts';
import {app, heap, restored} from './checkpoint-bench.ts';
import {pageOf, type SyntheticProcess, writeDump} from './synthetic-dump.ts';

export const log = pino({level: 'silent'});

export interface Worker extends AsyncDisposable {
  readonly objects: CachedStore;
  readonly store: CheckpointStore;
  readonly uploads: Uploads;
  readonly events: string[];
  commit(processes: readonly SyntheticProcess[], more?: {parent?: Checkpoint; token?: number; missing?: ReadonlyMap<number, PageTable>}): Promise<void>;
}

export interface Bench extends AsyncDisposable {
  readonly path: string;
  readonly behind: ObjectStore;
  readonly remote: UnreliableStore;
  worker(name: string): Promise<Worker>;
}

/** Of the newest checkpoint, every `step`th block of the heap is expected. */
export const expected = async ({tables}: Checkpoint, step = 2): Promise<ReadonlyMap<number, readonly PageRun[]>> =>
  Promise.resolve(
    new Map(
      [...tables].map(([pid, table]) => [
        pid,
        [...table.runsIn(heap.page, heap.count)].flatMap((run) => parts(run).filter(({page}) => (page >> 5) % step === 0)),
      ]),
    ),
  );

export function parts(run: PageRun): PageRun[] {
  return Array.from({length: run.count}, (_, at) => ({...run, page: run.page + at, index: run.index + at, count: 1}));
}

export async function bench(): Promise<Bench> {
  const scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const behind = await openDirectoryStore(join(path, 'remote'));
  const remote = unreliableStore(behind);
  return {
    path,
    behind,
    remote,
    async worker(name) {
      const own = new AsyncDisposableStack();
      const events: string[] = [];
      const objects = own.use(
        await openCachedStore({remote, pendingDir: join(path, name, 'pending'), cacheDir: join(path, name, 'cache'), cacheBytes: 2 ** 30, log}),
      );
      const store = openCheckpointStore({objects});
      const uploads = own.use(
        new Uploads({
          objects,
          log,
          firstRetryMs: 10,
          cold: async (...args) => coldObject({objects, keyring: null, expected}, ...args),
          onChange: () => undefined,
          onEvent: (_app, event) => void events.push(event),
        }),
      );
      scope.use(own);
      return {
        objects,
        store,
        uploads,
        events,
        async commit(processes, more = {}) {
          const dumpDir = join(path, name, 'dump');
          await writeDump(dumpDir, {processes, files: {'core-1.img': pageOf(5)}});
          await store.commit({
            app,
            token: fencingToken(more.token ?? 1),
            dumpDir,
            parent: more.parent ?? null,
            missing: more.missing ?? new Map(),
            meta: {layers: []},
          });
        },
        [Symbol.asyncDispose]: () => own.disposeAsync(),
      };
    },
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

export async function remoteKeys({behind}: Bench): Promise<readonly string[]> {
  return (await behind.list('')).map(({key}) => key.slice('apps/shop/'.length));
}

export async function newest(t: ExecutionContext, worker: Worker): Promise<Checkpoint> {
  return (await worker.store.latestComplete(app)) ?? t.fail('no checkpoint');
}

export async function restoredFully(worker: Worker, checkpoint: Checkpoint): ReturnType<typeof restored> {
  for (const {segment} of checkpoint.manifest.segments) await worker.objects.ensureLocal(keysOf(app).segment(segment));
  return restored(checkpoint);
}
