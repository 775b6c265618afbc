/**
 * Answers of the FUSE protocol for a file system with all metadata: owners, modes, times, links, devices, extended attributes, entries that
 * are right for ever, and files whose reads the kernel serves from a real file (passthrough, Linux 6.9). Pure, as fuse-protocol.ts is.
 */
import {foreverSeconds, type Init, maxReadBytes} from '../fuse/fuse-protocol.ts';

export interface FullAttributes {
  /** Is the number of the inode too. */
  readonly nodeId: number;
  /** With the type. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly device: {readonly major: number; readonly minor: number};
  readonly sizeBytes: number;
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
}

const attributeBytes = 88;
const entryBytes = 40 + attributeBytes;
const direntHeaderBytes = 24;

function encodeAttributes(at: Buffer, node: FullAttributes): void {
  at.fill(0, 0, attributeBytes);
  at.writeBigUInt64LE(BigInt(node.nodeId), 0);
  at.writeBigUInt64LE(BigInt(node.sizeBytes), 8);
  at.writeBigUInt64LE(BigInt(Math.ceil(node.sizeBytes / 512)), 16);
  for (const time of [24, 32, 40]) at.writeBigInt64LE(BigInt(node.modifiedSeconds), time);
  for (const time of [48, 52, 56]) at.writeUInt32LE(node.modifiedNanoseconds, time);
  at.writeUInt32LE(node.mode, 60);
  at.writeUInt32LE(node.links, 64);
  at.writeUInt32LE(node.uid, 68);
  at.writeUInt32LE(node.gid, 72);
  at.writeUInt32LE(encodeDevice(node.device), 76);
  at.writeUInt32LE(4096, 80);
}

/** The kernel's new_encode_dev(). */
function encodeDevice({major, minor}: FullAttributes['device']): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function encodeFullEntry(body: Buffer, node: FullAttributes): number {
  body.fill(0, 0, 40);
  body.writeBigUInt64LE(BigInt(node.nodeId), 0);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 16);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 24);
  encodeAttributes(body.subarray(40), node);
  return entryBytes;
}

/** There is no such name, and there never will be. */
export function encodeNoEntry(body: Buffer): number {
  body.fill(0, 0, entryBytes);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 16);
  return entryBytes;
}

export function encodeFullAttributesReply(body: Buffer, node: FullAttributes): number {
  body.fill(0, 0, 16);
  body.writeBigUInt64LE(BigInt(foreverSeconds), 0);
  encodeAttributes(body.subarray(16), node);
  return 16 + attributeBytes;
}

export interface FullDirectoryEntry {
  readonly name: string;
  readonly node: FullAttributes;
  readonly nextOffset: number;
}

/** READDIR, or READDIRPLUS with what a lookup of each name would say. @returns the length written; 0 says that the directory has ended */
export function encodeFullDirectory(
  body: Buffer,
  entries: Iterable<FullDirectoryEntry>,
  {size, plus}: {readonly size: number; readonly plus: boolean},
): number {
  let at = 0;
  for (const {name, node, nextOffset} of entries) {
    const direntAt = at + (plus ? entryBytes : 0);
    const end = direntAt + Math.ceil((direntHeaderBytes + name.length) / 8) * 8;
    if (end > size) break;
    body.fill(0, at, end);
    // `.` and `..` are no lookups: a node id of 0 says so.
    if (plus && name !== '.' && name !== '..') encodeFullEntry(body.subarray(at), node);
    body.writeBigUInt64LE(BigInt(node.nodeId), direntAt);
    body.writeBigUInt64LE(BigInt(nextOffset), direntAt + 8);
    body.writeUInt32LE(name.length, direntAt + 16);
    body.writeUInt32LE(node.mode >>> 12, direntAt + 20);
    body.write(name, direntAt + direntHeaderBytes, 'latin1');
    at = end;
  }
  return at;
}

const openFlag = {keepCache: 1 << 1, noFlush: 1 << 5, passthrough: 1 << 7} as const;

/** @param backingId of the real file that serves it in the kernel; undefined: reads come to us, once per page */
export function encodeFileOpen(body: Buffer, backingId: number | undefined): number {
  body.fill(0, 0, 16);
  body.writeUInt32LE(backingId === undefined ? openFlag.keepCache | openFlag.noFlush : openFlag.passthrough | openFlag.noFlush, 8);
  body.writeInt32LE(backingId ?? 0, 12);
  return 16;
}

export function encodeAttributeLength(body: Buffer, length: number): number {
  body.fill(0, 0, 8);
  body.writeUInt32LE(length, 0);
  return 8;
}

const initFlag = {
  asyncRead: 1 << 0,
  exportSupport: 1 << 4,
  readdirPlus: 1 << 13,
  readdirPlusAuto: 1 << 14,
  parallelDirectoryOperations: 1 << 18,
  posixAcl: 1 << 20,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendir: 1 << 24,
  extended: 1 << 30,
} as const;
/** Bits 32 and up. */
const initFlag2 = {passthrough: 1 << 5, resend: 1 << 7} as const;

export function offersPassthrough(offered: Init): boolean {
  return (offered.flags2 & initFlag2.passthrough) !== 0;
}

export function encodeFullInit(body: Buffer, offered: Init, {acl, passthrough}: {readonly acl: boolean; readonly passthrough: boolean}): number {
  const {posixAcl, ...always} = initFlag;
  const wanted = Object.values(always).reduce((all, flag) => all | flag, acl ? posixAcl : 0);
  const wanted2 = initFlag2.resend | (passthrough ? initFlag2.passthrough : 0);
  body.fill(0, 0, 64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(40, 4);
  body.writeUInt32LE(Math.max(offered.maxReadahead, maxReadBytes), 8);
  body.writeUInt32LE((offered.flags & wanted) >>> 0, 12);
  body.writeUInt16LE(64, 16);
  body.writeUInt16LE(48, 18);
  body.writeUInt32LE(4096, 20);
  body.writeUInt32LE(1, 24);
  body.writeUInt16LE(maxReadBytes / 4096, 28);
  body.writeUInt32LE((offered.flags2 & wanted2) >>> 0, 32);
  // Backing files lie on an ordinary file system; overlayfs on top of us is the second and last level that the kernel allows.
  body.writeUInt32LE(passthrough ? 1 : 0, 36);
  return 64;
}

/** BACKING_OPEN and BACKING_CLOSE of the device. */
export const deviceRequest = {backingOpen: 0x4010e501, backingClose: 0x4004e502} as const;

const notification = {store: 4, resend: 7} as const;

/** Asks the kernel for all requests again that it gave to a server that is gone. */
export function encodeResend(): Buffer {
  const message = Buffer.alloc(16);
  message.writeUInt32LE(16, 0);
  message.writeInt32LE(notification.resend, 4);
  return message;
}

/** Puts a part of a file into the page cache. Only while nobody can be reading it: the kernel waits for the pages that a read has locked. */
export function encodeStore(nodeId: number, position: number, data: Uint8Array): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + data.length, 0);
  header.writeInt32LE(notification.store, 4);
  header.writeBigUInt64LE(BigInt(nodeId), 16);
  header.writeBigUInt64LE(BigInt(position), 24);
  header.writeUInt32LE(data.length, 32);
  return Buffer.concat([header, data]);
}
