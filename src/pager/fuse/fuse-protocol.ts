/**
 * The kernel's FUSE protocol (uapi `linux/fuse.h`, version 7.38), as far as a read-only file system needs it: requests
 * decoded into values, answers encoded into a buffer. Pure: no descriptor is touched here. Everything is little endian
 * and every structure 8-byte aligned.
 */

export const rootNodeId = 1;

/** Bytes in front of the body of every answer. */
export const replyHeaderBytes = 16;

/** The largest READ that the mount option `max_read` and `max_pages` of INIT permit. */
export const maxReadBytes = 1024 * 1024;

/** The kernel insists on at least 8 KiB; a BATCH_FORGET fills whatever is offered. */
export const requestBufferBytes = 64 * 1024;

/** For answers that stay right for ever. */
export const foreverSeconds = 365 * 24 * 3600;

const requestHeaderBytes = 40;
const attributeBytes = 88;
const direntHeaderBytes = 24;

const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  tmpfile: 51,
} as const;

const changingOpcodes: ReadonlySet<number> = new Set([
  opcodes.setattr,
  opcodes.symlink,
  opcodes.mknod,
  opcodes.mkdir,
  opcodes.unlink,
  opcodes.rmdir,
  opcodes.rename,
  opcodes.link,
  opcodes.write,
  opcodes.setxattr,
  opcodes.removexattr,
  opcodes.create,
  opcodes.fallocate,
  opcodes.rename2,
  opcodes.tmpfile,
]);

export type Operation =
  | Init
  /** A name is bytes, written as one character (U+0000 to U+00FF) each. */
  | {readonly kind: 'lookup'; readonly name: string}
  | {readonly kind: 'open' | 'opendir'; readonly flags: number}
  | {readonly kind: 'read' | 'readdir' | 'readdirplus'; readonly offset: number; readonly size: number}
  | {readonly kind: 'access'; readonly mask: number}
  /** With size 0 the length is asked for. */
  | {readonly kind: 'getxattr'; readonly size: number; readonly name: string}
  | {readonly kind: 'listxattr'; readonly size: number}
  | {readonly kind: 'getattr' | 'readlink' | 'statfs' | 'release' | 'releasedir' | 'flush' | 'destroy'}
  /** Whoever made the request `target` does not want its answer any more, but waits for one. Not answered itself. */
  | {readonly kind: 'interrupt'; readonly target: bigint}
  /** FORGET, BATCH_FORGET: the kernel expects no answer. */
  | {readonly kind: 'unanswered'}
  /** Anything that would change the file system. */
  | {readonly kind: 'change'}
  | {readonly kind: 'unsupported'; readonly opcode: number};

export interface Init {
  readonly kind: 'init';
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  /** Bits 32 to 63 of the flags; 0 from a kernel that has none. */
  readonly flags2: number;
}

export interface Request {
  readonly unique: bigint;
  readonly nodeId: number;
  readonly operation: Operation;
}

/**
 * @param data one message as read from the device
 * @throws RangeError when the message is shorter than its kind requires
 */
export function decodeRequest(data: Buffer): Request {
  return {
    unique: data.readBigUInt64LE(8),
    nodeId: Number(data.readBigUInt64LE(16)),
    operation: decodeOperation(data.readUInt32LE(4), data.subarray(requestHeaderBytes)),
  };
}

