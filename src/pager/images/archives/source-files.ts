/** The files that an image's source consists of: those of a directory, or the entries of an archive, which are read where they lie in it. */
import {createReadStream, createWriteStream} from 'node:fs';
import {mkdtemp, open, rm, stat} from 'node:fs/promises';
import {join, posix} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {CodedError, errorCode} from '../../../core/errors.ts';
import {compressionOf, decompress} from './decompress.ts';
import {readTar} from './tar-reader.ts';

export interface SourceFile {
  readonly sizeBytes: number;
  /** Its bytes; may be read again and again. */
  open(): AsyncIterable<Uint8Array>;
}

export interface SourceFiles {
  /** Undefined: there is none of this name. */
  find(name: string): Promise<SourceFile | undefined>;
}

export function fileAt(path: string, sizeBytes: number, position = 0): SourceFile {
  return {
    sizeBytes,
    open: () => (sizeBytes === 0 ? emptyStream() : createReadStream(path, {start: position, end: position + sizeBytes - 1, highWaterMark: 1024 * 1024})),
  };
}

// biome-ignore lint/correctness/useYield: there is nothing to yield
async function* emptyStream(): AsyncGenerator<Uint8Array, void, void> {
  return;
}

/** Names come from the source itself, so those that lead out of it are not there. */
function isInside(name: string): boolean {
  return name !== '' && !name.startsWith('/') && !name.split('/').includes('..');
}

export function filesOfDirectory(directory: string): SourceFiles {
  return {
    async find(name) {
      if (!isInside(name)) return undefined;
      const path = join(directory, name);
      try {
        const status = await stat(path);
        return status.isFile() ? fileAt(path, status.size) : undefined;
      } catch (error) {
        if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
        throw error;
      }
    },
  };
}

/** The first bytes of a file, by which its compression is known. */
export async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path);
  const {bytesRead, buffer} = await file.read(Buffer.alloc(6), 0, 6, 0);
  return buffer.subarray(0, bytesRead);
}

type Indexed = {readonly kind: 'file'; readonly position: number; readonly sizeBytes: number} | {readonly kind: 'link'; readonly to: string};

async function indexArchive(path: string): Promise<ReadonlyMap<string, Indexed>> {
  const index = new Map<string, Indexed>();
  for await (const {kind, name: written, linkName, position, sizeBytes, isSparse} of readTar(createReadStream(path, {highWaterMark: 1024 * 1024}))) {
    const name = posix.normalize(written);
    if (kind === 'file' && !isSparse) index.set(name, {kind: 'file', position, sizeBytes});
    // Of old, `docker save` made a layer that two images have a link in the second one.
    else if (kind === 'symlink') index.set(name, {kind: 'link', to: posix.join(posix.dirname(name), linkName)});
    else if (kind === 'link') index.set(name, {kind: 'link', to: posix.normalize(linkName)});
  }
  return index;
}

/** The entries of a tar archive that is not compressed. @throws CodedError ERR_BAD_ARCHIVE */
export async function filesOfArchive(path: string): Promise<SourceFiles> {
  const index = await indexArchive(path);
  return {
    async find(name) {
      let found = index.get(posix.normalize(name));
      for (let links = 0; found?.kind === 'link' && links < 8; links += 1) found = index.get(found.to);
      return found?.kind === 'file' ? fileAt(path, found.sizeBytes, found.position) : undefined;
    },
  };
}

/** Only root file systems have these, and most of them do: the rest of the archive need not be looked at. */
const directoriesOfRoots: ReadonlySet<string> = new Set(['bin', 'dev', 'etc', 'home', 'lib', 'proc', 'root', 'sbin', 'sys', 'usr', 'var']);

/** The names at the top of an archive; none when it is a root file system. @throws CodedError ERR_BAD_ARCHIVE */
export async function namesAtTop(source: AsyncIterable<Uint8Array>): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for await (const {name} of readTar(source)) {
    const [first = '', ...below] = posix.normalize(name.replace(/^\/+/, '')).split('/');
    if (directoriesOfRoots.has(first)) return new Set();
    if (below.length === 0) names.add(first);
  }
  return names;
}

/** Of directories that an import has made, before its process's number. */
export const temporaryPrefix = 'import-';

/** The file itself, or what it holds, decompressed below `temporaryDir` for as long as `scope` lives. */
export async function decompressedFile(
  path: string,
  {temporaryDir, scope, signal}: {readonly temporaryDir: string; readonly scope: AsyncDisposableStack; readonly signal: AbortSignal},
): Promise<string> {
  const compression = compressionOf(await headOf(path));
  if (compression === 'none') return path;
  const directory = await mkdtemp(join(temporaryDir, `${temporaryPrefix}${process.pid}-`));
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  const decompressed = join(directory, 'archive.tar');
  await pipeline(decompress(createReadStream(path), compression), createWriteStream(decompressed, {mode: 0o600}), {signal});
  return decompressed;
}

/** All of a small file. @throws CodedError ERR_BAD_ARCHIVE when it is missing or too large */
export async function readSmall(files: SourceFiles, name: string, maxBytes: number): Promise<Buffer> {
  const file = await files.find(name);
  if (file === undefined) throw new CodedError('ERR_BAD_ARCHIVE', `it has no "${name}"`, {source: 'client'});
  if (file.sizeBytes > maxBytes) throw new CodedError('ERR_BAD_ARCHIVE', `"${name}" is too large (${file.sizeBytes} bytes)`, {source: 'client'});
  const parts: Uint8Array[] = [];
  for await (const part of file.open()) parts.push(part);
  return Buffer.concat(parts);
}
