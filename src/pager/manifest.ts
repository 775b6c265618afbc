/**
 * What a generation consists of. The manifest is written last and must be new, so a generation either has one, and is complete, or does not
 * exist. It carries a checksum of itself.
 */
import {createHash} from 'node:crypto';
import {errorMessage} from '../core/errors.ts';
import {type AppName, appName, type FencingToken, fencingToken, type Generation, generation as toGeneration} from '../core/ids.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {BundleFile, BundlePart} from './image-bundle.ts';

export const manifestFormat = 1;

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
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly bundle: {readonly key: string; readonly sizeBytes: number};
  readonly processes: readonly ManifestProcess[];
  readonly images: readonly BundleFile[];
  /** Every segment that a page table refers to. */
  readonly segments: readonly ManifestSegment[];
  /** What this generation added to the store, without the manifest. */
  readonly bytesWritten: number;
  /** The supervisor's own: file system layers, connections, listeners, timing. */
  readonly meta: unknown;
}

function checksumOf(json: string): string {
  return createHash('sha256').update(json).digest('hex');
}

export function renderManifest(manifest: Manifest): Buffer {
  const json = JSON.stringify(manifest);
  return Buffer.from(`{"format":${manifestFormat},"sha256":"${checksumOf(json)}","manifest":${json}}\n`);
}

/** @throws DamagedCheckpointError */
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
  if (parsed['format'] !== manifestFormat) throw damaged(`its format is ${JSON.stringify(parsed['format'])}`);
  // What we wrote parses to values that print the same again; anything else was not written by us.
  if (!isRecord(parsed['manifest']) || parsed['sha256'] !== checksumOf(JSON.stringify(parsed['manifest']))) throw damaged('its checksum is wrong');
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

function part(fields: Fields): BundlePart {
  return {position: number(fields, 'position'), length: number(fields, 'length'), checksum: number(fields, 'checksum')};
}

function manifestOf(value: unknown): Manifest {
  const fields = record(value, 'manifest');
  const bundle = record(fields['bundle'], 'bundle');
  return {
    app: appName(text(fields, 'app')),
    generation: toGeneration(number(fields, 'generation')),
    token: fencingToken(number(fields, 'token')),
    parent: fields['parent'] === null ? null : toGeneration(number(fields, 'parent')),
    createdAt: text(fields, 'createdAt'),
    bundle: {key: text(bundle, 'key'), sizeBytes: number(bundle, 'sizeBytes')},
    processes: list(fields, 'processes', (entry) => ({
      pid: number(entry, 'pid'),
      pagesId: number(entry, 'pagesId'),
      pageCount: number(entry, 'pageCount'),
      table: part(record(entry['table'], 'table')),
    })),
    images: list(fields, 'images', (entry) => ({name: text(entry, 'name'), ...part(entry)})),
    segments: list(fields, 'segments', (entry) => ({segment: number(entry, 'segment'), sizeBytes: number(entry, 'sizeBytes')})),
    bytesWritten: number(fields, 'bytesWritten'),
    meta: fields['meta'],
  };
}
