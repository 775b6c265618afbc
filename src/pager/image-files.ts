/** CRIU's images as files of a directory: nobody has to be asked, and woken, for one when it is needed. */
import {closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import {assert} from '../core/errors.ts';
import type {Extent, FuseFiles} from './fuse/fuse-files.ts';

export interface ImageFiles extends AsyncDisposable {
  readonly directory: string;
}

/**
 * Writes what is served from memory; pages that CRIU leaves to userfaultfd are holes.
 * @param directory is made; on a tmpfs, since the pages of an app with a key must not come to a disk. The caller disposes what it gets.
 */
export function writeImages(directory: string, files: FuseFiles): ImageFiles {
  mkdirSync(directory, {mode: 0o700});
  try {
    // At once: to wake another thread for each of them takes longer.
    for (const [name, extents] of files) writeImage(join(directory, name), extents);
  } catch (error) {
    rmSync(directory, {recursive: true, force: true});
    throw error;
  }
  return {directory, [Symbol.asyncDispose]: () => rm(directory, {recursive: true, force: true})};
}

function writeImage(path: string, extents: readonly Extent[]): void {
  const file = openSync(path, 'wx', 0o600);
  using _closed = {[Symbol.dispose]: () => closeSync(file)};
  let position = 0;
  for (const {length, source} of extents) {
    if (source.kind === 'bytes') {
      const written = writeSync(file, source.data, 0, length, position);
      assert(written === length, `Of ${length} bytes of image "${path}" only ${written} were written`);
    }
    position += length;
  }
  ftruncateSync(file, position);
}
