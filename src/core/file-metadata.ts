/**
 * What Node cannot do to a file's metadata: extended attributes and times to the nanosecond, never following a symbolic
 * link. Paths are bytes, since file names need not be UTF-8.
 */
import {constants} from 'node:os';
import koffi from 'koffi';
import {libc, SystemCallError} from './libc.ts';

const fn = {
  getxattr: libc.func('long lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)'),
  lseek: libc.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  listxattr: libc.func('long llistxattr(const char *path, _Out_ void *list, size_t size)'),
  setxattr: libc.func('int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)'),
  syncfs: libc.func('int syncfs(int fd)'),
  utimensat: libc.func('int utimensat(int directory, const char *path, const void *times, int flags)'),
} as const;

const attributeBytesMax = 64 * 1024;
const currentDirectory = -100;
const noFollow = 0x100;

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}

function failed(call: string, path: Buffer): SystemCallError {
  return new SystemCallError(call, koffi.errno(), `"${path.toString()}"`);
}

/** The names of all extended attributes; none on a file system without them. @throws SystemCallError */
export function attributeNames(path: Buffer): string[] {
  const list = Buffer.alloc(attributeBytesMax);
  const length = Number(fn.listxattr(terminated(path), list, list.length));
  if (length >= 0) return list.toString('latin1', 0, length).split('\0').slice(0, -1);
  if (koffi.errno() === constants.errno.EOPNOTSUPP) return [];
  throw failed('list attributes of', path);
}

/** @returns undefined when there is no such attribute. @throws SystemCallError */
export function getAttribute(path: Buffer, name: string): Buffer | undefined {
  const value = Buffer.alloc(attributeBytesMax);
  const length = Number(fn.getxattr(terminated(path), name, value, value.length));
  if (length >= 0) return Buffer.from(value.subarray(0, length));
  if (koffi.errno() === constants.errno.ENODATA || koffi.errno() === constants.errno.EOPNOTSUPP) return undefined;
  throw failed(`get attribute "${name}" of`, path);
}

/** @throws SystemCallError */
export function setAttribute(path: Buffer, name: string, value: Buffer): void {
  if (fn.setxattr(terminated(path), name, value, value.length, 0) < 0) throw failed(`set attribute "${name}" of`, path);
}

/** Sets the times of access and modification, in nanoseconds since 1970. @throws SystemCallError */
export function setTimes(path: Buffer, times: {readonly accessedNs: bigint; readonly modifiedNs: bigint}): void {
  const second = 1_000_000_000n;
  const data = Buffer.alloc(32);
  for (const [index, time] of [times.accessedNs, times.modifiedNs].entries()) {
    const nanoseconds = ((time % second) + second) % second;
    data.writeBigInt64LE((time - nanoseconds) / second, index * 16);
    data.writeBigInt64LE(nanoseconds, index * 16 + 8);
  }
  if (fn.utimensat(currentDirectory, terminated(path), data, noFollow) < 0) throw failed('set the times of', path);
}

const seekData = 3;
const seekHole = 4;

/** The next part of an open file, from `position` on, that is not a hole; undefined when there is none. @throws SystemCallError */
export function nextData(fd: number, position: number): {readonly start: number; readonly end: number} | undefined {
  const start = Number(fn.lseek(fd, position, seekData));
  if (start < 0 && koffi.errno() === constants.errno.ENXIO) return undefined;
  const end = start < 0 ? -1 : Number(fn.lseek(fd, start, seekHole));
  if (end < 0) throw new SystemCallError('find the data of', koffi.errno(), `descriptor ${fd}`);
  return {start, end};
}

/** Writes the whole file system of an open file to its disk, on another thread. @throws SystemCallError */
export function syncFileSystem(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fn.syncfs.async(fd, (error: Error | null, result: number) => {
      if (error !== null) reject(error);
      // errno of another thread cannot be read here; a failing sync is an I/O error.
      else if (result < 0) reject(new SystemCallError('write to disk', constants.errno.EIO, 'a file system'));
      else resolve();
    });
  });
}
