/** Lists images and removes them, and with the last image that needs it each pack. */
import {CodedError, errorCode} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {imageKeys, imagePrefix, isImageDigest, nameOfKey} from './rootfs-image-keys.ts';
import {getName, loadImage, type NamedImage} from './rootfs-image-object.ts';

/** An import writes its marker again every minute; one this old has been killed. */
const staleMarkerMs = 3_600_000;

export async function listImages(objects: ObjectStore): Promise<readonly NamedImage[]> {
  const names = (await objects.list(imagePrefix.names)).map(({key}) => nameOfKey(key)).filter((name) => name !== undefined);
  return Promise.all(names.map((name) => getName(objects, name)));
}

export interface RemoveOptions {
  readonly objects: ObjectStore;
  /** Digests that checkpoints refer to. Read before and after the name has been removed. */
  readonly neededDigests: () => Promise<ReadonlySet<string>>;
}

export interface Removed {
  readonly images: number;
  readonly packs: number;
  /** An import runs: packs stay until the next removal. */
  readonly deferred: boolean;
}

/** Removes a name, and everything that nothing refers to any more. @throws CodedError ERR_NO_IMAGE */
export async function removeImage(name: string, options: RemoveOptions): Promise<Removed> {
  const {objects} = options;
  try {
    await getName(objects, name);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_NO_OBJECT') throw cause;
    throw new CodedError('ERR_NO_IMAGE', `Cannot remove image "${name}": there is none of this name`, {source: 'client', cause});
  }
  // When it cannot be known what is needed, nothing has happened yet.
  await options.neededDigests();
  await objects.delete(imageKeys.name(name));
  return sweepImages(options);
}

/** Removes images without a name, a mount or a checkpoint, then packs without an image. */
export async function sweepImages({objects, neededDigests}: RemoveOptions): Promise<Removed> {
  // An import may be about to give an image of the same content a name.
  if (await importRuns(objects)) return {images: 0, packs: 0, deferred: true};
  const needed = new Set(await neededDigests());
  for (const {key} of await objects.list(imagePrefix.uses)) needed.add(key.slice(imagePrefix.uses.length).split('/')[0] ?? '');
  const found = (await objects.list(imagePrefix.manifests)).map(({key}) => key.slice(imagePrefix.manifests.length));
  for (const {digest} of await listImages(objects)) needed.add(digest);
  if (await importRuns(objects)) return {images: 0, packs: 0, deferred: true};
  let images = 0;
  for (const digest of found) {
    if (!isImageDigest(digest) || needed.has(digest)) continue;
    await objects.delete(imageKeys.image(digest));
    images += 1;
  }
  return {images, ...(await sweepPacks(objects))};
}

/**
 * The order makes it safe against imports and other removals, without a lock. An import writes its marker, reads the images (whose packs it may
 * refer to), writes packs, then its image, then removes the marker. So of a pack that is listed here first and refers to nothing in both readings of
 * the images, no import can know: it would have shown its marker in between, or its image in the second reading.
 */
async function sweepPacks(objects: ObjectStore): Promise<Pick<Removed, 'packs' | 'deferred'>> {
  const packs = await objects.list(imagePrefix.packs);
  const used = new Set<string>();
  for (let reading = 0; reading < 2; reading += 1) {
    if (await importRuns(objects)) return {packs: 0, deferred: true};
    for (const key of await packsInUse(objects)) used.add(key);
  }
  const unused = packs.filter(({key}) => !used.has(key));
  for (const {key} of unused) await objects.delete(key);
  return {packs: unused.length, deferred: false};
}

/** @throws CodedError ERR_IMAGE_DAMAGED: what a damaged image refers to is not known, so nothing may go */
async function packsInUse(objects: ObjectStore): Promise<readonly string[]> {
  const used: string[] = [];
  for (const {key} of await objects.list(imagePrefix.manifests)) {
    try {
      used.push(...(await loadImage(objects, key.slice(imagePrefix.manifests.length))).layout.packs);
    } catch (error) {
      if (errorCode(error) !== 'ERR_NO_OBJECT') throw error;
    }
  }
  return used;
}

async function importRuns(objects: ObjectStore): Promise<boolean> {
  let runs = false;
  for (const {key} of await objects.list(imagePrefix.imports)) {
    const data = await objects.get(key).catch((error: unknown) => {
      if (errorCode(error) === 'ERR_NO_OBJECT') return undefined;
      throw error;
    });
    if (data === undefined) continue;
    const {at} = JSON.parse(data.toString()) as {readonly at: number};
    if (Date.now() - at < staleMarkerMs) runs = true;
    else await objects.delete(key);
  }
  return runs;
}
