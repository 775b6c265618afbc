/**
 * The object store in a local directory. An object is a file; it appears by one rename (or link, when it must be new) after its bytes are on
 * the disk, and the directories that lead to it are synced before the put is reported. What is being written lies in `.incoming`.
 */
import {randomBytes} from 'node:crypto';
import {constants, statSync} from 'node:fs';
import {type FileHandle, link, mkdir, open, readdir, readFile, rename, rm, stat, unlink} from 'node:fs/promises';
import {dirname, join, relative, sep} from 'node:path';
import {errorCode} from '../core/errors.ts';
import {type ByteRange, checkKey, type ListedObject, type ObjectBody, type ObjectStore, ObjectStoreError, type PutOptions} from './object-store.ts';

const incomingName = '.incoming';
const staleAfterMs = 3_600_000;
const privateDirectory = 0o700;
const privateFile = 0o600;

export interface DirectoryStoreOptions {
  /** Asked when the disk is full: may remove other files. What could not be written is tried again if this resolves to true. */
  readonly makeRoom?: (() => Promise<boolean>) | undefined;
}

/**
 * Creates the directory (mode 700) if need be, and removes what writers that are gone left half-written.
 * @throws ObjectStoreError ERR_STORE_FAILED, ERR_STORE_FULL
 */
export async function openDirectoryStore(root: string, options: DirectoryStoreOptions = {}): Promise<ObjectStore> {
  const incoming = join(root, incomingName);
  try {
    await mkdir(incoming, {recursive: true, mode: privateDirectory});
    const writer = `${await bootName()}-${process.pid}`;
    await removeStale(incoming, writer);
    return directoryStore({root, incoming, writer, durable: new Set([root]), makeRoom: options.makeRoom});
  } catch (cause) {
    throw failed('open', root, cause);
  }
}

interface Directory {
  readonly root: string;
  readonly incoming: string;
  /** Names this process among all that write here: `<boot>-<pid>`. */
  readonly writer: string;
  /** Directories that are known to be on the disk, with all above them. Few: one per app and kind of object. */
  readonly durable: Set<string>;
  readonly makeRoom: DirectoryStoreOptions['makeRoom'];
}

function directoryStore(directory: Directory): ObjectStore {
  const pathOf = (key: string): string => {
    checkKey(key);
    return join(directory.root, key);
  };
  return {
    put: async (key, body, options = {}) => put(directory, {key, path: pathOf(key), body, options}),
    get: async (key, range) => get(key, pathOf(key), range),
    async size(key) {
      const sizeBytes = sizeOf(key, pathOf(key));
      if (sizeBytes === undefined) throw noObject('read', key);
      return Promise.resolve(sizeBytes);
    },
    list: async (prefix) => list(directory.root, prefix),
    async delete(key) {
      const path = pathOf(key);
      try {
        await unlink(path);
        await syncDirectory(dirname(path));
      } catch (cause) {
        if (errorCode(cause) !== 'ENOENT') throw failed('delete', key, cause);
      }
    },
    async localFile(key) {
      const path = pathOf(key);
      return Promise.resolve(sizeOf(key, path) === undefined ? undefined : path);
    },
  };
}

/** Undefined: it is not there. At once, since a wake asks for a dozen: to wake another thread for each takes longer. */
function sizeOf(key: string, path: string): number | undefined {
  try {
    return statSync(path, {throwIfNoEntry: false})?.size;
  } catch (cause) {
    throw failed('read', key, cause);
  }
}

function noObject(verb: string, key: string, cause?: unknown): ObjectStoreError {
  return new ObjectStoreError('ERR_NO_OBJECT', `Cannot ${verb} object "${key}": it does not exist`, {key, cause});
}

/** @returns an ObjectStoreError with the code that fits what the system said */
function failed(verb: string, key: string, cause: unknown): unknown {
  if (cause instanceof ObjectStoreError) return cause;
  const code = errorCode(cause);
  const object = `object "${key}"`;
  if (code === 'ENOENT') return noObject(verb, key, cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') return new ObjectStoreError('ERR_STORE_FULL', `Cannot ${verb} ${object}: the disk is full`, {key, cause});
  if (code === 'EEXIST') return new ObjectStoreError('ERR_OBJECT_EXISTS', `Cannot ${verb} ${object}: it exists already`, {key, cause});
  // An abort, or an error of whoever makes the body, is not the store's.
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) return cause;
  return new ObjectStoreError('ERR_STORE_FAILED', `Cannot ${verb} ${object}: ${code}`, {key, cause});
}

