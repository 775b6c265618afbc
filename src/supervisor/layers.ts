/**
 * Layers of an app's file system: `<layersDir>/<layer>/upper` is what one generation wrote over the layers below it.
 * Two adjacent frozen layers are merged into a new one that means the same, so that chains stay short. Files are hard
 * linked, not copied: their inodes, and with them what the kernel knows of them, stay.
 *
 * How overlayfs marks things in a layer: a whiteout (character device 0/0) hides the name in all layers below; a
 * directory with the attribute `trusted.overlay.opaque` = `y` hides the directory below instead of being merged with it.
 * Layers are mounted with redirect_dir=off and metacopy=off, so these two marks are all there is.
 */
import type {BigIntStats} from 'node:fs';
import {chmod, chown, link, lstat, mkdir, open, readdir, rename, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode} from '../core/errors.ts';
import {attributeNames, getAttribute, setAttribute, setTimes, syncFileSystem} from '../core/file-metadata.ts';
import {mknod} from '../core/libc.ts';

export interface MergeOptions {
  readonly layersDir: string;
  /** The lower of two adjacent layers. Neither may be written to; both stay as they are. */
  readonly older: string;
  readonly newer: string;
  /** The layer to make; it must not exist. */
  readonly merged: string;
  readonly signal?: AbortSignal;
}

// No layer starts with a dot, so unfinished work is never taken for one.
const unfinishedPrefix = '.unfinished-';

/**
 * Makes a layer that, put in place of two adjacent ones, shows the same. It appears whole and on disk, or not at all.
 * @throws CodedError ERR_LAYER, also when `merged` exists or a layer has marks that Picogate never makes
 */
export async function mergeLayers(options: MergeOptions): Promise<void> {
  const {layersDir, merged} = options;
  const unfinished = join(layersDir, `${unfinishedPrefix}${merged}`);
  if (await exists(join(layersDir, merged))) throw new CodedError('ERR_LAYER', `Cannot create layer "${merged}": it exists`, {source: 'bug'});
  await rm(unfinished, {recursive: true, force: true});
  try {
    await mkdir(join(unfinished, 'work'), {recursive: true, mode: 0o700});
    await mergeDirectory(
      {
        top: Buffer.from(join(layersDir, options.newer, 'upper')),
        below: Buffer.from(join(layersDir, options.older, 'upper')),
        target: Buffer.from(join(unfinished, 'upper')),
        hidesBelow: false,
        opaque: false,
      },
      options.signal,
    );
    await using directory = await open(layersDir);
    await syncFileSystem(directory.fd);
    options.signal?.throwIfAborted();
    await rename(unfinished, join(layersDir, merged));
    await directory.sync();
  } catch (error) {
    await rm(unfinished, {recursive: true, force: true});
    options.signal?.throwIfAborted();
    throw new CodedError('ERR_LAYER', `Cannot merge layers "${options.older}" and "${options.newer}"`, {source: 'host', retryable: true, cause: error});
  }
}

/** The number of names in a layer: what merging it costs. */
export function layerSize(upper: string, signal?: AbortSignal): Promise<number> {
  return countNames(Buffer.from(upper), signal);
}

async function countNames(directory: Buffer, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted();
  const found = await readdir(directory, {encoding: 'buffer', withFileTypes: true});
  let count = found.length;
  for (const {name} of found.filter((one) => one.isDirectory())) count += await countNames(child(directory, name), signal);
  return count;
}

const layersMax = 16;
const olderPerNewerMax = 2;

/**
 * Which adjacent layers to merge next, so that at most 16 remain; undefined when they do. Merges layers of like size,
 * the smallest first, so that a name is linked again only a logarithmic number of times over the life of an app.
 * @param sizes of the layers, the oldest first
 * @returns the indices of the two
 */
export function planMerge(sizes: readonly number[]): {readonly older: number; readonly newer: number} | undefined {
  if (sizes.length <= layersMax) return undefined;
  let best = {older: 0, alike: false, cost: Number.POSITIVE_INFINITY};
  for (const [newer, newerSize] of sizes.entries()) {
    const olderSize = sizes[newer - 1];
    if (olderSize === undefined) continue;
    const alike = olderSize <= olderPerNewerMax * newerSize;
    const cost = olderSize + newerSize;
    if (alike === best.alike ? cost <= best.cost : alike) best = {older: newer - 1, alike, cost};
  }
  return {older: best.older, newer: best.older + 1};
}

