/**
 * The tree of an image: every file of a root file system with all its metadata, and the chunks its content consists of. Its JSON text has one
 * form only, so that the digest of the text names the content. Names and link targets are bytes, written as one character (U+0000 to U+00FF) each.
 */
import {createHash} from 'node:crypto';
import {CodedError} from '../../core/errors.ts';

/** A piece of a file's content. The last one of a file may be shorter than `chunkBytes`; the others are not. */
export interface Chunk {
  /** SHA-256 of the content, hexadecimal. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export const chunkBytes = 256 * 1024;

export interface NodeMetadata {
  /** Permissions and the bits setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedNs: bigint;
  readonly attributes: ReadonlyMap<string, Buffer>;
}

export type NodeContent =
  | {readonly kind: 'directory'; readonly children: ReadonlyMap<string, number>}
  /** `chunks` are indexes into the tree's. */
  | {readonly kind: 'file'; readonly sizeBytes: number; readonly chunks: readonly number[]}
  | {readonly kind: 'symlink'; readonly target: string}
  | {readonly kind: 'fifo' | 'socket'}
  | {readonly kind: 'character' | 'block'; readonly device: {readonly major: number; readonly minor: number}};

export type ImageNode = NodeMetadata & NodeContent;

/** A node is named by its place in `nodes`; the root is 0. Hard links are several names of one node. */
export interface ImageTree {
  readonly nodes: readonly ImageNode[];
  readonly chunks: readonly Chunk[];
}

const format = 1;

interface NodeText {
  kind: ImageNode['kind'];
  mode: number;
  uid: number;
  gid: number;
  /** Seconds and nanoseconds. */
  modified: readonly [number, number];
  attributes?: Readonly<Record<string, string>>;
  children?: readonly (readonly [string, number])[];
  sizeBytes?: number;
  chunks?: readonly number[];
  target?: string;
  device?: readonly [number, number];
}

interface TreeText {
  readonly format: number;
  readonly nodes: readonly NodeText[];
  readonly chunks: readonly (readonly [string, number])[];
}

const second = 1_000_000_000n;

export function encodeTree(tree: ImageTree): Buffer {
  const text: TreeText = {format, nodes: tree.nodes.map(encodeNode), chunks: tree.chunks.map(({digest, sizeBytes}) => [digest, sizeBytes])};
  return Buffer.from(JSON.stringify(text));
}

function encodeNode(node: ImageNode): NodeText {
  const nanoseconds = ((node.modifiedNs % second) + second) % second;
  const text: NodeText = {
    kind: node.kind,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    modified: [Number((node.modifiedNs - nanoseconds) / second), Number(nanoseconds)],
  };
  if (node.attributes.size > 0) {
    const sorted = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1));
    text.attributes = Object.fromEntries(sorted.map(([name, value]) => [name, value.toString('base64')]));
  }
  switch (node.kind) {
    case 'directory':
      return {...text, children: [...node.children]};
    case 'file':
      return {...text, sizeBytes: node.sizeBytes, chunks: node.chunks};
    case 'symlink':
      return {...text, target: node.target};
    case 'character':
    case 'block':
      return {...text, device: [node.device.major, node.device.minor]};
    case 'fifo':
    case 'socket':
      return text;
    default:
      return node satisfies never;
  }
}

/** @param data checked against its digest before. @throws CodedError ERR_IMAGE_FORMAT when a newer version wrote it */
export function decodeTree(data: Uint8Array): ImageTree {
  const text = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString()) as TreeText;
  if (text.format !== format) {
    throw new CodedError('ERR_IMAGE_FORMAT', `Cannot read an image of format ${text.format}: this version knows ${format}`, {source: 'host'});
  }
  return {nodes: text.nodes.map(decodeNode), chunks: text.chunks.map(([digest, sizeBytes]) => ({digest, sizeBytes}))};
}

const noAttributes: ReadonlyMap<string, Buffer> = new Map();

function decodeNode(text: NodeText): ImageNode {
  const {mode, uid, gid, kind} = text;
  const modifiedNs = BigInt(text.modified[0]) * second + BigInt(text.modified[1]);
  const attributes =
    text.attributes === undefined ? noAttributes : new Map(Object.entries(text.attributes).map(([name, value]) => [name, Buffer.from(value, 'base64')]));
  const metadata: NodeMetadata = {mode, uid, gid, modifiedNs, attributes};
  switch (kind) {
    case 'directory':
      return {...metadata, kind, children: new Map(text.children)};
    case 'file':
      return {...metadata, kind, sizeBytes: text.sizeBytes ?? 0, chunks: text.chunks ?? []};
    case 'symlink':
      return {...metadata, kind, target: text.target ?? ''};
    case 'character':
    case 'block':
      return {...metadata, kind, device: {major: text.device?.[0] ?? 0, minor: text.device?.[1] ?? 0}};
    case 'fifo':
    case 'socket':
      return {...metadata, kind};
    default:
      return kind satisfies never;
  }
}

/** The chunks that the files of a tree have, in the order in which they come first; that order is part of the tree. */
export function chunkOrder(nodes: readonly ImageNode[]): readonly number[] {
  return [...new Set(nodes.flatMap((node) => (node.kind === 'file' ? node.chunks : [])))];
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Names the content of a file, whichever image it is in: the name of its local copy. */
export function contentKey(chunks: readonly Chunk[]): string {
  const [first] = chunks;
  return first !== undefined && chunks.length === 1 ? first.digest : sha256(Buffer.from(chunks.map(({digest}) => digest).join('')));
}
