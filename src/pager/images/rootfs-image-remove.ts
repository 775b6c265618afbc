/** Lists images and removes them, and with the last image that needs it each pack. */
import {hostname} from 'node:os';
import {CodedError, errorCode} from '../../core/errors.ts';
import type {ListedObject, ObjectStore} from '../../store/object-store.ts';
import type {ImportMarker} from './rootfs-image-import.ts';
import {imageKeys, imagePrefix, isImageDigest, nameOfKey} from './rootfs-image-keys.ts';
import {getName, loadImage, type NamedImage} from './rootfs-image-object.ts';

/** An import writes its marker again every minute; one this old has been killed. */
const staleMarkerMs = 3_600_000;

export async function listImages(objects: ObjectStore): Promise<readonly NamedImage[]> {
  const names = (await objects.list(imagePrefix.names)).map(({key}) => nameOfKey(key)).filter((name) => name !== undefined);
  return Promise.all(names.map((name) => getName(objects, name)));
}

export interface SweepOptions {
  readonly objects: ObjectStore;
  /** Digests that checkpoints refer to. Read before and after the name has been removed. */
  readonly neededDigests: () => Promise<ReadonlySet<string>>;
  /** Nothing is removed, only counted. */
  readonly dryRun?: boolean;
}

export interface Removed {
  readonly images: number;
  readonly packs: number;
  /** Of those in the store. */
  readonly bytes: number;
  /** An import runs: packs stay until the next removal. */
  readonly deferred: boolean;
}

/** Removes a name, and everything that nothing refers to any more. @throws CodedError ERR_NO_IMAGE */
export async function removeImage(name: string, options: SweepOptions): Promise<Removed> {
  const {objects} = options;
  await expectImage(objects, name, 'remove');
  // When it cannot be known what is needed, nothing has happened yet.
  await options.neededDigests();
  await objects.delete(imageKeys.name(name));
  return sweepImages(options);
}

/** @throws CodedError ERR_NO_IMAGE */
export async function expectImage(objects: ObjectStore, name: string, verb: string): Promise<NamedImage> {
  try {
    return await getName(objects, name);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_NO_OBJECT') throw cause;
    throw new CodedError('ERR_NO_IMAGE', `Cannot ${verb} image "${name}": there is none of this name`, {source: 'client'});
  }
}

const deferred: Removed = {images: 0, packs: 0, bytes: 0, deferred: true};

/** Removes images without a name, a mount or a checkpoint, then packs without an image, also those of imports that were killed. */
export async function sweepImages({objects, neededDigests, dryRun = false}: SweepOptions): Promise<Removed> {
  // An import may be about to give an image of the same content a name.
  if (await importRuns(objects)) return deferred;
  const needed = new Set(await neededDigests());
  for (const {key} of await objects.list(imagePrefix.uses)) needed.add(key.slice(imagePrefix.uses.length).split('/')[0] ?? '');
  const found = await objects.list(imagePrefix.manifests);
  for (const {digest} of await listImages(objects)) needed.add(digest);
  if (await importRuns(objects)) return deferred;
  const unneeded = found.filter(({key}) => isImageDigest(digestOf(key)) && !needed.has(digestOf(key)));
  if (!dryRun) for (const {key} of unneeded) await objects.delete(key);
  const packs = await unusedPacks(objects, new Set(unneeded.map(({key}) => key)));
  if (packs === undefined) return {...deferred, images: unneeded.length, bytes: sizeOf(unneeded)};
  if (!dryRun) for (const {key} of packs) await objects.delete(key);
  return {images: unneeded.length, packs: packs.length, bytes: sizeOf(unneeded) + sizeOf(packs), deferred: false};
}

function digestOf(key: string): string {
  return key.slice(imagePrefix.manifests.length);
}

function sizeOf(objects: readonly ListedObject[]): number {
  return objects.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0);
}

/**
 * The order makes it safe against imports and other removals, without a lock. An import writes its marker, reads the images (whose packs it may
 * refer to), writes packs, then its image, then removes the marker. So of a pack that is listed here first and refers to nothing in both readings of
 * the images, no import can know: it would have shown its marker in between, or its image in the second reading.
 * @param without images that do not count any more
 * @returns undefined when an import runs
 */
async function unusedPacks(objects: ObjectStore, without: ReadonlySet<string>): Promise<readonly ListedObject[] | undefined> {
  const packs = await objects.list(imagePrefix.packs);
  const used = new Set<string>();
  for (let reading = 0; reading < 2; reading += 1) {
    if (await importRuns(objects)) return undefined;
    for (const key of await packsInUse(objects, without)) used.add(key);
  }
  return packs.filter(({key}) => !used.has(key));
}

/** @throws CodedError ERR_IMAGE_DAMAGED: what a damaged image refers to is not known, so nothing may go */
async function packsInUse(objects: ObjectStore, without: ReadonlySet<string>): Promise<readonly string[]> {
  const used: string[] = [];
  for (const {key} of await objects.list(imagePrefix.manifests)) {
    if (without.has(key)) continue;
    try {
      used.push(...(await loadImage(objects, digestOf(key))).layout.packs);
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
    const marker = JSON.parse(data.toString()) as ImportMarker;
    if (Date.now() - marker.at < staleMarkerMs && !hasEnded(marker)) runs = true;
    else await objects.delete(key);
  }
  return runs;
}

/** Of an import on another host it is not known until its marker is old. */
function hasEnded({host, pid}: ImportMarker): boolean {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errorCode(error) === 'ESRCH';
  }
}
