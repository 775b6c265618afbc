/**
 * What a generation consists of. The manifest is written last and must be new, so a generation either has one, and is complete, or does not
 * exist. It carries a checksum of itself.
 */
import {createHash} from 'node:crypto';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {type AppName, appName, type FencingToken, fencingToken, type Generation, generation as toGeneration} from '../../core/ids.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {BundleFile, BundleFrame, BundlePart} from './image-bundle.ts';
import {type ObjectCipher, sealSaltBytes} from './sealing.ts';

const manifestFormat = 2;

export interface ManifestProcess {
  /** Inside the app's pid namespace. */
  readonly pid: number;
  /** CRIU's number of its pages image. */
  readonly pagesId: number;
  readonly pageCount: number;
  /** Its page table, in the bundle. */
  readonly table: BundlePart;
}

export interface ManifestSegment {
  readonly segment: number;
  readonly sizeBytes: number;
}

export interface Manifest {
  readonly app: AppName;
  readonly generation: Generation;
  readonly token: FencingToken;
  /** The generation that the instance was woken from; null after a cold start. */
  readonly parent: Generation | null;
  /** The generation that this one is a copy of, with the same pages in other segments; null for one that was made from a dump. */
  readonly copyOf: Generation | null;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly bundle: {readonly key: string; readonly sizeBytes: number; readonly frames: readonly BundleFrame[]};
  /** How the bundle and `meta` are sealed, each with a key of its own that is made from this salt; null when nothing is. Both in hexadecimal digits. */
  readonly sealed: {readonly keyId: string; readonly salt: string} | null;
  readonly processes: readonly ManifestProcess[];
  readonly images: readonly BundleFile[];
  /** Every segment that a page table refers to. */
  readonly segments: readonly ManifestSegment[];
  /** The layers of its files, the oldest first. They are objects in a remote store only: a directory store is beside the layers themselves. */
  readonly layers: readonly string[];
  /** Digest of the image that is the root of the app; null when it has none. Never sealed: whoever removes images has no key. */
  readonly rootImage: string | null;
  /** What this generation added to the store, without the manifest. */
  readonly bytesWritten: number;
  /** The supervisor's own: file system layers, connections, listeners, timing. As `sealMeta()` made it. */
  readonly meta: unknown;
}

/** The digest that the supervisor has put into what it wants kept. */
export function rootImageIn(meta: unknown): string | null {
  return isRecord(meta) && typeof meta['image'] === 'string' ? meta['image'] : null;
}

/** @param cipher of the manifest's key; undefined when the app has none */
export function sealMeta(meta: unknown, cipher: ObjectCipher | undefined): unknown {
  return cipher === undefined ? meta : cipher.encrypt(0, Buffer.from(JSON.stringify(meta ?? null))).toString('base64');
}

/** Undoes `sealMeta()`. @throws DamagedCheckpointError */
export function openMeta({generation, meta}: Manifest, object: string, cipher: ObjectCipher | undefined): unknown {
  if (cipher === undefined) return meta;
  const opened = typeof meta === 'string' ? cipher.decrypt(0, Buffer.from(meta, 'base64')) : undefined;
  if (opened === undefined) throw new DamagedCheckpointError({object, generation, offset: 0, found: 'the seal of "meta" is broken'});
  return JSON.parse(opened.toString('utf8'));
}

/** The format is part of it, so that a damaged number is not taken for another version's. */
function checksumOf(format: unknown, json: string): string {
  return createHash('sha256')
    .update(format === 1 ? json : `${JSON.stringify(format)} ${json}`)
    .digest('hex');
}

export function renderManifest(manifest: Manifest): Buffer {
  const json = JSON.stringify(manifest);
  return Buffer.from(`{"format":${manifestFormat},"sha256":"${checksumOf(manifestFormat, json)}","manifest":${json}}\n`);
}

