/** CRIU's images as files of a directory, for a restore that is prepared: nobody has to be asked, and woken, for one when it is needed. */
import {mkdir, open, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {assert} from '../core/errors.ts';
import type {FuseFiles} from './fuse/fuse-files.ts';

export interface ImageFiles extends AsyncDisposable {
  readonly directory: string;
}

/**
 * Writes what is served from memory; pages that CRIU leaves to userfaultfd are holes.
 * @param directory is made; on a tmpfs, since the pages of an app with a key must not come to a disk. The caller disposes what it gets.
 */
export async function writeImages(directory: string, files: FuseFiles): Promise<ImageFiles> {
  await using scope = new AsyncDisposableStack();
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  await mkdir(directory, {mode: 0o700});
  for (const [name, extents] of files) {
    await using file = await open(join(directory, name), 'wx', 0o600);
    let position = 0;
    for (const {length, source} of extents) {
      if (source.kind === 'bytes') {
        const {bytesWritten} = await file.write(source.data, 0, length, position);
        assert(bytesWritten === length, `Of ${length} bytes of image "${name}" only ${bytesWritten} were written`);
      }
      position += length;
    }
    await file.truncate(position);
  }
  const owned = scope.move();
  return {directory, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
