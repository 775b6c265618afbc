/** Makes an image of a directory or a tar archive. Until its name is written nobody sees it; a failed import leaves packs that the next removal finds. */
import {randomBytes} from 'node:crypto';
import {mkdtemp, rm, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../core/command.ts';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {checkImageName, imageKeys, imagePrefix} from './rootfs-image-keys.ts';
import {encodeImage, type Image, loadImage, type NamedImage, putName} from './rootfs-image-object.ts';
import {PackWriter, type StoredChunk} from './rootfs-image-packs.ts';
import {type ScanProgress, scanDirectory} from './rootfs-image-scan.ts';

const unpackTimeoutMs = 3_600_000;
const markerEveryMs = 60_000;

export interface ImportOptions {
  readonly objects: ObjectStore;
  readonly name: string;
  /** A directory, or a file that tar(1) can read. */
  readonly source: string;
  /** Where an archive is unpacked, as long as the import runs. */
  readonly temporaryDir: string;
  readonly onProgress?: (progress: ScanProgress) => void;
  readonly signal?: AbortSignal;
}

export interface Imported extends NamedImage {
  /** What this import added to the store. */
  readonly storedBytes: number;
}

/** @throws CodedError ERR_IMAGE_SOURCE, ERR_BAD_NAME, ERR_IMPORT_STALLED; ObjectStoreError */
export async function importImage(options: ImportOptions): Promise<Imported> {
  checkImageName(options.name);
  await using scope = new AsyncDisposableStack();
  const source = await directoryOf(options, scope);
  const {objects} = options;
  const marker = scope.use(await announce(objects));
  const writer = new PackWriter({objects, importId: marker.importId, known: await knownChunks(objects)});
  const nodes = await scanDirectory(source, {
    addChunk: async (data) => writer.add(data),
    onProgress: options.onProgress ?? (() => undefined),
    signal: options.signal ?? new AbortController().signal,
  });
  const layout = await writer.finish();
  const {digest, data} = await encodeImage({nodes, chunks: writer.chunks}, layout);
  await marker.stillThere();
  await putUnlessThere(objects, imageKeys.image(digest), data);
  let contentBytes = 0;
  for (const node of nodes) if (node.kind === 'file') contentBytes += node.sizeBytes;
  const named: NamedImage = {name: options.name, digest, importedAt: new Date().toISOString(), fileCount: nodes.length, contentBytes};
  await putName(objects, named);
  // A removal may have found it without a name in the moment before.
  await putUnlessThere(objects, imageKeys.image(digest), data);
  options.onProgress?.({files: nodes.length, bytes: contentBytes});
  return {...named, storedBytes: writer.storedBytes};
}

/** The same files were imported before: their image stays as it is. */
async function putUnlessThere(objects: ObjectStore, key: string, data: Buffer): Promise<void> {
  try {
    await objects.put(key, data, {ifAbsent: true});
  } catch (error) {
    if (errorCode(error) !== 'ERR_OBJECT_EXISTS') throw error;
  }
}

async function directoryOf({source, temporaryDir, signal}: ImportOptions, scope: AsyncDisposableStack): Promise<string> {
  const status = await stat(source).catch((cause: unknown) => {
    throw new CodedError('ERR_IMAGE_SOURCE', `Cannot import "${source}": ${errorCode(cause) ?? 'it cannot be read'}`, {source: 'client', cause});
  });
  if (status.isDirectory()) return source;
  const directory = await mkdtemp(join(temporaryDir, 'import-'));
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  try {
    // As it was packed: numbers of owners, modes, all attributes.
    const argv = ['tar', '--extract', '--file', source, '--directory', directory, '--numeric-owner', '--same-permissions', '--same-owner'] as const;
    await run([...argv, '--xattrs', '--xattrs-include=*'], {timeoutMs: unpackTimeoutMs, ...(signal === undefined ? {} : {signal})});
  } catch (cause) {
    throw new CodedError('ERR_IMAGE_SOURCE', `Cannot import "${source}": ${errorMessage(cause)}`, {source: 'client', cause});
  }
  return directory;
}

/** Chunks of all images, by digest. An image that cannot be read is left out: then its chunks are written again. */
async function knownChunks(objects: ObjectStore): Promise<ReadonlyMap<string, StoredChunk>> {
  const known = new Map<string, StoredChunk>();
  for (const {key} of await objects.list(imagePrefix.manifests)) {
    const image = await loadImage(objects, key.slice(imagePrefix.manifests.length)).catch((error: unknown) => {
      if (errorCode(error) === 'ERR_NO_OBJECT' || errorCode(error) === 'ERR_IMAGE_DAMAGED' || errorCode(error) === 'ERR_IMAGE_FORMAT') return undefined;
      throw error;
    });
    if (image !== undefined) for (const [digest, chunk] of storedChunks(image)) known.set(digest, chunk);
  }
  return known;
}

function* storedChunks({tree, layout}: Image): Generator<readonly [string, StoredChunk], undefined> {
  for (const [index, {pack, ...place}] of layout.places.entries()) {
    const digest = tree.chunks[index]?.digest;
    const packKey = layout.packs[pack];
    if (digest !== undefined && packKey !== undefined) yield [digest, {...place, packKey}];
  }
  return undefined;
}

/** Says in the store that an import runs, again and again: whoever removes images leaves packs alone meanwhile (see rootfs-image-remove.ts). */
async function announce(objects: ObjectStore): Promise<AsyncDisposable & {readonly importId: string; stillThere(): Promise<void>}> {
  const importId = `${Date.now().toString(36)}-${randomBytes(6).toString('hex')}`;
  const key = imageKeys.import(importId);
  const write = async (): Promise<void> => {
    await objects.put(key, Buffer.from(JSON.stringify({at: Date.now()})));
  };
  await write();
  let writing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    writing = writing.then(write).catch(() => undefined); // Whether it was in vain shows in the end.
  }, markerEveryMs);
  timer.unref();
  return {
    importId,
    async stillThere() {
      clearInterval(timer);
      await writing;
      try {
        await objects.get(key);
      } catch (cause) {
        throw new CodedError('ERR_IMPORT_STALLED', 'Cannot finish the import: it stood still for so long that its data may have been removed', {
          source: 'host',
          retryable: true,
          cause,
        });
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await writing;
      await objects.delete(key);
    },
  };
}