/** @throws DamagedCheckpointError; CodedError ERR_UNKNOWN_FORMAT when another version of ours wrote it */
export function parseManifest(data: Buffer, from: {object: string; app: AppName; generation: number}): Manifest {
  const damaged = (found: string, cause?: unknown): DamagedCheckpointError =>
    new DamagedCheckpointError({object: from.object, generation: from.generation, offset: 0, found, cause});
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.toString('utf8'));
  } catch (cause) {
    throw damaged('it is not JSON', cause);
  }
  if (!isRecord(parsed)) throw damaged('it is not an object');
  // What we wrote parses to values that print the same again; anything else was not written by us.
  const {format} = parsed;
  if (!isRecord(parsed['manifest']) || parsed['sha256'] !== checksumOf(format, JSON.stringify(parsed['manifest']))) throw damaged('its checksum is wrong');
  if (format !== manifestFormat) {
    const found = `it has format ${JSON.stringify(format)}, this version of Picogate reads ${manifestFormat}`;
    throw new CodedError('ERR_UNKNOWN_FORMAT', `Cannot read object "${from.object}": ${found}`, {source: 'host'});
  }
  let manifest: Manifest;
  try {
    manifest = manifestOf(parsed['manifest']);
  } catch (cause) {
    throw damaged(errorMessage(cause), cause);
  }
  if (manifest.app !== from.app || manifest.generation !== from.generation) {
    throw damaged(`it is that of generation ${manifest.generation} of app "${manifest.app}"`);
  }
  return manifest;
}

type Fields = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown, name: string): Fields {
  if (isRecord(value)) return value;
  throw new TypeError(`"${name}" is not an object`);
}

function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new TypeError(`"${name}" is not a number`);
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  throw new TypeError(`"${name}" is not text`);
}

function list<T>(fields: Fields, name: string, parse: (entry: Fields) => T): readonly T[] {
  const value: unknown = fields[name];
  if (Array.isArray(value)) return value.map((entry: unknown) => parse(record(entry, name)));
  throw new TypeError(`"${name}" is not a list`);
}

function texts(fields: Fields, name: string): readonly string[] {
  const value: unknown = fields[name];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  throw new TypeError(`"${name}" is not a list of texts`);
}

function part(fields: Fields): BundlePart {
  return {position: number(fields, 'position'), length: number(fields, 'length')};
}

function frame(fields: Fields): BundleFrame {
  return {
    position: number(fields, 'position'),
    storedBytes: number(fields, 'storedBytes'),
    plainBytes: number(fields, 'plainBytes'),
    codec: number(fields, 'codec'),
    checksum: number(fields, 'checksum'),
  };
}

function sealing(value: unknown): Manifest['sealed'] {
  if (value === null) return null;
  const fields = record(value, 'sealed');
  const salt = text(fields, 'salt');
  if (!/^[0-9a-f]+$/.test(salt) || salt.length !== 2 * sealSaltBytes) throw new TypeError('"salt" is not one');
  return {keyId: text(fields, 'keyId'), salt};
}

function manifestOf(value: unknown): Manifest {
  const fields = record(value, 'manifest');
  const bundle = record(fields['bundle'], 'bundle');
  return {
    app: appName(text(fields, 'app')),
    generation: toGeneration(number(fields, 'generation')),
    token: fencingToken(number(fields, 'token')),
    parent: fields['parent'] === null ? null : toGeneration(number(fields, 'parent')),
    copyOf: fields['copyOf'] === null ? null : toGeneration(number(fields, 'copyOf')),
    createdAt: text(fields, 'createdAt'),
    bundle: {key: text(bundle, 'key'), sizeBytes: number(bundle, 'sizeBytes'), frames: list(bundle, 'frames', frame)},
    sealed: sealing(fields['sealed']),
    processes: list(fields, 'processes', (entry) => ({
      pid: number(entry, 'pid'),
      pagesId: number(entry, 'pagesId'),
      pageCount: number(entry, 'pageCount'),
      table: part(record(entry['table'], 'table')),
    })),
    images: list(fields, 'images', (entry) => ({name: text(entry, 'name'), ...part(entry)})),
    segments: list(fields, 'segments', (entry) => ({segment: number(entry, 'segment'), sizeBytes: number(entry, 'sizeBytes')})),
    layers: texts(fields, 'layers'),
    rootImage: fields['rootImage'] === null ? null : text(fields, 'rootImage'),
    bytesWritten: number(fields, 'bytesWritten'),
    meta: fields['meta'],
  };
}
