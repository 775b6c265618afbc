/**
 * Serves the mount of one image. All but content is in memory. A request for content that is not local is kept until the main thread has brought
 * it, and the others go on. A file whose content is complete when it is opened is handed to the kernel, which then reads the real file itself.
 */
import {readFileSync} from 'node:fs';
import {constants} from 'node:os';
import {errorMessage} from '../../core/errors.ts';
import {errnoName, tryIoctl, tryWrite} from '../../core/libc.ts';
import * as protocol from '../fuse/fuse-protocol.ts';
import type {LocalContents} from './fuse-image-content.ts';
import type {ImageReport, ServePlan} from './fuse-image-messages.ts';
import {OpenFiles} from './fuse-image-opens.ts';
import * as full from './fuse-image-protocol.ts';
import {type FileNode, FuseImageTree} from './fuse-image-tree.ts';
import {chunkBytes, decodeTree, type ImageNode} from './rootfs-image-tree.ts';

const {EINTR, EIO, EISDIR, EINVAL, ENODATA, ENOSYS, ENOTDIR, ERANGE, EROFS, ESTALE} = constants.errno;

const accessMode = 0o3;
/** Contents up to this size are put into the page cache when their file is opened, where the kernel cannot read the real file. */
const storedAtOpenBytes = 128 * 1024;
/** What the kernel adds to the number of a request that it makes again. */
const resent = 1n << 63n;

/** The length of the answer's body, a positive errno, or what the answer has to wait for. */
type Result = {readonly bodyBytes: number} | {readonly errno: number} | {readonly waitFor: Wait};

interface Wait {
  readonly key: string;
  readonly pieces: readonly number[];
}

interface Waiting {
  readonly request: protocol.Request;
  readonly pid: number;
  readonly wait: Wait;
  /** A signal has come for whoever waits. */
  interrupted: boolean;
}

export class ImageServer implements Disposable {
  readonly mount: number;
  readonly device: number;
  readonly counts: Record<string, number> = {};
  readonly #tree: FuseImageTree;
  readonly #contents: LocalContents;
  readonly #opens: OpenFiles;
  readonly #out = Buffer.alloc(protocol.replyHeaderBytes + protocol.maxReadBytes);
  readonly #body = this.#out.subarray(protocol.replyHeaderBytes);
  readonly #report: (report: ImageReport) => void;
  readonly #waiting = new Map<bigint, Waiting>();
  /** Files that lie in the page cache since they were opened. */
  readonly #stored = new Set<number>();
  #passthrough: boolean;

  constructor(plan: ServePlan, contents: LocalContents, report: (report: ImageReport) => void) {
    this.mount = plan.mount;
    this.device = plan.device;
    this.#tree = new FuseImageTree(decodeTree(plan.treeData));
    this.#opens = new OpenFiles(plan.opensPath);
    this.#contents = contents;
    this.#report = report;
    this.#passthrough = plan.passthrough;
  }

  [Symbol.dispose](): void {
    this.#opens[Symbol.dispose]();
  }

  get hasInterrupted(): boolean {
    return [...this.#waiting.values()].some(({interrupted}) => interrupted);
  }

  /** @param data one message of the device */
  serve(data: Buffer): void {
    let request: protocol.Request;
    try {
      request = protocol.decodeRequest(data);
    } catch (error) {
      this.#reportError(`Cannot understand a FUSE request: ${errorMessage(error)}`);
      this.#answer(data.readBigUInt64LE(8), {errno: EIO});
      return;
    }
    const {kind} = request.operation;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    this.#attempt(request, data.readUInt32LE(32));
  }

  #attempt(request: protocol.Request, pid: number): void {
    const {operation, unique} = request;
    if (operation.kind === 'unanswered') return;
    if (operation.kind === 'interrupt') {
      this.#interrupt(operation.target);
      return;
    }
    let result: Result;
    try {
      result = this.#handle(request.nodeId, operation, unique);
    } catch (error) {
      this.#reportError(errorMessage(error));
      result = {errno: EIO};
    }
    if ('waitFor' in result) {
      this.#wait({request, pid, wait: result.waitFor, interrupted: false});
      return;
    }
    const written = this.#answer(unique, result);
    // Nobody waited any more, so nobody will close it.
    if (written < 0 && operation.kind === 'open' && 'bodyBytes' in result) this.#release(request.nodeId);
    if (operation.kind === 'init') this.#report({kind: 'ready', mount: this.mount});
  }

  /** @returns a negative errno when nobody waits for it */
  #answer(unique: bigint, result: {readonly bodyBytes: number} | {readonly errno: number}): number {
    const length = 'errno' in result ? protocol.encodeError(this.#out, unique, result.errno) : protocol.encodeHeader(this.#out, unique, result.bodyBytes);
    return tryWrite(this.device, this.#out.subarray(0, length));
  }

  #wait(waiting: Waiting): void {
    this.#waiting.set(waiting.request.unique, waiting);
    const {key, pieces} = waiting.wait;
    for (const piece of pieces) this.#report({kind: 'wanted', mount: this.mount, nodeId: waiting.request.nodeId, key, piece});
  }

