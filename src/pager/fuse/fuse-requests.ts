import {constants} from 'node:os';
import type {ExtentReader} from './fuse-extents.ts';
import * as protocol from './fuse-protocol.ts';
import type {FuseTree} from './fuse-tree.ts';

const {EACCES, EIO, EISDIR, ENOENT, ENOSYS, ENOTDIR, EROFS, ESTALE} = constants.errno;

const accessMode = 0o3;
const maskWrite = 2;
const maskExecute = 1;

/** The result of one request: the length of the answer's body, or a positive errno. */
type Result = {readonly bodyBytes: number} | {readonly errno: number};

/** Answers requests from the tree. One answer buffer serves all, since one request is handled at a time. */
export class RequestHandler {
  readonly #out = Buffer.alloc(protocol.replyHeaderBytes + protocol.maxReadBytes);
  readonly #body = this.#out.subarray(protocol.replyHeaderBytes);
  readonly #tree: FuseTree;
  readonly #reader: ExtentReader;
  readonly #onReadError: (error: unknown, nodeId: number) => void;

  constructor(tree: FuseTree, reader: ExtentReader, onReadError: (error: unknown, nodeId: number) => void) {
    this.#tree = tree;
    this.#reader = reader;
    this.#onReadError = onReadError;
  }

  /** @returns the answer, valid until the next call; undefined when the kernel expects none */
  handle(request: protocol.Request): Buffer | undefined {
    // Everything is answered at once, so an interruption always comes too late.
    if (request.operation.kind === 'unanswered' || request.operation.kind === 'interrupt') return undefined;
    const result = this.#answer(request.nodeId, request.operation);
    const length =
      'errno' in result ? protocol.encodeError(this.#out, request.unique, result.errno) : protocol.encodeHeader(this.#out, request.unique, result.bodyBytes);
    return this.#out.subarray(0, length);
  }

  #answer(nodeId: number, operation: Exclude<protocol.Operation, {kind: 'unanswered' | 'interrupt'}>): Result {
    switch (operation.kind) {
      case 'init':
        return {bodyBytes: operation.major > 7 ? protocol.encodeOlderMajor(this.#body) : protocol.encodeInit(this.#body, operation)};
      case 'lookup':
        return this.#lookup(nodeId, operation.name);
      case 'getattr': {
        const node = this.#tree.get(nodeId);
        return node === undefined ? {errno: ESTALE} : {bodyBytes: protocol.encodeAttributesReply(this.#body, node)};
      }
      case 'open':
      case 'opendir':
        return this.#open(nodeId, operation);
      case 'read':
        return this.#read(nodeId, operation);
      case 'readdir': {
        const node = this.#tree.get(nodeId);
        if (node === undefined) return {errno: ESTALE};
        if (node.kind === 'file') return {errno: ENOTDIR};
        const size = Math.min(operation.size, protocol.maxReadBytes);
        return {bodyBytes: protocol.encodeDirectory(this.#body, this.#tree.entries(node, operation.offset), size)};
      }
      case 'statfs':
        return {bodyBytes: protocol.encodeStatfs(this.#body, {blocks: 0, files: this.#tree.nodeCount})};
      case 'access':
        return this.#access(nodeId, operation.mask);
      case 'release':
      case 'releasedir':
      case 'flush':
      case 'destroy':
        return {bodyBytes: 0};
      case 'change':
        return {errno: EROFS};
      case 'readlink':
      case 'readdirplus':
      case 'getxattr':
      case 'listxattr':
      case 'unsupported':
        return {errno: ENOSYS};
      default:
        return operation satisfies never;
    }
  }

  #lookup(nodeId: number, name: string): Result {
    const parent = this.#tree.get(nodeId);
    if (parent === undefined) return {errno: ESTALE};
    if (parent.kind === 'file') return {errno: ENOTDIR};
    const node = parent.children.get(name);
    if (node === undefined) return {errno: ENOENT};
    // Directories come and go, so their names are asked for each time; the files of one never change.
    return {bodyBytes: protocol.encodeEntry(this.#body, node, nodeId === protocol.rootNodeId ? 0 : protocol.foreverSeconds)};
  }

  #open(nodeId: number, operation: {readonly kind: 'open' | 'opendir'; readonly flags: number}): Result {
    const node = this.#tree.get(nodeId);
    if (node === undefined) return {errno: ESTALE};
    if (operation.kind === 'opendir' && node.kind === 'file') return {errno: ENOTDIR};
    if ((operation.flags & accessMode) !== 0) return {errno: EROFS};
    return {bodyBytes: protocol.encodeOpen(this.#body, node.kind === 'file' && node.hasAbsent ? 'file without read-ahead' : node.kind)};
  }

  #read(nodeId: number, range: {readonly offset: number; readonly size: number}): Result {
    const node = this.#tree.get(nodeId);
    if (node === undefined) return {errno: ESTALE};
    if (node.kind === 'directory') return {errno: EISDIR};
    try {
      return {bodyBytes: this.#reader.read(node, {offset: range.offset, size: Math.min(range.size, protocol.maxReadBytes)}, this.#body, 0)};
    } catch (error) {
      this.#onReadError(error, nodeId);
      return {errno: EIO};
    }
  }

  #access(nodeId: number, mask: number): Result {
    const node = this.#tree.get(nodeId);
    if (node === undefined) return {errno: ESTALE};
    if ((mask & maskWrite) !== 0) return {errno: EROFS};
    return (mask & maskExecute) !== 0 && node.kind === 'file' ? {errno: EACCES} : {bodyBytes: 0};
  }
}
