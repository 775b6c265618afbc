/**
 * Layers to the files that they make together. They are read twice: first the headers, with all checksums, which tells what files are left in the
 * end; then the contents of those files. So nothing is stored of layers that turn out to be damaged, nor of files that a later layer hides.
 */
import {createHash, type Hash} from 'node:crypto';
import {CodedError, errorCode} from '../../../core/errors.ts';
import {chunkBytes, type ImageNode} from '../rootfs-image-tree.ts';
import {compressionOf, decompress} from './decompress.ts';
import {checkDigest, type Layer} from './image-manifest.ts';
import {type ContentPlace, type LayerEntry, LayerTree} from './layer-tree.ts';
import {readable, readTar, type TarEntry} from './tar-reader.ts';

export interface LayerProgress {
  readonly phase: 'check' | 'store';
  readonly files: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface ReadLayersOptions {
  readonly layers: readonly Layer[];
  /** Whether names that begin with `.wh.` remove what is below them. */
  readonly whiteouts: boolean;
  /** Takes a piece of a file; the buffer is reused afterwards. @returns its index */
  readonly addChunk: (data: Uint8Array) => Promise<number>;
  readonly onProgress: (progress: LayerProgress) => void;
  readonly signal: AbortSignal;
}

/** @returns all nodes, the root first. @throws CodedError ERR_BAD_ARCHIVE naming the layer, and what is wrong with it */
export async function readLayers(options: ReadLayersOptions): Promise<readonly ImageNode[]> {
  const {layers, whiteouts} = options;
  const tree = new LayerTree();
  const progress = {files: 0, doneBytes: 0, totalBytes: layers.reduce((sum, {file}) => sum + file.sizeBytes, 0)};
  for (const layer of layers) {
    const entries = await inLayer(layer, () => checkedEntries(layer, options, progress));
    await inLayer(layer, async () => tree.addLayer(entries, {whiteouts}));
  }
  const contents = await storeContents(tree.places(), options);
  return tree.nodes((place) => contents.get(keyOf(place)) ?? missing(place));
}

function keyOf({layer, entry}: Pick<ContentPlace, 'layer' | 'entry'>): string {
  return `${layer}:${entry}`;
}

function missing(place: ContentPlace): never {
  throw new CodedError('ERR_BAD_ARCHIVE', `it was changed while it was read: entry ${place.entry} of layer ${place.layer} is gone`, {source: 'client'});
}

/** Says which layer an error is about. */
async function inLayer<T>(layer: Layer, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (errorCode(error) !== 'ERR_BAD_ARCHIVE' || !(error instanceof Error)) throw error;
    if (layer.digest === null) throw error;
    throw new CodedError('ERR_BAD_ARCHIVE', `layer "${layer.name}": ${error.message}`, {source: 'client', cause: error.cause});
  }
}

async function* summed(
  source: AsyncIterable<Uint8Array>,
  hashes: readonly (Hash | null)[],
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const data of source) {
    for (const hash of hashes) hash?.update(data);
    onBytes(data.length);
    yield data;
  }
}

function hashFor(digest: string | null): Hash | null {
  return digest === null ? null : createHash(digest.startsWith('sha512:') ? 'sha512' : 'sha256');
}

function expectDigest(name: string, expected: string | null, hash: Hash | null): void {
  if (expected !== null && hash !== null) checkDigest(name, expected, `${expected.split(':')[0]}:${hash.digest('hex')}`);
}

async function headOf({file}: Layer): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of file.open()) {
    parts.push(part);
    if (parts.reduce((sum, {length}) => sum + length, 0) >= 6) break;
  }
  return Buffer.concat(parts);
}

async function checkedEntries(
  layer: Layer,
  options: ReadLayersOptions,
  progress: {files: number; doneBytes: number; totalBytes: number},
): Promise<LayerEntry[]> {
  const [packed, plain] = [hashFor(layer.digest), hashFor(layer.diffId)];
  const compression = compressionOf(await headOf(layer));
  const stored = summed(layer.file.open(), [packed], (count) => {
    progress.doneBytes += count;
    options.onProgress({phase: 'check', ...progress});
  });
  const entries: LayerEntry[] = [];
  try {
    for await (const {content: _content, ...entry} of readTar(summed(decompress(stored, compression), [plain], () => options.signal.throwIfAborted()))) {
      entries.push(entry);
      progress.files += 1;
    }
  } catch (error) {
    // What cannot be read because it is damaged has a wrong digest, which says more.
    if (errorCode(error) === 'ERR_BAD_ARCHIVE') await expectWhole(layer);
    throw error;
  }
  expectDigest(layer.name, layer.digest, packed);
  expectDigest(layer.name, layer.diffId, plain);
  return entries;
}

async function expectWhole(layer: Layer): Promise<void> {
  const hash = hashFor(layer.digest);
  for await (const data of layer.file.open()) hash?.update(data);
  expectDigest(layer.name, layer.digest, hash);
}

async function storeContents(places: readonly ContentPlace[], options: ReadLayersOptions): Promise<ReadonlyMap<string, readonly number[]>> {
  const contents = new Map<string, readonly number[]>();
  const wanted = new Set(places.map(keyOf));
  const lastWanted = new Map<number, number>();
  for (const {layer, entry} of places) lastWanted.set(layer, Math.max(entry, lastWanted.get(layer) ?? 0));
  const progress = {files: 0, doneBytes: 0, totalBytes: sizeOf(places)};
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  for (const [number, layer] of options.layers.entries()) {
    const last = lastWanted.get(number);
    if (last === undefined) continue;
    let entry = 0;
    const compression = compressionOf(await headOf(layer));
    for await (const file of readTar(decompress(layer.file.open(), compression))) {
      const key = keyOf({layer: number, entry});
      if (wanted.has(key)) {
        contents.set(key, await storeContent(file, {...options, buffer, progress}));
        progress.files += 1;
      }
      if (entry === last) break;
      entry += 1;
    }
  }
  return contents;
}

function sizeOf(places: readonly ContentPlace[]): number {
  return places.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0);
}

interface Storing extends ReadLayersOptions {
  /** Of one chunk. */
  readonly buffer: Buffer;
  readonly progress: {readonly files: number; doneBytes: number; readonly totalBytes: number};
}

async function storeContent(file: TarEntry, {addChunk, onProgress, signal, buffer, progress}: Storing): Promise<readonly number[]> {
  const chunks: number[] = [];
  let filled = 0;
  let total = 0;
  const flush = async (): Promise<void> => {
    signal.throwIfAborted();
    chunks.push(await addChunk(buffer.subarray(0, filled)));
    progress.doneBytes += filled;
    total += filled;
    filled = 0;
    onProgress({phase: 'store', ...progress});
  };
  for await (const data of file.content()) {
    for (let at = 0; at < data.length; ) {
      const copied = data.copy(buffer, filled, at);
      at += copied;
      filled += copied;
      if (filled === buffer.length) await flush();
    }
  }
  if (filled > 0) await flush();
  if (total === file.sizeBytes) return chunks;
  throw new CodedError('ERR_BAD_ARCHIVE', `"${readable(file.name)}" was changed while it was read`, {source: 'client'});
}
