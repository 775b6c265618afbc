/** A fault worker whose segments are not in the local cache yet, and whose store is the test. */
import {ftruncateSync, openSync, readFileSync, writeSync} from 'node:fs';
import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {fencingToken, type InstanceId, instanceId, newInstanceName} from '../../src/core/ids.ts';
import {close} from '../../src/core/libc.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {encodePageTable} from '../../src/pager/checkpoints/page-table-codec.ts';
import type {LocalSegment} from '../../src/pager/checkpoints/segment-reader.ts';
import {FaultClient, type WantedPart} from '../../src/pager/faults/fault-client.ts';
import type {FaultReport, InstanceStats} from '../../src/pager/faults/fault-messages.ts';
import {startKeeper, stopKeeper} from '../../src/pager/faults/parking.ts';
import {lazyTables} from '../../src/pager/served-instances.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {pageOf, writeDump} from '../pager-store/synthetic-dump.ts';
import {app, FaultingApp, first, vpid} from './fault-lab.ts';

export const chunkBytes = 128 * 1024;

/** One object of the store and its local copy, which has nothing at first. */
class ColdFile {
  readonly local: LocalSegment;
  readonly #data: Buffer;
  readonly #present: Uint8Array;
  readonly #fd: number;

  constructor(complete: LocalSegment, path: string) {
    this.#data = readFileSync(complete.path);
    const map = new SharedArrayBuffer(Math.ceil(this.#data.length / chunkBytes));
    this.#present = new Uint8Array(map);
    this.#fd = openSync(path, 'w+');
    ftruncateSync(this.#fd, this.#data.length);
    this.local = {...complete, path, presence: {map, chunkBytes}};
  }

  get chunks(): number {
    return this.#present.length;
  }

  arrive({position, length}: {readonly position: number; readonly length: number}): void {
    writeSync(this.#fd, this.#data, position, Math.min(length, this.#data.length - position), position);
    for (let chunk = Math.floor(position / chunkBytes); chunk * chunkBytes < position + length; chunk++) Atomics.store(this.#present, chunk, 1);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

export interface ColdLab extends AsyncDisposable {
  /** All parts that the worker asked for. */
  readonly wanted: WantedPart[];
  readonly reports: FaultReport[];
  readonly chunks: number;
  /** Brings a part of the object into the local file. */
  readonly arrive: (part: {readonly position: number; readonly length: number}) => void;
  /** The end of the object, with its index. */
  arriveIndex(): void;
  /** Restores the process of `count` pages; `predicted` pages from the first one on are to be installed. */
  wake(options?: {predicted?: number; readAhead?: boolean}): Promise<{instance: InstanceId; app: FaultingApp}>;
  stats(instance: InstanceId): Promise<InstanceStats>;
}

/** @param onWanted resolves when the test has called `arrive()`, or rejects */
export async function coldLab(count: number, onWanted: (part: WantedPart, lab: ColdLab) => Promise<void>): Promise<ColdLab> {
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const store = openCheckpointStore({objects: await openDirectoryStore(join(path, 'store'))});
  const pages = new Map(Array.from({length: count}, (_, n) => [first + n, pageOf(first + n)] as const));
  const dumpDir = join(path, 'dump');
  await writeDump(dumpDir, {processes: [{pid: vpid, mappings: [{page: first, count, lazy: true}], pages}]});
  const {generation} = await store.commit({app, token: fencingToken(1), dumpDir, parent: null, missing: new Map(), meta: null});
  await rm(dumpDir, {recursive: true});
  const checkpoint = await store.load(app, generation);
  const [segment] = await checkpoint.localSegments();
  if (segment === undefined) throw new Error('the generation has no segment');
  const cold = scope.use(new ColdFile(segment, join(path, 'cold')));
  const wanted: WantedPart[] = [];
  const reports: FaultReport[] = [];
  const faults = scope.use(
    new FaultClient({
      windowPath: join(path, 'events'),
      takeovers: [],
      onReport: (report) => void reports.push(report),
      async onWanted(part) {
        wanted.push(part);
        await onWanted(part, lab);
      },
      onEnd: (reason) => void reports.push({kind: 'lost', instance: instanceId(app, newInstanceName(0)), reason, damaged: false}),
    }),
  );
  await faults.ready;
  const apps = scope.use(new AsyncDisposableStack());
  const lab: ColdLab = {
    wanted,
    reports,
    chunks: cold.chunks,
    arrive: (part) => cold.arrive(part),
    arriveIndex: () => cold.arrive({position: (cold.chunks - 1) * chunkBytes, length: chunkBytes}),
    async wake({predicted = 0, readAhead = true} = {}) {
      const instance = instanceId(app, newInstanceName(Date.now()));
      const workDir = join(path, `work-${instance}`);
      await mkdir(workDir);
      const {keeper, ends} = startKeeper(path);
      apps.defer(() => stopKeeper(keeper));
      const tables = lazyTables(checkpoint);
      const journalPath = join(path, `journal-${instance}`);
      await faults.ask({kind: 'prepare', plan: {instance, segments: [cold.local], tables, parking: ends, journalPath, socketDir: workDir, readAhead}});
      const runs = [...(checkpoint.tables.get(vpid)?.runsIn(first, predicted) ?? [])];
      const expectation = {predicted: [{vpid, table: encodePageTable(PageTable.from(runs))}], withheld: []};
      await faults.ask({kind: 'expect', instance, expectation});
      return {instance, app: apps.use(await FaultingApp.start(workDir, count))};
    },
    stats: async (instance) => (await faults.ask({kind: 'stats', instance})).stats,
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
  const owned = scope.move();
  return lab;
}
