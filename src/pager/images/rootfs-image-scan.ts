/** Reads a directory into the tree of an image. One file's content is read at a time, so memory grows with the number of files only. */
import {type BigIntStats, constants} from 'node:fs';
import {lstat, open, readdir, readlink} from 'node:fs/promises';
import {CodedError, errorCode} from '../../core/errors.ts';
import {attributeNames, getAttribute} from '../../core/file-metadata.ts';
import {chunkBytes, type ImageNode, type NodeContent, type NodeMetadata} from './rootfs-image-tree.ts';

export interface ScanProgress {
  readonly files: number;
  readonly bytes: number;
}

export interface ScanOptions {
  /** Takes a piece of a file; the buffer is reused afterwards. @returns its index */
  readonly addChunk: (data: Uint8Array) => Promise<number>;
  readonly onProgress: (progress: ScanProgress) => void;
  readonly signal: AbortSignal;
}

interface Scan extends ScanOptions {
  readonly nodes: (ImageNode | undefined)[];
  /** Node of a file that has other names, by device and inode. */
  readonly linked: Map<string, number>;
  readonly buffer: Buffer;
  bytes: number;
}

/** @returns all nodes, the root first. @throws CodedError ERR_IMAGE_SOURCE */
export async function scanDirectory(root: string, options: ScanOptions): Promise<readonly ImageNode[]> {
  const path = Buffer.from(root);
  const status = await lstat(path, {bigint: true}).catch((cause: unknown) => {
    throw sourceError(path, errorCode(cause) ?? 'it cannot be read', cause);
  });
  if (!status.isDirectory()) throw sourceError(path, 'it is no directory');
  const scan: Scan = {...options, nodes: [], linked: new Map(), buffer: Buffer.allocUnsafeSlow(chunkBytes), bytes: 0};
  await scanNode(scan, path, status);
  return scan.nodes.filter((node) => node !== undefined);
}

/** Of all files below a directory together, for how far an import is; what disappears meanwhile does not count. */
export async function contentBytesOf(root: string, signal: AbortSignal): Promise<number> {
  const seen = new Set<string>();
  let sum = 0;
  for (const left = [Buffer.from(root)]; ; ) {
    const directory = left.pop();
    if (directory === undefined) return sum;
    signal.throwIfAborted();
    for (const entry of await readdir(directory, {withFileTypes: true, encoding: 'buffer'}).catch(() => [])) {
      const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) left.push(path);
      const status = entry.isFile() ? await lstat(path, {bigint: true}).catch(() => undefined) : undefined;
      if (status === undefined || (status.nlink > 1n && seen.has(`${status.dev}:${status.ino}`))) continue;
      if (status.nlink > 1n) seen.add(`${status.dev}:${status.ino}`);
      sum += Number(status.size);
    }
  }
}

function sourceError(path: Buffer, found: string, cause?: unknown): CodedError {
  return new CodedError('ERR_IMAGE_SOURCE', `"${path.toString()}": ${found}`, {source: 'client', cause});
}

/** @returns the number of the node */
async function scanNode(scan: Scan, path: Buffer, status: BigIntStats): Promise<number> {
  scan.signal.throwIfAborted();
  const identity = status.nlink > 1n && !status.isDirectory() ? `${status.dev}:${status.ino}` : undefined;
  const known = identity === undefined ? undefined : scan.linked.get(identity);
  if (known !== undefined) return known;
  // Numbers are given in the order of names, from the top down: the same files always make the same tree.
  const number = scan.nodes.push(undefined) - 1;
  if (identity !== undefined) scan.linked.set(identity, number);
  const metadata: NodeMetadata = {
    mode: Number(status.mode) & 0o7777,
    uid: Number(status.uid),
    gid: Number(status.gid),
    modifiedNs: status.mtimeNs,
    attributes: attributesOf(path),
  };
  scan.nodes[number] = {...metadata, ...(await contentOf(scan, path, status))};
  if (number % 100 === 0) scan.onProgress({files: scan.nodes.length, bytes: scan.bytes});
  return number;
}

function attributesOf(path: Buffer): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const name of attributeNames(path)) {
    const value = getAttribute(path, name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

async function contentOf(scan: Scan, path: Buffer, status: BigIntStats): Promise<NodeContent> {
  if (status.isDirectory()) return {kind: 'directory', children: await scanChildren(scan, path)};
  if (status.isFile()) return readContent(scan, path, Number(status.size));
  if (status.isSymbolicLink()) return {kind: 'symlink', target: (await readlink(path, {encoding: 'buffer'})).toString('latin1')};
  if (status.isFIFO()) return {kind: 'fifo'};
  if (status.isSocket()) return {kind: 'socket'};
  const device = deviceNumbers(status.rdev);
  return {kind: status.isBlockDevice() ? 'block' : 'character', device};
}

/** glibc's gnu_dev_major(3) and gnu_dev_minor(3). */
function deviceNumbers(device: bigint): {major: number; minor: number} {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

async function scanChildren(scan: Scan, path: Buffer): Promise<ReadonlyMap<string, number>> {
  const names = (await readdir(path, {encoding: 'buffer'})).map((name) => name.toString('latin1')).sort((a, b) => (a < b ? -1 : 1));
  const children = new Map<string, number>();
  for (const name of names) {
    const child = Buffer.concat([path, Buffer.from('/'), Buffer.from(name, 'latin1')]);
    children.set(name, await scanNode(scan, child, await lstat(child, {bigint: true})));
  }
  return children;
}

async function readContent(scan: Scan, path: Buffer, sizeBytes: number): Promise<NodeContent> {
  const chunks: number[] = [];
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  for (let position = 0; position < sizeBytes; ) {
    const length = Math.min(chunkBytes, sizeBytes - position);
    let filled = 0;
    while (filled < length) {
      const {bytesRead} = await file.read(scan.buffer, filled, length - filled, position + filled);
      if (bytesRead === 0) throw sourceError(path, 'it became shorter while it was read');
      filled += bytesRead;
    }
    chunks.push(await scan.addChunk(scan.buffer.subarray(0, length)));
    position += length;
    scan.bytes += length;
    scan.signal.throwIfAborted();
  }
  return {kind: 'file', sizeBytes, chunks};
}