function decodeOperation(opcode: number, body: Buffer): Operation {
  switch (opcode) {
    case opcodes.init:
      return decodeInit(body);
    case opcodes.lookup:
      return {kind: 'lookup', name: cString(body)};
    case opcodes.open:
      return {kind: 'open', flags: body.readUInt32LE(0)};
    case opcodes.opendir:
      return {kind: 'opendir', flags: body.readUInt32LE(0)};
    case opcodes.read:
      return {kind: 'read', offset: Number(body.readBigUInt64LE(8)), size: body.readUInt32LE(16)};
    case opcodes.readdir:
      return {kind: 'readdir', offset: Number(body.readBigUInt64LE(8)), size: body.readUInt32LE(16)};
    case opcodes.readdirplus:
      return {kind: 'readdirplus', offset: Number(body.readBigUInt64LE(8)), size: body.readUInt32LE(16)};
    case opcodes.access:
      return {kind: 'access', mask: body.readUInt32LE(0)};
    case opcodes.getxattr:
      return {kind: 'getxattr', size: body.readUInt32LE(0), name: cString(body.subarray(8))};
    case opcodes.listxattr:
      return {kind: 'listxattr', size: body.readUInt32LE(0)};
    case opcodes.getattr:
      return {kind: 'getattr'};
    case opcodes.readlink:
      return {kind: 'readlink'};
    case opcodes.statfs:
      return {kind: 'statfs'};
    case opcodes.release:
      return {kind: 'release'};
    case opcodes.releasedir:
      return {kind: 'releasedir'};
    case opcodes.flush:
      return {kind: 'flush'};
    case opcodes.destroy:
      return {kind: 'destroy'};
    case opcodes.forget:
    case opcodes.batchForget:
      return {kind: 'unanswered'};
    case opcodes.interrupt:
      return {kind: 'interrupt', target: body.readBigUInt64LE(0)};
    default:
      return changingOpcodes.has(opcode) ? {kind: 'change'} : {kind: 'unsupported', opcode};
  }
}

const extendedFlags = 1 << 30;

function decodeInit(body: Buffer): Init {
  const flags = body.readUInt32LE(12);
  return {
    kind: 'init',
    major: body.readUInt32LE(0),
    minor: body.readUInt32LE(4),
    maxReadahead: body.readUInt32LE(8),
    flags,
    flags2: (flags & extendedFlags) !== 0 && body.length >= 20 ? body.readUInt32LE(16) : 0,
  };
}

function cString(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString('latin1', 0, end < 0 ? body.length : end);
}

/** Writes the header of an answer whose body of `bodyBytes` stands behind it. @returns the length of the whole answer */
export function encodeHeader(out: Buffer, unique: bigint, bodyBytes: number): number {
  const length = replyHeaderBytes + bodyBytes;
  out.writeUInt32LE(length, 0);
  out.writeInt32LE(0, 4);
  out.writeBigUInt64LE(unique, 8);
  return length;
}

/** An answer that is only an error. @param errno positive */
export function encodeError(out: Buffer, unique: bigint, errno: number): number {
  encodeHeader(out, unique, 0);
  out.writeInt32LE(-errno, 4);
  return replyHeaderBytes;
}

// What we ask of the kernel in INIT, from the flags it offers.
const asyncRead = 1 << 0;
const parallelDirectoryOperations = 1 << 18;
const abortError = 1 << 21;
const maxPages = 1 << 22;