/** Deletes a layer that no generation needs. A crash in between leaves nothing that looks like a layer. Harmless when there is none. */
export async function removeLayer(layersDir: string, layer: string): Promise<void> {
  const unfinished = join(layersDir, `${unfinishedPrefix}removed-${layer}`);
  await rm(unfinished, {recursive: true, force: true});
  try {
    await rename(join(layersDir, layer), unfinished);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await rm(unfinished, {recursive: true, force: true});
}

/** Deletes what merging and removing left when the process was killed. Nothing of the kind may be running. */
export async function removeUnfinishedLayers(layersDir: string): Promise<void> {
  for (const name of await readdir(layersDir)) {
    if (name.startsWith(unfinishedPrefix)) await rm(join(layersDir, name), {recursive: true, force: true});
  }
}

interface Merge {
  /** The directory that gives the metadata, and wins where names collide. */
  readonly top: Buffer;
  /** The directory under it that shows through. */
  readonly below: Buffer | undefined;
  readonly target: Buffer;
  /** In the merged layer no deeper layer shows through here. Whiteouts are then needless, and overlayfs would even list them. */
  readonly hidesBelow: boolean;
  /** To be marked so: it is opaque itself, or what the lower layer has there would have ended the search. */
  readonly opaque: boolean;
}

async function mergeDirectory(merge: Merge, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await mkdir(merge.target, {mode: 0o700});
  const topNames = await names(merge.top);
  const belowNames = merge.below === undefined ? new Map<string, Buffer>() : await names(merge.below);
  for (const [key, name] of new Map([...belowNames, ...topNames])) {
    signal?.throwIfAborted();
    const upper = topNames.has(key) ? await entry(merge.top, name) : undefined;
    const lower = merge.below !== undefined && belowNames.has(key) ? await entry(merge.below, name) : undefined;
    await mergeEntry({upper, lower, target: child(merge.target, name), hidesBelow: merge.hidesBelow}, signal);
  }
  await copyMetadata(merge);
}

interface Entry {
  readonly path: Buffer;
  readonly status: BigIntStats;
}

async function mergeEntry(
  entries: {readonly upper: Entry | undefined; readonly lower: Entry | undefined; readonly target: Buffer; readonly hidesBelow: boolean},
  signal: AbortSignal | undefined,
): Promise<void> {
  const {target, hidesBelow} = entries;
  const found = entries.upper ?? entries.lower;
  if (found === undefined) return;
  if (isWhiteout(found)) {
    // Made anew: overlayfs links its whiteouts up to the file system's limit of links.
    if (!hidesBelow) mknod(target, whiteoutMode, 0, 0);
    return;
  }
  if (!found.status.isDirectory()) {
    await link(found.path, target);
    return;
  }
  const lower = entries.upper === undefined ? undefined : entries.lower;
  const isOpaque = hasOpaqueMark(found.path);
  const shownBelow = !isOpaque && lower?.status.isDirectory() === true ? lower.path : undefined;
  const lowerEndsSearch = lower !== undefined && (!lower.status.isDirectory() || hasOpaqueMark(lower.path));
  const opaque = isOpaque || lowerEndsSearch;
  await mergeDirectory({top: found.path, below: shownBelow, target, hidesBelow: hidesBelow || opaque, opaque}, signal);
}

const whiteoutMode = 0o020000;
const opaqueAttribute = 'trusted.overlay.opaque';
/** Marks of features that our mounts switch off. A layer with them means something else when it is merged. */
const unknownMarks = ['trusted.overlay.redirect', 'trusted.overlay.metacopy'];

function isWhiteout({status}: Entry): boolean {
  return status.isCharacterDevice() && status.rdev === 0n;
}

function hasOpaqueMark(directory: Buffer): boolean {
  return getAttribute(directory, opaqueAttribute)?.toString() === 'y';
}

/** Last, since filling a directory changes its times, and a default ACL would be inherited by what is made in it. */
async function copyMetadata({top, target, opaque}: Merge): Promise<void> {
  const status = await lstat(top, {bigint: true});
  await chown(target, Number(status.uid), Number(status.gid));
  await chmod(target, Number(status.mode & 0o7777n));
  for (const name of attributeNames(top)) {
    if (unknownMarks.includes(name)) throw new CodedError('ERR_LAYER', `Cannot merge "${top.toString()}": it has the mark ${name}`, {source: 'host'});
    const value = getAttribute(top, name);
    if (value !== undefined) setAttribute(target, name, value);
  }
  if (opaque) setAttribute(target, opaqueAttribute, Buffer.from('y'));
  setTimes(target, {accessedNs: status.atimeNs, modifiedNs: status.mtimeNs});
}

/** By a key that is equal for equal bytes. */
async function names(directory: Buffer): Promise<Map<string, Buffer>> {
  const found = await readdir(directory, {encoding: 'buffer'});
  return new Map(found.map((name) => [name.toString('latin1'), name]));
}

async function entry(directory: Buffer, name: Buffer): Promise<Entry> {
  const path = child(directory, name);
  return {path, status: await lstat(path, {bigint: true})};
}

function child(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from('/'), name]);
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
