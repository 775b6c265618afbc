/**
 * The tree of files that layers make, one on top of the other. Nothing is written anywhere: whatever path a layer names, it stays below the root,
 * as `..` of the root is the root and symbolic links are followed in this tree only. The content of a file is named by its place, and read once it
 * is known which files are left.
 */
import {CodedError} from '../../../core/errors.ts';
import type {ImageNode, NodeMetadata} from '../rootfs-image-tree.ts';
import {readable, type TarEntry} from './tar-reader.ts';

/** A file's content: the entry of this number in the layer of this number. */
export interface ContentPlace {
  readonly layer: number;
  readonly entry: number;
  readonly sizeBytes: number;
}

interface DraftDirectory extends NodeMetadata {
  readonly kind: 'directory';
  readonly children: Map<string, Draft>;
}

interface DraftFile extends NodeMetadata {
  readonly kind: 'file';
  readonly place: ContentPlace;
}

type Draft = DraftDirectory | DraftFile | (NodeMetadata & Exclude<ImageNode, {kind: 'directory' | 'file'}>);

/** What a layer says of one file, without its content. */
export type LayerEntry = Omit<TarEntry, 'content'>;

const linksMax = 40;
const nameBytesMax = 255;
const targetBytesMax = 4095;
const whiteout = '.wh.';
const opaque = '.wh..wh..opq';

function refused(entry: Pick<LayerEntry, 'name'>, found: string): CodedError<'ERR_BAD_ARCHIVE'> {
  return new CodedError('ERR_BAD_ARCHIVE', `"${readable(entry.name)}" ${found}`, {source: 'client'});
}

function madeDirectory(metadata: Partial<NodeMetadata> = {}): DraftDirectory {
  return {mode: 0o755, uid: 0, gid: 0, modifiedNs: 0n, attributes: new Map(), ...metadata, kind: 'directory', children: new Map()};
}

export class LayerTree {
  #root = madeDirectory();
  #layers = 0;

  /**
   * Puts the next layer on top.
   * @param options.whiteouts whether names that begin with `.wh.` remove what is below them, as in layers of OCI; otherwise they are names as any other
   * @throws CodedError ERR_BAD_ARCHIVE naming the entry
   */
  addLayer(entries: readonly LayerEntry[], {whiteouts}: {readonly whiteouts: boolean}): void {
    const layer = this.#layers++;
    // They hide what is in the layers below, never what is in their own, in whichever order it comes.
    if (whiteouts) for (const entry of entries) this.#removeHidden(entry);
    for (const [number, entry] of entries.entries()) {
      const isWhiteout = whiteouts && baseName(entry).startsWith(whiteout);
      if (!isWhiteout) this.#add(entry, {layer, entry: number, sizeBytes: entry.sizeBytes});
    }
  }

