/** One committed generation, loaded: what it consists of, and what is needed to wake from it. */
import {errorMessage} from '../../core/errors.ts';
import type {AppName, FencingToken, Generation} from '../../core/ids.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import type {FuseFiles} from '../fuse/fuse-files.ts';
import type {ColdImages} from '../remote/cold-images.ts';
import type {AppKeys} from './app-keys.ts';
import {keysOf} from './checkpoint-keys.ts';
import {DamagedCheckpointError} from './damage.ts';
import {type BundleObject, type BundleSource, bundledSources, readPart} from './image-bundle.ts';
import {type Manifest, openMeta, parseManifest} from './manifest.ts';
import type {PageTable} from './page-table.ts';
import {decodePageTable} from './page-table-codec.ts';
import {type RestoreMode, restoreImages} from './restore-images.ts';
import {type ObjectCipher, objectCipher} from './sealing.ts';
import type {LocalSegment} from './segment-reader.ts';

export interface Checkpoint {
  readonly app: AppName;
  readonly generation: Generation;
  readonly token: FencingToken;
  readonly parent: Generation | null;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** As given to `commit()`. */
  readonly meta: unknown;
  /** All pages by process (its id inside the app's pid namespace). Shared: clone a table to change it. */
  readonly tables: ReadonlyMap<number, PageTable>;
  readonly pageCount: number;
  /** What committing this generation added to the store, without its manifest. */
  readonly bytesWritten: number;
  readonly manifest: Manifest;
  /** CRIU's images as they were, to be put into another bundle. */
  files(): readonly BundleSource[];
  /** For a SegmentReader; plain data. Segments that the store has no local file of are left out. */
  localSegments(): Promise<readonly LocalSegment[]>;
  /** See `restoreImages()`. In mode `eager`, this checks every byte of the generation. @param cold where CRIU's pages are too */
  images(mode: RestoreMode, cold?: ColdImages): Promise<FuseFiles>;
}

/** @throws DamagedCheckpointError, ObjectStoreError (ERR_NO_OBJECT when there is no such generation) */
export async function readManifest(objects: ObjectStore, app: AppName, generation: number): Promise<Manifest> {
  const object = keysOf(app).manifest(generation);
  return parseManifest(await objects.get(object), {object, app, generation});
}

/**
 * Loads a generation and checks its manifest, its page tables, and that all its objects are there in full.
 * @throws as `readManifest()`; CodedError ERR_WRONG_KEY when it is sealed and cannot be opened
 */
export async function loadCheckpoint({objects, keys}: {objects: ObjectStore; keys: AppKeys}, app: AppName, generation: number): Promise<Checkpoint> {
  const {manifest, meta, dataKey, cipherOf} = await openManifest({objects, keys}, app, generation);
  const {bundle} = manifest;
  const bundleObject = {key: bundle.key, generation: manifest.generation, frames: bundle.frames, cipher: cipherOf(bundle.key)};
  await checkSizes(objects, manifest);
  const tables = await readTables(objects, manifest, bundleObject);
  return {
    app,
    generation: manifest.generation,
    token: manifest.token,
    parent: manifest.parent,
    createdAt: manifest.createdAt,
    meta,
    tables,
    pageCount: manifest.processes.reduce((sum, {pageCount}) => sum + pageCount, 0),
    bytesWritten: manifest.bytesWritten,
    manifest,
    files: () => bundledSources(objects, bundleObject, manifest.images),
    localSegments: async () => localSegments(objects, manifest, dataKey),
    images: async (mode, cold) => restoreImages({objects, manifest, tables, bundle: bundleObject, dataKey, cold}, mode),
  };
}

export type GenerationMeta = Pick<Checkpoint, 'meta' | 'token'>;

/** What `loadCheckpoint()` says of a generation without reading more than its manifest. @throws as that */
export async function loadMeta(from: {objects: ObjectStore; keys: AppKeys}, app: AppName, generation: number): Promise<GenerationMeta> {
  const {manifest, meta} = await openManifest(from, app, generation);
  return {meta, token: manifest.token};
}

interface OpenManifest {
  readonly manifest: Manifest;
  readonly meta: unknown;
  readonly dataKey: Uint8Array | undefined;
  readonly cipherOf: (object: string) => ObjectCipher | undefined;
}

async function openManifest({objects, keys}: {objects: ObjectStore; keys: AppKeys}, app: AppName, generation: number): Promise<OpenManifest> {
  const manifest = await readManifest(objects, app, generation);
  const object = keysOf(app).manifest(generation);
  const {sealed} = manifest;
  const dataKey = sealed === null ? undefined : await keys.forReading(app, {object, keyId: sealed.keyId});
  const cipherOf = (name: string): ObjectCipher | undefined =>
    sealed === null || dataKey === undefined ? undefined : objectCipher({dataKey, salt: Buffer.from(sealed.salt, 'hex'), object: name});
  return {manifest, meta: openMeta(manifest, object, cipherOf(object)), dataKey, cipherOf};
}

async function checkSizes(objects: ObjectStore, manifest: Manifest): Promise<void> {
  const keys = keysOf(manifest.app);
  const expected = [manifest.bundle, ...manifest.segments.map(({segment, sizeBytes}) => ({key: keys.segment(segment), sizeBytes}))];
  await Promise.all(
    expected.map(async ({key, sizeBytes}) => {
      const foundBytes = await objects.size(key);
      if (foundBytes === sizeBytes) return;
      const offset = Math.min(foundBytes, sizeBytes);
      throw new DamagedCheckpointError({
        object: key,
        generation: manifest.generation,
        offset,
        found: `the object has ${foundBytes} bytes instead of ${sizeBytes}`,
      });
    }),
  );
}

async function readTables(objects: ObjectStore, manifest: Manifest, bundle: BundleObject): Promise<ReadonlyMap<number, PageTable>> {
  const tables = await Promise.all(
    manifest.processes.map(async ({pid, table, pageCount}) => {
      const data = await readPart(objects, bundle, table);
      const damaged = (found: string): DamagedCheckpointError =>
        new DamagedCheckpointError({object: bundle.key, generation: manifest.generation, offset: 0, found});
      try {
        const decoded = decodePageTable(data);
        if (decoded.size !== pageCount) throw new RangeError(`it has ${decoded.size} pages instead of ${pageCount}`);
        return [pid, decoded] as const;
      } catch (cause) {
        throw damaged(`the page table of process ${pid} cannot be read: ${errorMessage(cause)}`);
      }
    }),
  );
  return new Map(tables);
}

async function localSegments(objects: ObjectStore, manifest: Manifest, dataKey: Uint8Array | undefined): Promise<readonly LocalSegment[]> {
  const {app, generation} = manifest;
  const found = manifest.segments.map(async ({segment, sizeBytes}): Promise<LocalSegment[]> => {
    const object = keysOf(app).segment(segment);
    const copy = objects.openLocal === undefined ? {path: await objects.localFile(object), presence: undefined} : await objects.openLocal(object, sizeBytes);
    const {path, presence} = copy;
    return path === undefined ? [] : [{app, segment, object, generation, path, presence, dataKey}];
  });
  return (await Promise.all(found)).flat();
}
