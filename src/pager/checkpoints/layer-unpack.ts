/**
 * Makes a layer of files out of the records of layer-records.ts. A wake may wait for it, and on a busy machine each call by way of another thread
 * takes a hundred times the call itself, so calls are made at once, in short turns.
 */
import {chmodSync, closeSync, ftruncateSync, lchownSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync} from 'node:fs';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {setAttribute, setTimes} from '../../core/file-metadata.ts';
import {mknod} from '../../core/libc.ts';
import {type ByteSource, type LayerRecord, type Metadata, readChunkHead, readRecord} from './layer-records.ts';

const pieceBytes = 256 * 1024;
const turnMs = 4;

interface OpenDirectory {
  readonly path: Buffer;
  readonly metadata: Metadata;
}

/**
 * Reads up to the end of the layer and no further. On a failure a part of it may be there.
 * @param upper must not exist
 * @throws what `source` throws; errors of the file system
 */
export async function unpackLayer(source: ByteSource, upper: string, signal?: AbortSignal): Promise<void> {
  const paths = new Map<number, Buffer>();
  const open: OpenDirectory[] = [];
  let turnEndsMs = performance.now() + turnMs;
  do {
    signal?.throwIfAborted();
    if (performance.now() > turnEndsMs) {
      await nextTurn();
      turnEndsMs = performance.now() + turnMs;
    }
    const record = await readRecord(source);
    const parent = open.at(-1);
    if (record.kind === 'up') {
      // Filling a directory changes its times, and a default ACL would be inherited by what is made in it.
      const left = open.pop();
      if (left !== undefined) setMetadata(left.path, left.metadata, 'directory');
      continue;
    }
    if ((parent === undefined) !== (record.name === '')) throw source.damaged('a name is in no directory');
    const path = parent === undefined ? Buffer.from(upper) : Buffer.concat([parent.path, Buffer.from('/'), Buffer.from(record.name, 'latin1')]);
    if (record.kind === 'directory') {
      mkdirSync(path, {mode: 0o700});
      open.push({path, metadata: record});
    } else await make(source, record, {path, paths});
  } while (open.length > 0);
}

type Other = Exclude<LayerRecord, {kind: 'directory' | 'up'}>;

async function make(source: ByteSource, record: Other, {path, paths}: {path: Buffer; paths: Map<number, Buffer>}): Promise<void> {
  if (record.kind === 'link') {
    const first = paths.get(record.to);
    if (first === undefined) throw source.damaged(`a name of file ${record.to}, which is not there`);
    linkSync(first, path);
    return;
  }
  if (record.kind === 'symlink') symlinkSync(Buffer.from(record.target, 'latin1'), path);
  else if (record.kind === 'node') mknod(path, record.type | record.mode, record.major, record.minor);
  else await writeContent(source, path, record.sizeBytes);
  setMetadata(path, record, record.kind);
  if (record.id > 0) paths.set(record.id, path);
}

async function writeContent(source: ByteSource, path: Buffer, sizeBytes: number): Promise<void> {
  const file = openSync(path, 'wx', 0o600);
  using _closed = {[Symbol.dispose]: () => closeSync(file)};
  ftruncateSync(file, sizeBytes);
  for (let chunk = await readChunkHead(source); chunk.length > 0; chunk = await readChunkHead(source)) {
    if (chunk.position + chunk.length > sizeBytes) throw source.damaged('a file is longer than it was');
    for (let done = 0; done < chunk.length; ) {
      const data = await source.read(Math.min(pieceBytes, chunk.length - done));
      for (let written = 0; written < data.length; ) written += writeSync(file, data, written, data.length - written, chunk.position + done + written);
      done += data.length;
    }
  }
}

/** The owner first: a change of it takes away bits of the mode, and capabilities. */
function setMetadata(path: Buffer, metadata: Metadata, kind: Other['kind'] | 'directory'): void {
  const {uid, gid, mode, attributes, accessed, modified} = metadata;
  lchownSync(path, uid, gid);
  if (kind !== 'symlink') chmodSync(path, mode);
  for (const [name, value] of attributes) setAttribute(path, name, Buffer.from(value, 'latin1'));
  setTimes(path, {accessedNs: BigInt(accessed), modifiedNs: BigInt(modified)});
}
