/**
 * An image as one object: its tree, whose SHA-256 is the image's digest and part of the key, and the layout, which says where the chunks lie.
 * The layout is no part of the digest: the same files make the same image, however their chunks have been packed.
 *
 *     "PGIMAGE1" | u32 stored bytes of the tree | u32 of the layout | SHA-256 of the layout | tree, zstd | layout, zstd
 */
import {createHash} from 'node:crypto';
import {promisify} from 'node:util';
import {zstdCompress, zstdDecompress} from 'node:zlib';
import {assert, CodedError, errorMessage} from '../../core/errors.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import type {ImageConfig} from './archives/image-config.ts';
import type {SourceKind} from './archives/image-source.ts';
import {imageKeys} from './rootfs-image-keys.ts';
import {chunkBytes, decodeTree, encodeTree, type ImageTree, sha256} from './rootfs-image-tree.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

const magic = 'PGIMAGE1';
const headerBytes = 48;

export interface ChunkPlace {
  /** Index into `packs`. */
  readonly pack: number;
  readonly position: number;
  readonly storedBytes: number;
  readonly codec: 'raw' | 'zstd';
}

/** `places` are parallel to the chunks of the tree. */
export interface ImageLayout {
  /** Keys of objects. */
  readonly packs: readonly string[];
  readonly places: readonly ChunkPlace[];
}

export interface Image {
  readonly digest: string;
  readonly tree: ImageTree;
  /** The tree as it was encoded. */
  readonly treeData: Buffer;
  readonly layout: ImageLayout;
}

export function damagedImage(key: string, position: number, what: string): CodedError<'ERR_IMAGE_DAMAGED'> {
  return new CodedError('ERR_IMAGE_DAMAGED', `Cannot use object "${key}": at byte ${position} ${what}`, {source: 'host'});
}

/**
 * The content of a chunk of the image, checked.
 * @param stored its bytes, as `layout` says where they lie
 * @throws CodedError ERR_IMAGE_DAMAGED naming the pack and the offset
 */
export async function decodeChunk({tree, layout}: Image, chunk: number, stored: Buffer): Promise<Buffer> {
  const place = layout.places[chunk];
  assert(place !== undefined, `Chunk ${chunk} of an image has no place`);
  const key = layout.packs[place.pack] ?? '';
  let data = stored;
  try {
    if (place.codec === 'zstd') data = await decompress(stored, {maxOutputLength: chunkBytes});
  } catch (error) {
    throw damagedImage(key, place.position, `a chunk cannot be decompressed (${errorMessage(error)})`);
  }
  if (sha256(data) !== tree.chunks[chunk]?.digest) throw damagedImage(key, place.position, 'a chunk has another digest');
  return data;
}

interface LayoutText {
  readonly packs: readonly string[];
  readonly places: readonly (readonly [number, number, number, 0 | 1])[];
}

function encodeLayout({packs, places}: ImageLayout): Buffer {
  const text: LayoutText = {packs, places: places.map(({pack, position, storedBytes, codec}) => [pack, position, storedBytes, codec === 'zstd' ? 1 : 0])};
  return Buffer.from(JSON.stringify(text));
}

function decodeLayout(data: Buffer): ImageLayout {
  const text = JSON.parse(data.toString()) as LayoutText;
  return {
    packs: text.packs,
    places: text.places.map(([pack, position, storedBytes, codec]) => ({pack, position, storedBytes, codec: codec === 1 ? 'zstd' : 'raw'})),
  };
}

/** @returns the digest, and the object's content */
export async function encodeImage(tree: ImageTree, layout: ImageLayout): Promise<{readonly digest: string; readonly data: Buffer}> {
  const treeData = encodeTree(tree);
  const layoutData = encodeLayout(layout);
  const [storedTree, storedLayout] = await Promise.all([compress(treeData), compress(layoutData)]);
  const header = Buffer.alloc(headerBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt32LE(storedTree.length, 8);
  header.writeUInt32LE(storedLayout.length, 12);
  createHash('sha256').update(layoutData).digest().copy(header, 16);
  return {digest: sha256(treeData), data: Buffer.concat([header, storedTree, storedLayout])};
}

/** @throws CodedError ERR_IMAGE_DAMAGED naming the object and the offset; ObjectStoreError ERR_NO_OBJECT */
export async function loadImage(objects: ObjectStore, digest: string): Promise<Image> {
  return parseImage(digest, await objects.get(imageKeys.image(digest)));
}

/** @throws CodedError ERR_IMAGE_DAMAGED naming the object and the offset */
export async function parseImage(digest: string, data: Buffer): Promise<Image> {
  const key = imageKeys.image(digest);
  if (data.length < headerBytes || data.toString('latin1', 0, 8) !== magic) throw damagedImage(key, 0, 'it has no header');
  const layoutAt = headerBytes + data.readUInt32LE(8);
  const end = layoutAt + data.readUInt32LE(12);
  if (end !== data.length) throw damagedImage(key, 8, `a length of ${end} bytes is given, there are ${data.length}`);
  const [treeData, layoutData] = await Promise.all([
    expand(key, headerBytes, data.subarray(headerBytes, layoutAt)),
    expand(key, layoutAt, data.subarray(layoutAt, end)),
  ]);
  if (sha256(treeData) !== digest) throw damagedImage(key, headerBytes, 'the tree has another digest');
  if (sha256(layoutData) !== data.toString('hex', 16, headerBytes)) throw damagedImage(key, layoutAt, 'the layout has another digest');
  return {digest, treeData, tree: decodeTree(treeData), layout: decodeLayout(layoutData)};
}

async function expand(key: string, position: number, data: Buffer): Promise<Buffer> {
  try {
    return await decompress(data);
  } catch (error) {
    throw damagedImage(key, position, `nothing can be decompressed (${errorMessage(error)})`);
  }
}

/** What a name means now. */
export interface NamedImage {
  readonly name: string;
  readonly digest: string;
  readonly importedAt: string;
  readonly fileCount: number;
  readonly contentBytes: number;
  /** How it is run, for what an app does not say itself; absent: nothing is known. It is no part of the digest. */
  readonly config?: ImageConfig;
  /** Absent in what older versions wrote. */
  readonly origin?: ImageOrigin;
}

/** Where an image comes from. */
export interface ImageOrigin {
  readonly kind: SourceKind;
  /** `linux/amd64`; null: not known. */
  readonly platform: string | null;
  readonly tag: string | null;
}

export async function putName(objects: ObjectStore, named: NamedImage): Promise<void> {
  await objects.put(imageKeys.name(named.name), Buffer.from(JSON.stringify(named)));
}

/** @throws ObjectStoreError ERR_NO_OBJECT; CodedError ERR_IMAGE_DAMAGED */
export async function getName(objects: ObjectStore, name: string): Promise<NamedImage> {
  const key = imageKeys.name(name);
  const data = await objects.get(key);
  try {
    const value: unknown = JSON.parse(data.toString());
    if (typeof value === 'object' && value !== null && 'digest' in value && typeof value.digest === 'string') return value as NamedImage;
  } catch {
    // What cannot be parsed is reported like what has no digest.
  }
  throw damagedImage(key, 0, 'there is no name of an image');
}
