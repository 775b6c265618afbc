/** What a pager writes down of its mounts of images, so that the next one can take them over when it is killed. */
import {readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {errorCode} from '../../core/errors.ts';
import type {Keeper} from '../faults/parking.ts';

export interface MountRecord {
  /** The name under which the device is parked; never used twice. */
  readonly space: number;
  readonly digest: string;
  /** Apps whose root it is. */
  readonly apps: readonly string[];
}

export interface MountRecords {
  readonly keeper: Keeper | null;
  readonly nextSpace: number;
  readonly mounts: readonly MountRecord[];
}

export class ImageMountFiles {
  readonly #directory: string;

  /** @param directory is the images' alone */
  constructor(directory: string) {
    this.#directory = directory;
  }

  mountPoint(space: number): string {
    return join(this.#directory, String(space));
  }

  opensPath(space: number): string {
    return join(this.#directory, `${space}.opens`);
  }

  /** A copy of the image's tree: whoever takes over does not depend on the store. */
  imagePath(space: number): string {
    return join(this.#directory, `${space}.image`);
  }

  remove(space: number): void {
    rmSync(this.opensPath(space), {force: true});
    rmSync(this.imagePath(space), {force: true});
  }

  read(): MountRecords {
    try {
      return JSON.parse(readFileSync(this.#path, 'utf8')) as MountRecords;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      return {keeper: null, nextSpace: 1, mounts: []};
    }
  }

  write(records: MountRecords): void {
    writeFileSync(`${this.#path}.new`, JSON.stringify(records), {mode: 0o600});
    renameSync(`${this.#path}.new`, this.#path);
  }

  get #path(): string {
    return join(this.#directory, 'mounts.json');
  }
}
