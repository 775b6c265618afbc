import {assert} from '../../core/errors.ts';
import type {Extent, FuseFiles} from './fuse-files.ts';
import {type Attributes, type DirectoryEntry, rootNodeId} from './fuse-protocol.ts';

export interface FileNode extends Attributes {
  readonly kind: 'file';
  readonly extents: readonly Extent[];
  /** Where in the file each extent starts. */
  readonly starts: readonly number[];
  /** Parts of it are not there, so that nothing may be read that nobody asks for. */
  readonly hasAbsent: boolean;
}

export interface DirectoryNode extends Attributes {
  readonly kind: 'directory';
  readonly children: Map<string, FileNode | DirectoryNode>;
}

// Offsets 1 and 2 within a directory are behind `.` and `..`; a child's is its node id, so ids start above them.
const firstNodeId = 16;

/**
 * Root, directories, files. Node ids are never used twice, so whatever the kernel remembers of a removed directory can
 * never be taken for a later one of the same name.
 */
export class FuseTree {
  readonly #nodes = new Map<number, FileNode | DirectoryNode>();
  readonly #root: DirectoryNode;
  #nextNodeId = firstNodeId;

  constructor() {
    this.#root = {kind: 'directory', nodeId: rootNodeId, sizeBytes: 0, modifiedSeconds: now(), children: new Map()};
    this.#nodes.set(rootNodeId, this.#root);
  }

  get nodeCount(): number {
    return this.#nodes.size;
  }

  get(nodeId: number): FileNode | DirectoryNode | undefined {
    return this.#nodes.get(nodeId);
  }

  add(name: string, files: FuseFiles): void {
    assert(!this.#root.children.has(name), `The FUSE directory "${name}" is there already`);
    const children = new Map<string, FileNode>();
    const directory: DirectoryNode = {kind: 'directory', nodeId: this.#nextNodeId++, sizeBytes: 0, modifiedSeconds: now(), children};
    for (const [fileName, extents] of files) {
      const starts: number[] = [];
      let sizeBytes = 0;
      for (const extent of extents) {
        starts.push(sizeBytes);
        sizeBytes += extent.length;
      }
      const hasAbsent = extents.some(({source}) => source.kind === 'absent');
      const {modifiedSeconds} = directory;
      children.set(fileName, {kind: 'file', nodeId: this.#nextNodeId++, sizeBytes, modifiedSeconds, extents, starts, hasAbsent});
    }
    for (const node of [directory, ...children.values()]) this.#nodes.set(node.nodeId, node);
    this.#root.children.set(name, directory);
  }

  /** @returns the files that went away with it; none if there was no such directory */
  remove(name: string): FileNode[] {
    const directory = this.#root.children.get(name);
    if (directory?.kind !== 'directory') return [];
    this.#root.children.delete(name);
    this.#nodes.delete(directory.nodeId);
    const files = [...directory.children.values()].filter((node) => node.kind === 'file');
    for (const file of files) this.#nodes.delete(file.nodeId);
    return files;
  }

  /** The entries of a directory behind `offset`. Children come in the order of their ids, so an offset stays right while others come and go. */
  *entries(directory: DirectoryNode, offset: number): IterableIterator<DirectoryEntry> {
    if (offset < 1) yield {nodeId: directory.nodeId, name: '.', kind: 'directory', nextOffset: 1};
    if (offset < 2) yield {nodeId: rootNodeId, name: '..', kind: 'directory', nextOffset: 2};
    for (const [name, node] of directory.children) {
      if (node.nodeId > offset) yield {nodeId: node.nodeId, name, kind: node.kind, nextOffset: node.nodeId};
    }
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
