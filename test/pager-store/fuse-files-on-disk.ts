/** Reads what FUSE would serve, without FUSE. */
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {ExtentReader} from '../../src/pager/fuse/fuse-extents.ts';
import type {FuseFiles} from '../../src/pager/fuse/fuse-files.ts';
import {FuseTree} from '../../src/pager/fuse/fuse-tree.ts';

export function fileBytes(files: FuseFiles, name: string): Buffer {
  const tree = new FuseTree();
  tree.add('all', files);
  const node = tree.remove('all')[[...files.keys()].indexOf(name)];
  if (node === undefined) throw new Error(`there is no ${name}`);
  using reader = new ExtentReader();
  const data = Buffer.alloc(node.sizeBytes);
  reader.read(node, {offset: 0, size: data.length}, data, 0);
  return data;
}

/** Writes the files into a plain directory. */
export async function writeFuseFiles(files: FuseFiles, directory: string): Promise<void> {
  await mkdir(directory, {recursive: true});
  for (const name of files.keys()) await writeFile(join(directory, name), fileBytes(files, name));
}
