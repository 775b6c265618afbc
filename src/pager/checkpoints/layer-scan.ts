/** Reads a frozen layer of files, in a bounded part of memory, as the records of layer-records.ts. */
import {type BigIntStats, constants} from 'node:fs';
import {type FileHandle, lstat, open, readdir, readlink} from 'node:fs/promises';
import {attributeNames, getAttribute, nextData} from '../../core/file-metadata.ts';
import {type LayerRecord, type Metadata, renderChunkHead, renderRecord} from './layer-records.ts';

const contentBytes = 256 * 1024;
const permissionBits = 0o7777n;
/** Names the file below of which this one is a copy, by numbers that mean another one, or none, on another host. Overlayfs does without it. */
const hostAttributes: ReadonlySet<string> = new Set(['trusted.overlay.origin', 'trusted.overlay.nlink']);

/** Files with more than one name, by inode. */
type Links = Map<string, number>;

/** @param upper the layer; nobody may write to it. What is yielded is good until the next piece is asked for */
export async function* scanLayer(upper: string, signal?: AbortSignal): AsyncGenerator<Buffer, undefined> {
  const root = Buffer.from(upper);
  yield renderRecord({kind: 'directory', name: '', ...metadataOf(root, await lstat(root, {bigint: true}))});
  yield* scanDirectory(root, new Map(), signal);
  return undefined;
}

async function* scanDirectory(directory: Buffer, links: Links, signal: AbortSignal | undefined): AsyncGenerator<Buffer, undefined> {
  for (const name of await readdir(directory, {encoding: 'buffer'})) {
    signal?.throwIfAborted();
    const path = Buffer.concat([directory, Buffer.from('/'), name]);
    const status = await lstat(path, {bigint: true});
    if (status.isDirectory()) {
      yield renderRecord({kind: 'directory', name: name.toString('latin1'), ...metadataOf(path, status)});
      yield* scanDirectory(path, links, signal);
    } else yield* scanOther(path, name.toString('latin1'), {status, links});
  }
  yield renderRecord({kind: 'up'});
  return undefined;
}

async function* scanOther(path: Buffer, name: string, {status, links}: {status: BigIntStats; links: Links}): AsyncGenerator<Buffer, undefined> {
  const inode = String(status.ino);
  const known = links.get(inode);
  if (known !== undefined) {
    yield renderRecord({kind: 'link', name, to: known});
    return undefined;
  }
  // Layers are merged by linking, so other names need not be in this one. Whiteouts are links of each other, and made anew.
  const id = status.nlink > 1n && !isWhiteout(status) ? links.size + 1 : 0;
  if (id > 0) links.set(inode, id);
  const named = {name, id, ...metadataOf(path, status)};
  if (status.isSymbolicLink()) yield renderRecord({kind: 'symlink', ...named, target: (await readlink(path, {encoding: 'buffer'})).toString('latin1')});
  else if (!status.isFile()) yield renderRecord(nodeOf(named, status));
  else {
    yield renderRecord({kind: 'file', ...named, sizeBytes: Number(status.size)});
    yield* content(path, Number(status.size));
  }
  return undefined;
}

function isWhiteout(status: BigIntStats): boolean {
  return status.isCharacterDevice() && status.rdev === 0n;
}

function nodeOf(named: Metadata & {readonly name: string; readonly id: number}, {mode, rdev}: BigIntStats): LayerRecord {
  // As the C library takes a device number apart.
  const major = Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn));
  const minor = Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n));
  return {kind: 'node', ...named, type: Number(mode) & constants.S_IFMT, major, minor};
}

function metadataOf(path: Buffer, status: BigIntStats): Metadata {
  const attributes: [string, string][] = [];
  for (const name of attributeNames(path)) {
    const value = hostAttributes.has(name) ? undefined : getAttribute(path, name);
    if (value !== undefined) attributes.push([name, value.toString('latin1')]);
  }
  return {
    mode: Number(status.mode & permissionBits),
    uid: Number(status.uid),
    gid: Number(status.gid),
    accessed: String(status.atimeNs),
    modified: String(status.mtimeNs),
    attributes,
  };
}

async function* content(path: Buffer, sizeBytes: number): AsyncGenerator<Buffer, undefined> {
  if (sizeBytes > 0) {
    // Not even the time of access is to change.
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOATIME);
    const buffer = Buffer.allocUnsafeSlow(contentBytes);
    for (let part = nextData(file.fd, 0); part !== undefined; part = nextData(file.fd, part.end)) {
      for (let position = part.start; position < part.end; ) {
        const length = await fill(file, buffer, {position, length: Math.min(contentBytes, part.end - position)});
        yield renderChunkHead(position, length);
        yield buffer.subarray(0, length);
        position += length;
      }
    }
  }
  yield renderChunkHead(0, 0);
  return undefined;
}

async function fill(file: FileHandle, buffer: Buffer, {position, length}: {position: number; length: number}): Promise<number> {
  const {bytesRead} = await file.read(buffer, 0, length, position);
  if (bytesRead === 0) throw new RangeError(`a frozen file ends at byte ${position}, where there was more`);
  return bytesRead;
}