  /** Which contents are needed, each once. */
  places(): readonly ContentPlace[] {
    return [...new Set([...walk(this.#root)].flatMap((draft) => (draft.kind === 'file' ? [draft] : [])))].map(({place}) => place);
  }

  /**
   * The tree in its final form: nodes in the order of names, from the top down, as a directory with the same files gives it.
   * @param chunksOf the chunks of a content that `places()` named
   */
  nodes(chunksOf: (place: ContentPlace) => readonly number[]): readonly ImageNode[] {
    const numbers = new Map([...new Set(walk(this.#root))].map((draft, number) => [draft, number]));
    return [...numbers.keys()].map((draft): ImageNode => {
      if (draft.kind === 'file') {
        const {place, ...rest} = draft;
        return {...rest, sizeBytes: place.sizeBytes, chunks: chunksOf(place)};
      }
      if (draft.kind !== 'directory') return draft;
      return {...draft, children: new Map(sorted(draft).map(([name, child]) => [name, numbers.get(child) ?? 0]))};
    });
  }

  #removeHidden(entry: LayerEntry): void {
    const base = baseName(entry);
    if (!base.startsWith(whiteout)) return;
    const parent = this.#find(namesOf(entry).slice(0, -1), entry);
    if (base === opaque) parent?.children.clear();
    else if (!base.startsWith(`${whiteout}${whiteout}`)) {
      // Others that begin so are marks of a file system (AUFS), not files of the image.
      const hidden = base.slice(whiteout.length);
      if (hidden === '' || hidden === '.' || hidden === '..') throw refused(entry, 'removes no file');
      parent?.children.delete(hidden);
    }
  }

  #add(entry: LayerEntry, place: ContentPlace): void {
    const names = namesOf(entry);
    const base = names.pop();
    if (base === undefined) {
      if (entry.kind !== 'directory') throw refused(entry, 'is the root, and no directory');
      this.#root = {...madeDirectory(metadataOf(entry)), children: this.#root.children};
      return;
    }
    const parent = this.#make(names, entry);
    const existing = parent.children.get(base);
    if (entry.kind === 'link') {
      const target = this.#linked(entry);
      if (target !== existing) parent.children.set(base, target);
    } else if (entry.kind === 'directory' && existing?.kind === 'directory') {
      parent.children.set(base, {...madeDirectory(metadataOf(entry)), children: existing.children});
    } else parent.children.set(base, draftOf(entry, place));
  }

  #linked(entry: LayerEntry): Draft {
    const names = namesOf({name: entry.linkName});
    const base = names.pop();
    const target = base === undefined ? this.#root : this.#find(names, entry)?.children.get(base);
    if (target === undefined) throw refused(entry, `is a link to "${readable(entry.linkName)}", which is not there`);
    if (target.kind === 'directory') throw refused(entry, `is a link to "${readable(entry.linkName)}", a directory`);
    return target;
  }

  #make(names: readonly string[], entry: LayerEntry): DraftDirectory {
    const found = this.#walk(names, {entry, make: true});
    if (found === undefined) throw refused(entry, 'is in no directory');
    return found;
  }

  #find(names: readonly string[], entry: LayerEntry): DraftDirectory | undefined {
    return this.#walk(names, {entry, make: false});
  }

  /** The directory at the end of a path, links followed. Undefined: there is none, unless missing ones are to be made. */
  #walk(names: readonly string[], {entry, make}: {readonly entry: LayerEntry; readonly make: boolean}): DraftDirectory | undefined {
    const path = [this.#root];
    const left = names.toReversed();
    let links = 0;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      const directory = path.at(-1) ?? this.#root;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (path.length > 1) path.pop();
        continue;
      }
      let child = directory.children.get(name);
      if (child === undefined) {
        if (!make) return undefined;
        child = madeDirectory();
        directory.children.set(name, child);
      }
      if (child.kind === 'symlink') {
        links += 1;
        if (links > linksMax) throw refused(entry, 'is below too many symbolic links');
        if (child.target.startsWith('/')) path.length = 1;
        left.push(...child.target.split('/').toReversed());
      } else if (child.kind === 'directory') path.push(child);
      else if (make) throw refused(entry, `is below "${readable(name)}", which is no directory`);
      else return undefined;
    }
    return path.at(-1);
  }
}

/** @throws CodedError ERR_BAD_ARCHIVE for a name that leads upwards, or that no file can have */
function namesOf(entry: Pick<LayerEntry, 'name'>): string[] {
  const names = entry.name.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw refused(entry, 'leads out of the directory that it is in');
  if (names.some((name) => name.length > nameBytesMax)) throw refused(entry, `has a part of more than ${nameBytesMax} bytes`);
  if (entry.name.includes('\0')) throw refused(entry, 'has a NUL in it');
  return names;
}

function baseName({name}: Pick<LayerEntry, 'name'>): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function metadataOf({mode, uid, gid, modifiedNs, attributes}: LayerEntry): NodeMetadata {
  return {mode, uid, gid, modifiedNs, attributes};
}

function draftOf(entry: LayerEntry, place: ContentPlace): Draft {
  const metadata = metadataOf(entry);
  switch (entry.kind) {
    case 'file':
      return {...metadata, kind: 'file', place};
    case 'directory':
      return madeDirectory(metadata);
    case 'symlink':
      if (entry.linkName === '') throw refused(entry, 'is a symbolic link to nothing');
      if (entry.linkName.length > targetBytesMax) throw refused(entry, `is a symbolic link to a path of more than ${targetBytesMax} bytes`);
      return {...metadata, mode: 0o777, kind: 'symlink', target: entry.linkName};
    case 'character':
    case 'block':
      return {...metadata, kind: entry.kind, device: entry.device};
    case 'fifo':
      return {...metadata, kind: 'fifo'};
    case 'link':
      throw new CodedError('ERR_ASSERTION', 'A link is no file of its own', {source: 'bug'});
    default:
      return entry.kind satisfies never;
  }
}

function sorted({children}: DraftDirectory): [string, Draft][] {
  return [...children].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** All below it and itself, from the top down; without recursion, as nobody limits how deep it is. */
function* walk(root: Draft): Generator<Draft, void, void> {
  const left = [root];
  for (let draft = left.pop(); draft !== undefined; draft = left.pop()) {
    yield draft;
    if (draft.kind !== 'directory') continue;
    for (const [, child] of sorted(draft).toReversed()) left.push(child);
  }
}
