/** Makes an image of a source. Until its name is written nobody sees it; a failed import leaves packs that the next sweep finds. */
import {randomBytes} from 'node:crypto';
import {hostname} from 'node:os';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {type Platform, platformText} from './archives/image-config.ts';
import {type ImageSource, openSource} from './archives/image-source.ts';
import {readLayers} from './archives/read-layers.ts';
import {checkImageName, imageKeys, imagePrefix} from './rootfs-image-keys.ts';
import {encodeImage, type Image, type ImageOrigin, loadImage, type NamedImage, putName} from './rootfs-image-object.ts';
import {PackWriter, type StoredChunk} from './rootfs-image-packs.ts';
import {contentBytesOf, scanDirectory} from './rootfs-image-scan.ts';
import {chunkOrder, type ImageNode} from './rootfs-image-tree.ts';

const markerEveryMs = 60_000;

export interface ImportProgress {
  /** Layers are read for their checksums and names first; then contents are stored. */
  readonly phase: 'check' | 'store';
  readonly files: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface ImportOptions {
  readonly objects: ObjectStore;
  readonly name: string;
  /** See ImageSource. */
  readonly source: string;
  /** Where an archive that is compressed as a whole is decompressed, as long as the import runs. */
  readonly temporaryDir: string;
  /** Which image of several. Default: this machine's platform, and the only tag. */
  readonly platform?: Platform | null;
  readonly tag?: string | null;
  readonly onProgress?: (progress: ImportProgress) => void;
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
  const {objects, platform = null, tag = null, temporaryDir, signal = new AbortController().signal} = options;
  const source = await ofSource(options.source, signal, () => openSource(options.source, {platform, tag, temporaryDir, scope, signal}));
  const marker = scope.use(await announce(objects));
  const writer = new PackWriter({objects, importId: marker.importId, known: await knownChunks(objects)});
  const read = await ofSource(options.source, signal, () => readNodes(source, writer, {...options, signal}));
  const order = chunkOrder(read);
  const nodes = renumbered(read, order);
  const layout = await writer.finish(order);
  const {digest, data} = await encodeImage({nodes, chunks: order.flatMap((index) => writer.chunks[index] ?? [])}, layout);
  signal.throwIfAborted();
  await marker.stillThere();
  await putUnlessThere(objects, imageKeys.image(digest), data);
  let contentBytes = 0;
  for (const node of nodes) if (node.kind === 'file') contentBytes += node.sizeBytes;
  const named: NamedImage = {
    name: options.name,
    digest,
    importedAt: new Date().toISOString(),
    fileCount: nodes.length,
    contentBytes,
    ...('image' in source && 'config' in source.image ? {config: source.image.config} : {}),
    origin: originOf(source),
  };
  await putName(objects, named);
  // A removal may have found it without a name in the moment before.
  await putUnlessThere(objects, imageKeys.image(digest), data);
  return {...named, storedBytes: writer.storedBytes};
}

function originOf(source: ImageSource): ImageOrigin {
  if (source.kind === 'directory' || source.kind === 'tar') return {kind: source.kind, platform: null, tag: null};
  const {platform, tag} = source.image;
  return {kind: source.kind, platform: platform && platformText(platform), tag};
}

/** Names the source in what is wrong with it. */
async function ofSource<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal.throwIfAborted();
    if (errorCode(cause) !== 'ERR_BAD_ARCHIVE' && errorCode(cause) !== 'ERR_IMAGE_SOURCE') throw cause;
    throw new CodedError('ERR_IMAGE_SOURCE', `Cannot import "${path}": ${errorMessage(cause)}`, {source: 'client', cause});
  }
}

async function readNodes(source: ImageSource, writer: PackWriter, options: ImportOptions & {readonly signal: AbortSignal}): Promise<readonly ImageNode[]> {
  const {onProgress = () => undefined, signal} = options;
  const addChunk = (data: Uint8Array): Promise<number> => writer.add(data);
  if (source.kind !== 'directory') {
    return readLayers({layers: source.image.layers, whiteouts: source.kind !== 'tar', addChunk, onProgress, signal});
  }
  const totalBytes = await contentBytesOf(source.path, signal);
  return scanDirectory(source.path, {addChunk, onProgress: ({files, bytes}) => onProgress({phase: 'store', files, doneBytes: bytes, totalBytes}), signal});
}

/** With the numbers that chunks have in the image, instead of those of the writer. */
function renumbered(nodes: readonly ImageNode[], order: readonly number[]): readonly ImageNode[] {
  const numbers = new Map(order.map((index, number) => [index, number]));
  return nodes.map((node) => (node.kind === 'file' ? {...node, chunks: node.chunks.map((index) => numbers.get(index) ?? 0)} : node));
}

/** The same files were imported before: their image stays as it is. */
async function putUnlessThere(objects: ObjectStore, key: string, data: Buffer): Promise<void> {
  try {
    await objects.put(key, data, {ifAbsent: true});
  } catch (error) {
    if (errorCode(error) !== 'ERR_OBJECT_EXISTS') throw error;
  }
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

/** What an import that runs says of itself. */
export interface ImportMarker {
  readonly at: number;
  readonly host: string;
  readonly pid: number;
}

/** Says in the store that an import runs, again and again: whoever removes images leaves packs alone meanwhile (see rootfs-image-remove.ts). */
async function announce(objects: ObjectStore): Promise<AsyncDisposable & {readonly importId: string; stillThere(): Promise<void>}> {
  const importId = `${Date.now().toString(36)}-${randomBytes(6).toString('hex')}`;
  const key = imageKeys.import(importId);
  const write = async (): Promise<void> => {
    const marker: ImportMarker = {at: Date.now(), host: hostname(), pid: process.pid};
    await objects.put(key, Buffer.from(JSON.stringify(marker)));
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