/** @param body where the answer's body starts. @returns its length */
export function encodeInit(body: Buffer, offered: {readonly maxReadahead: number; readonly flags: number}): number {
  body.fill(0, 0, 64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(38, 4);
  body.writeUInt32LE(Math.max(offered.maxReadahead, maxReadBytes), 8);
  body.writeUInt32LE(offered.flags & (asyncRead | parallelDirectoryOperations | abortError | maxPages), 12);
  body.writeUInt16LE(64, 16); // requests in the background (readahead)
  body.writeUInt16LE(48, 18); // from which on the kernel calls it congested
  body.writeUInt32LE(4096, 20); // max_write: nobody writes, so it stays the least
  body.writeUInt32LE(1, 24); // granularity of times in ns
  body.writeUInt16LE(maxReadBytes / 4096, 28);
  return 64;
}

/** The kernel had a newer major version: it is told ours and asks again. */
export function encodeOlderMajor(body: Buffer): number {
  body.fill(0, 0, 64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(38, 4);
  return 64;
}

export interface Attributes {
  readonly nodeId: number;
  readonly kind: 'file' | 'directory';
  readonly sizeBytes: number;
  readonly modifiedSeconds: number;
}

const fileMode = 0o100400;
const directoryMode = 0o040500;

function encodeAttributes(at: Buffer, node: Attributes): void {
  at.fill(0, 0, attributeBytes);
  at.writeBigUInt64LE(BigInt(node.nodeId), 0);
  at.writeBigUInt64LE(BigInt(node.sizeBytes), 8);
  at.writeBigUInt64LE(BigInt(Math.ceil(node.sizeBytes / 512)), 16);
  for (const time of [24, 32, 40]) at.writeBigUInt64LE(BigInt(node.modifiedSeconds), time);
  at.writeUInt32LE(node.kind === 'file' ? fileMode : directoryMode, 60);
  at.writeUInt32LE(node.kind === 'file' ? 1 : 2, 64);
  at.writeUInt32LE(4096, 80);
}

/** @param nameValidSeconds for how long the kernel may use the name without asking again */
export function encodeEntry(body: Buffer, node: Attributes, nameValidSeconds: number): number {
  body.fill(0, 0, 40);
  body.writeBigUInt64LE(BigInt(node.nodeId), 0);
  body.writeBigUInt64LE(BigInt(nameValidSeconds), 16);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 24);
  encodeAttributes(body.subarray(40), node);
  return 40 + attributeBytes;
}

export function encodeAttributesReply(body: Buffer, node: Attributes): number {
  body.fill(0, 0, 16);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 0);
  encodeAttributes(body.subarray(16), node);
  return 16 + attributeBytes;
}

const directIo = 1 << 0;
const keepCache = 1 << 1;
const noFlush = 1 << 5;
const openFlags = {file: keepCache | noFlush, 'file without read-ahead': directIo | noFlush, directory: 0} as const;

/**
 * A file keeps its page cache from one open to the next, since what it holds never changes. No handle: the node says all.
 * @param opened `file without read-ahead`: the kernel asks for what is read and for nothing around it, and keeps nothing
 */
export function encodeOpen(body: Buffer, opened: keyof typeof openFlags): number {
  body.fill(0, 0, 16);
  body.writeUInt32LE(openFlags[opened], 8);
  return 16;
}

export function encodeStatfs(body: Buffer, counts: {readonly blocks: number; readonly files: number}): number {
  body.fill(0, 0, 80);
  body.writeBigUInt64LE(BigInt(counts.blocks), 0);
  body.writeBigUInt64LE(BigInt(counts.files), 24);
  body.writeUInt32LE(4096, 40);
  body.writeUInt32LE(255, 44);
  body.writeUInt32LE(4096, 48);
  return 80;
}

export interface DirectoryEntry {
  readonly nodeId: number;
  readonly name: string;
  readonly kind: 'file' | 'directory';
  /** Where a next READDIR goes on behind this entry. */
  readonly nextOffset: number;
}

/** Writes as many entries as fit into `size` bytes. @returns the length written; 0 says that the directory has ended */
export function encodeDirectory(body: Buffer, entries: Iterable<DirectoryEntry>, size: number): number {
  let at = 0;
  for (const entry of entries) {
    const nameBytes = entry.name.length;
    const length = Math.ceil((direntHeaderBytes + nameBytes) / 8) * 8;
    if (at + length > size) break;
    body.fill(0, at, at + length);
    body.writeBigUInt64LE(BigInt(entry.nodeId), at);
    body.writeBigUInt64LE(BigInt(entry.nextOffset), at + 8);
    body.writeUInt32LE(nameBytes, at + 16);
    body.writeUInt32LE(entry.kind === 'file' ? 8 : 4, at + 20); // DT_REG, DT_DIR
    body.write(entry.name, at + direntHeaderBytes, 'latin1');
    at += length;
  }
  return at;
}