async function put(directory: Directory, request: {key: string; path: string; body: ObjectBody; options: PutOptions}): Promise<number> {
  const {key, path, body, options} = request;
  const temporary = join(directory.incoming, `${directory.writer}-${randomBytes(8).toString('hex')}`);
  try {
    // Known to fail before any byte is written; the link below decides.
    if (options.ifAbsent === true && (await exists(path)))
      throw new ObjectStoreError('ERR_OBJECT_EXISTS', `Cannot write object "${key}": it exists already`, {key});
    const sizeBytes = await writeDurably(directory, temporary, body, options.signal);
    await makeDirectory(directory, dirname(path));
    if (options.ifAbsent === true) await linkDurably(temporary, path);
    else {
      await rename(temporary, path);
      await syncDirectory(dirname(path));
    }
    return sizeBytes;
  } catch (cause) {
    throw failed('write', key, cause);
  } finally {
    await rm(temporary, {force: true});
  }
}

/** An object that may not last must not stay: the writer is about to hear that it failed, and will not remove it. */
async function linkDurably(temporary: string, path: string): Promise<void> {
  await link(temporary, path);
  try {
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(path, {force: true});
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function writeDurably({makeRoom}: Directory, path: string, body: ObjectBody, signal: AbortSignal | undefined): Promise<number> {
  await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, privateFile);
  let sizeBytes = 0;
  for await (const piece of body instanceof Uint8Array ? [body] : body) {
    signal?.throwIfAborted();
    sizeBytes += await writeAll(file, piece, {position: sizeBytes, makeRoom});
  }
  signal?.throwIfAborted();
  await file.sync();
  return sizeBytes;
}

async function writeAll(file: FileHandle, piece: Uint8Array, where: {position: number} & Pick<Directory, 'makeRoom'>): Promise<number> {
  const {position, makeRoom} = where;
  for (let written = 0; written < piece.length; ) {
    try {
      written += (await file.write(piece, written, piece.length - written, position + written)).bytesWritten;
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC' || makeRoom === undefined || !(await makeRoom())) throw error;
    }
  }
  return piece.length;
}

/** mkdir -p below the root, durably. A directory that another put made a moment ago may not be on the disk yet, so it is synced here as well. */
async function makeDirectory(directory: Directory, path: string): Promise<void> {
  if (directory.durable.has(path)) return;
  await mkdir(path, {recursive: true, mode: privateDirectory});
  for (let made = path; made !== directory.root; made = dirname(made)) await syncDirectory(dirname(made));
  directory.durable.add(path);
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}

async function get(key: string, path: string, range: ByteRange | undefined): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const {position, length} = range ?? {position: 0, length: (await file.stat()).size};
    const data = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const {bytesRead} = await file.read(data, filled, length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    if (filled === length) return data;
    const found = `it ends at byte ${position + filled}, ${position + length} are needed`;
    throw new ObjectStoreError('ERR_OBJECT_TRUNCATED', `Cannot read object "${key}": ${found}`, {key});
  } catch (cause) {
    throw failed('read', key, cause);
  }
}

async function list(root: string, prefix: string): Promise<readonly ListedObject[]> {
  // A prefix ends inside a name; the directory above it holds all that can match.
  const base = join(root, prefix.slice(0, prefix.lastIndexOf('/') + 1));
  const found: ListedObject[] = [];
  try {
    const entries = await readdir(base, {recursive: true, withFileTypes: true});
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      const key = relative(root, path).split(sep).join('/');
      if (!entry.isFile() || !key.startsWith(prefix) || key.startsWith(`${incomingName}/`)) continue;
      const sizeBytes = await sizeIfThere(path);
      if (sizeBytes !== undefined) found.push({key, sizeBytes});
    }
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw failed('list', prefix, cause);
  }
  return found.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Undefined for a file that was deleted meanwhile. */
async function sizeIfThere(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Changes with every boot of the machine, so that a process id of an earlier boot is not taken for a living writer. */
async function bootName(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return text.slice(0, 8);
}

async function removeStale(incoming: string, writer: string): Promise<void> {
  const boot = writer.slice(0, writer.lastIndexOf('-'));
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    const [ofBoot, pid] = name.split('-');
    const writerGone = ofBoot === boot && pid !== undefined && !(await exists(`/proc/${pid}`));
    const {mtimeMs} = await stat(path).catch(() => ({mtimeMs: Date.now()})); // gone meanwhile: another process cleans too
    if (writerGone || Date.now() - mtimeMs > staleAfterMs) await rm(path, {force: true});
  }
}