  /** More of a content has come. */
  arrived(key: string): void {
    for (const [unique, waiting] of [...this.#waiting]) {
      if (waiting.wait.key !== key) continue;
      const missing = waiting.wait.pieces.filter((piece) => !this.#contents.has(key, piece));
      // One that came may be gone again.
      for (const piece of missing) this.#report({kind: 'wanted', mount: this.mount, nodeId: waiting.request.nodeId, key, piece});
      if (missing.length > 0) continue;
      this.#waiting.delete(unique);
      this.#attempt(waiting.request, waiting.pid);
    }
  }

  /** A piece will not come. */
  failed(key: string, piece: number): void {
    for (const [unique, {wait}] of [...this.#waiting]) if (wait.key === key && wait.pieces.includes(piece)) this.#giveUp(unique, EIO);
  }

  /** What is waited for, to be asked for again after the cache has dropped a part of a content. */
  askAgain(key: string): void {
    for (const {request, wait} of this.#waiting.values()) {
      if (wait.key === key) for (const piece of wait.pieces) this.#report({kind: 'wanted', mount: this.mount, nodeId: request.nodeId, key, piece});
    }
  }

  #giveUp(unique: bigint, errno: number): void {
    this.#waiting.delete(unique);
    this.#answer(unique, {errno});
  }

  /** Only who is being killed is let go: no program expects that reading a file is interrupted by a signal. */
  #interrupt(target: bigint): void {
    const waiting = this.#waiting.get(target) ?? this.#waiting.get(target | resent);
    if (waiting === undefined) return;
    waiting.interrupted = true;
    this.releaseKilled();
  }

  /** To be called from time to time while `hasInterrupted`. */
  releaseKilled(): void {
    for (const [unique, {interrupted, pid}] of [...this.#waiting]) if (interrupted && isBeingKilled(pid)) this.#giveUp(unique, EINTR);
  }

  #handle(nodeId: number, operation: Exclude<protocol.Operation, {kind: 'unanswered' | 'interrupt'}>, unique: bigint): Result {
    if (operation.kind === 'init') return this.#init(operation);
    const node = this.#tree.get(nodeId);
    if (node === undefined) return {errno: ESTALE};
    switch (operation.kind) {
      case 'lookup':
        return this.#lookup(nodeId, node, operation.name);
      case 'getattr':
        return {bodyBytes: full.encodeFullAttributesReply(this.#body, this.#tree.attributes(nodeId, node))};
      case 'readlink':
        return node.kind === 'symlink' ? {bodyBytes: this.#body.write(node.target, 'latin1')} : {errno: EINVAL};
      case 'open':
        return this.#open(nodeId, node, operation.flags);
      case 'read':
        return this.#read(nodeId, node, operation);
      case 'release':
        // Whether the one that we are asked again for was counted is not known.
        if ((unique & resent) === 0n) this.#release(nodeId);
        return {bodyBytes: 0};
      case 'readdir':
      case 'readdirplus':
        return this.#readdir(nodeId, node, {offset: operation.offset, size: operation.size, plus: operation.kind === 'readdirplus'});
      case 'getxattr':
        return this.#getAttribute(node, operation);
      case 'listxattr':
        return this.#list(node, operation.size);
      case 'statfs':
        return {bodyBytes: protocol.encodeStatfs(this.#body, {blocks: Math.ceil(this.#tree.contentBytes / 4096), files: this.#tree.nodeCount})};
      case 'flush':
      case 'releasedir':
      case 'destroy':
        return {bodyBytes: 0};
      case 'change':
        return {errno: EROFS};
      // The kernel checks permissions itself, and remembers that directories need no open.
      case 'access':
      case 'opendir':
      case 'unsupported':
        return {errno: ENOSYS};
      default:
        return operation satisfies never;
    }
  }

  #init(operation: protocol.Init): Result {
    if (operation.major > 7) return {bodyBytes: protocol.encodeOlderMajor(this.#body)};
    if (this.#passthrough && !full.offersPassthrough(operation)) this.#withoutPassthrough('the kernel does not have it');
    return {bodyBytes: full.encodeFullInit(this.#body, operation, {acl: this.#tree.hasAcls, passthrough: this.#passthrough})};
  }

  #withoutPassthrough(reason: string): void {
    this.#passthrough = false;
    this.#report({kind: 'no-passthrough', mount: this.mount, reason});
  }

  #lookup(nodeId: number, node: ImageNode, name: string): Result {
    if (node.kind !== 'directory' && name !== '.') return {errno: ENOTDIR};
    const childId = this.#tree.child(nodeId, name);
    const child = childId === undefined ? undefined : this.#tree.get(childId);
    if (childId === undefined || child === undefined) return {bodyBytes: full.encodeNoEntry(this.#body)};
    return {bodyBytes: full.encodeFullEntry(this.#body, this.#tree.attributes(childId, child))};
  }

  #open(nodeId: number, node: ImageNode, flags: number): Result {
    if (node.kind !== 'file') return {errno: node.kind === 'directory' ? EISDIR : EINVAL};
    if ((flags & accessMode) !== 0) return {errno: EROFS};
    const open = this.#opens.get(nodeId);
    if (open !== undefined) return this.#opened(nodeId, open.backingId);
    if (node.sizeBytes === 0) return this.#opened(nodeId, 0);
    const key = this.#tree.contentKey(nodeId, node);
    if (!this.#contents.isComplete(key)) {
      // A single piece is going to be read anyway, and from then on the kernel serves the file alone.
      return node.chunks.length === 1 ? {waitFor: {key, pieces: [0]}} : this.#opened(nodeId, 0);
    }
    this.#report({kind: 'used', key});
    if (this.#passthrough) {
      const backingId = this.#registerBacking(this.#contents.descriptor(key));
      if (backingId > 0) return this.#opened(nodeId, backingId);
      this.#withoutPassthrough(errnoName(-backingId));
    }
    this.#storeInPageCache(nodeId, node, key);
    return this.#opened(nodeId, 0);
  }

  #opened(nodeId: number, backingId: number): Result {
    this.#opens.add(nodeId, backingId);
    return {bodyBytes: full.encodeFileOpen(this.#body, backingId === 0 ? undefined : backingId)};
  }

  #release(nodeId: number): void {
    const backingId = this.#opens.remove(nodeId);
    if (backingId === undefined || backingId === 0) return;
    const argument = Buffer.alloc(4);
    argument.writeUInt32LE(backingId, 0);
    tryIoctl(this.device, full.deviceRequest.backingClose, argument);
  }

  /** @returns the kernel's number of it, or a negative errno */
  #registerBacking(descriptor: number): number {
    const argument = Buffer.alloc(16);
    argument.writeInt32LE(descriptor, 0);
    return tryIoctl(this.device, full.deviceRequest.backingOpen, argument);
  }

  /** Nobody has the file open, so nobody reads it: the one time at which this cannot wait for an answer that only we can give. */
  #storeInPageCache(nodeId: number, node: FileNode, key: string): void {
    if (node.sizeBytes > storedAtOpenBytes || this.#stored.has(nodeId)) return;
    this.#stored.add(nodeId);
    const data = Buffer.allocUnsafe(node.sizeBytes);
    this.#contents.read(key, 0, data);
    const written = tryWrite(this.device, full.encodeStore(nodeId, 0, data));
    if (written > 0) this.counts['store'] = (this.counts['store'] ?? 0) + 1;
  }

  #read(nodeId: number, node: ImageNode, range: {readonly offset: number; readonly size: number}): Result {
    if (node.kind !== 'file') return {errno: EISDIR};
    const end = Math.min(range.offset + Math.min(range.size, protocol.maxReadBytes), node.sizeBytes);
    if (end <= range.offset) return {bodyBytes: 0};
    const key = this.#tree.contentKey(nodeId, node);
    const pieces: number[] = [];
    for (let piece = Math.floor(range.offset / chunkBytes); piece * chunkBytes < end; piece += 1) if (!this.#contents.has(key, piece)) pieces.push(piece);
    if (pieces.length > 0) return {waitFor: {key, pieces}};
    this.#contents.read(key, range.offset, this.#body.subarray(0, end - range.offset));
    return {bodyBytes: end - range.offset};
  }

  #readdir(nodeId: number, node: ImageNode, range: {readonly offset: number; readonly size: number; readonly plus: boolean}): Result {
    if (node.kind !== 'directory') return {errno: ENOTDIR};
    const size = Math.min(range.size, protocol.maxReadBytes);
    return {bodyBytes: full.encodeFullDirectory(this.#body, this.#tree.entries(nodeId, node, range.offset), {size, plus: range.plus})};
  }

  #getAttribute(node: ImageNode, {name, size}: {readonly name: string; readonly size: number}): Result {
    // The kernel does not ask again.
    if (!this.#tree.hasAttributes) return {errno: ENOSYS};
    const value = node.attributes.get(name);
    return value === undefined ? {errno: ENODATA} : this.#attribute(value, size);
  }

  #list(node: ImageNode, size: number): Result {
    return this.#attribute(Buffer.from([...node.attributes.keys()].map((name) => `${name}\0`).join(''), 'latin1'), size);
  }

  #attribute(value: Buffer, size: number): Result {
    if (size === 0) return {bodyBytes: full.encodeAttributeLength(this.#body, value.length)};
    return value.length > size ? {errno: ERANGE} : {bodyBytes: value.copy(this.#body)};
  }

  #reportError(message: string): void {
    this.#report({kind: 'error', mount: this.mount, message});
  }
}

const sigkill = 1n << 8n;

function isBeingKilled(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return [...status.matchAll(/^(?:Sig|Shd)Pnd:\t([0-9a-f]+)$/gm)].some(([, bits]) => (BigInt(`0x${bits ?? '0'}`) & sigkill) !== 0n);
  } catch {
    return true; // It is gone.
  }
}
