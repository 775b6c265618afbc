/** Reads what FUSE would serve, without FUSE. */
import {mkdir, open, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {Extent, FuseFiles} from '../../src/pager/fuse-files.ts';

async function extentBytes({length, source}: Extent): Promise<Buffer> {
  switch (source.kind) {
    case 'bytes':
      return Buffer.from(source.data);
    case 'zero':
      return Buffer.alloc(length);
    case 'file': {
      await using file = await open(source.path, 'r');
      const data = Buffer.alloc(length);
      await file.read(data, 0, length, source.position);
      return data;
    }
    default:
      return source satisfies never;
  }
}

export async function fileBytes(files: FuseFiles, name: string): Promise<Buffer> {
  const extents = files.get(name);
  if (extents === undefined) throw new Error(`there is no ${name}`);
  return Buffer.concat(await Promise.all(extents.map(extentBytes)));
}

/** Writes the files into a plain directory. */
export async function writeFuseFiles(files: FuseFiles, directory: string): Promise<void> {
  await mkdir(directory, {recursive: true});
  for (const name of files.keys()) await writeFile(join(directory, name), await fileBytes(files, name));
}
