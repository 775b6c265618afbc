/** Reads images as a whole, every chunk against its checksum, and says what is damaged, down to the files. */
import {errorCode, errorMessage} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {imageKeys} from './rootfs-image-keys.ts';
import {decodeChunk, type Image, loadImage, type NamedImage} from './rootfs-image-object.ts';

export interface Damage {
  /** Names of images. */
  readonly images: readonly string[];
  /** What is wrong, with the object and the place in it. */
  readonly found: string;
  /** Paths that cannot be read, at most `filesShown`; none when it is the whole image. */
  readonly files: readonly string[];
}

export interface Verified {
  readonly images: number;
  readonly chunks: number;
  readonly bytes: number;
  readonly damage: readonly Damage[];
}

export interface VerifyOptions {
  readonly objects: ObjectStore;
  readonly images: readonly NamedImage[];
  readonly onProgress?: (progress: {readonly doneBytes: number; readonly totalBytes: number}) => void;
  readonly signal: AbortSignal;
}

export const filesShown = 10;

/** @throws ObjectStoreError when the store cannot be read; damage is no error */
export async function verifyImages({objects, images, onProgress = () => undefined, signal}: VerifyOptions): Promise<Verified> {
  const byDigest = Map.groupBy(images, ({digest}) => digest);
  const damage: Damage[] = [];
  const loaded: {readonly image: Image; readonly names: readonly string[]}[] = [];
  for (const [digest, named] of byDigest) {
    const names = named.map(({name}) => name);
    const image = await orDamage(() => loadImage(objects, digest), imageKeys.image(digest));
    if (typeof image === 'string') damage.push({images: names, found: image, files: []});
    else loaded.push({image, names});
  }
  const totalBytes = loaded.reduce((sum, {image}) => sum + storedBytesOf(image), 0);
  const counts = {chunks: 0, doneBytes: 0};
  // Images share chunks, which are read once.
  const checked: Checked = new Map();
  for (const {image, names} of loaded) {
    const damaged = new Map<string, string[]>();
    for await (const {chunk, found} of checkImage(objects, image, checked)) {
      signal.throwIfAborted();
      counts.chunks += 1;
      counts.doneBytes += image.layout.places[chunk]?.storedBytes ?? 0;
      if (found !== undefined) damaged.set(found, [...(damaged.get(found) ?? []), ...filesWith(image, chunk)]);
      onProgress({doneBytes: counts.doneBytes, totalBytes});
    }
    for (const [found, files] of damaged) damage.push({images: names, found, files: [...new Set(files)].slice(0, filesShown)});
  }
  return {images: byDigest.size, chunks: counts.chunks, bytes: counts.doneBytes, damage};
}

/** Bytes of its chunks in the store, those that it shares with other images included. */
export function storedBytesOf({layout}: Image): number {
  return layout.places.reduce((sum, {storedBytes}) => sum + storedBytes, 0);
}

/** What was found at a place in a pack; undefined: it is as it was written. */
type Checked = Map<string, string | undefined>;

async function* checkImage(objects: ObjectStore, image: Image, checked: Checked): AsyncGenerator<{chunk: number; found: string | undefined}, void, void> {
  const {packs, places} = image.layout;
  const byPack = Map.groupBy(places.keys(), (chunk) => places[chunk]?.pack ?? 0);
  for (const [pack, chunks] of byPack) {
    const key = packs[pack] ?? '';
    const data = await orDamage(() => objects.get(key), key);
    for (const chunk of chunks) {
      const {position = 0, storedBytes = 0} = places[chunk] ?? {};
      const place = `${key} ${position}`;
      if (typeof data === 'string') checked.set(place, data);
      else if (!checked.has(place)) {
        const read = await orDamage(() => decodeChunk(image, chunk, data.subarray(position, position + storedBytes)), key);
        checked.set(place, typeof read === 'string' ? read : undefined);
      }
      yield {chunk, found: checked.get(place)};
    }
  }
}

/** What was read, or what is wrong with it. */
async function orDamage<T>(read: () => Promise<T>, key: string): Promise<T | string> {
  try {
    return await read();
  } catch (error) {
    if (errorCode(error) === 'ERR_NO_OBJECT') return `Cannot use object "${key}": it is not there`;
    if (errorCode(error) === 'ERR_IMAGE_DAMAGED' || errorCode(error) === 'ERR_IMAGE_FORMAT') return errorMessage(error);
    throw error;
  }
}

function filesWith({tree}: Image, chunk: number): readonly string[] {
  const found: string[] = [];
  const left: (readonly [number, string])[] = [[0, '']];
  for (let next = left.pop(); next !== undefined && found.length < filesShown; next = left.pop()) {
    const [number, path] = next;
    const node = tree.nodes[number];
    if (node?.kind === 'file' && node.chunks.includes(chunk)) found.push(Buffer.from(path, 'latin1').toString());
    if (node?.kind === 'directory') for (const [name, child] of node.children) left.push([child, `${path}/${name}`]);
  }
  return found;
}
