/** The tree of an image as the kernel asks for it: nodes by id, with attributes. A node's id is its place in the image plus one, for ever. */
import type {FullAttributes, FullDirectoryEntry} from './fuse-image-protocol.ts';
import {contentKey, type ImageNode, type ImageTree} from './rootfs-image-tree.ts';

const typeBits = {directory: 0o040000, file: 0o100000, symlink: 0o120000, fifo: 0o010000, socket: 0o140000, character: 0o020000, block: 0o060000} as const;

const second = 1_000_000_000n;
const noDevice = {major: 0, minor: 0} as const;

export type FileNode = Extract<ImageNode, {kind: 'file'}>;

export class FuseImageTree {
  readonly #tree: ImageTree;
  /** Of each directory but the root, by number. */
  readonly #parents = new Map<number, number>();
  readonly #links = new Map<number, number>();
  readonly #keys = new Map<number, string>();
  readonly hasAttributes: boolean;
  readonly hasAcls: boolean;

  constructor(tree: ImageTree) {
    this.#tree = tree;
    for (const [number, node] of tree.nodes.entries()) {
      if (node.kind !== 'directory') continue;
      for (const child of node.children.values()) {
        if (tree.nodes[child]?.kind === 'directory') this.#parents.set(child, number);
        this.#links.set(child, (this.#links.get(child) ?? 0) + 1);
      }
    }
    const names = new Set(tree.nodes.flatMap(({attributes}) => [...attributes.keys()]));
    this.hasAttributes = names.size > 0;
    this.hasAcls = names.has('system.posix_acl_access') || names.has('system.posix_acl_default');
  }

  get nodeCount(): number {
    return this.#tree.nodes.length;
  }

  get contentBytes(): number {
    return this.#tree.nodes.reduce((sum, node) => sum + (node.kind === 'file' ? node.sizeBytes : 0), 0);
  }

  get(nodeId: number): ImageNode | undefined {
    return this.#tree.nodes[nodeId - 1];
  }

  /** @param name may be `.` or `..`, by which the kernel asks for a node of which it knows only the id */
  child(nodeId: number, name: string): number | undefined {
    if (name === '.') return nodeId;
    if (name === '..') return (this.#parents.get(nodeId - 1) ?? 0) + 1;
    const node = this.get(nodeId);
    const child = node?.kind === 'directory' ? node.children.get(name) : undefined;
    return child === undefined ? undefined : child + 1;
  }

  attributes(nodeId: number, node: ImageNode): FullAttributes {
    const nanoseconds = ((node.modifiedNs % second) + second) % second;
    return {
      nodeId,
      mode: typeBits[node.kind] | node.mode,
      links: node.kind === 'directory' ? 2 + this.#subdirectories(node) : (this.#links.get(nodeId - 1) ?? 1),
      uid: node.uid,
      gid: node.gid,
      device: 'device' in node ? node.device : noDevice,
      sizeBytes: node.kind === 'file' ? node.sizeBytes : node.kind === 'symlink' ? node.target.length : node.kind === 'directory' ? 4096 : 0,
      modifiedSeconds: Number((node.modifiedNs - nanoseconds) / second),
      modifiedNanoseconds: Number(nanoseconds),
    };
  }

  #subdirectories(node: Extract<ImageNode, {kind: 'directory'}>): number {
    let count = 0;
    for (const child of node.children.values()) if (this.#tree.nodes[child]?.kind === 'directory') count += 1;
    return count;
  }

  /** The entries of a directory behind `offset`, which counts them. */
  *entries(nodeId: number, node: Extract<ImageNode, {kind: 'directory'}>, offset: number): IterableIterator<FullDirectoryEntry> {
    let nextOffset = 0;
    const all = [['.', nodeId - 1] as const, ['..', this.#parents.get(nodeId - 1) ?? 0] as const, ...node.children];
    for (const [name, number] of all.slice(offset)) {
      nextOffset += 1;
      const child = this.#tree.nodes[number];
      if (child !== undefined) yield {name, node: this.attributes(number + 1, child), nextOffset: offset + nextOffset};
    }
  }

  /** Names the content of a file: files of the same content share it, in this image and in others. */
  contentKey(nodeId: number, node: FileNode): string {
    const known = this.#keys.get(nodeId);
    if (known !== undefined) return known;
    const key = contentKey(node.chunks.map((index) => this.#tree.chunks[index] ?? {digest: '', sizeBytes: 0}));
    this.#keys.set(nodeId, key);
    return key;
  }
}
