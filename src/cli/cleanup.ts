import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {lockFile} from '../store/directory-lock.ts';
import {loadValid} from './configuration.ts';
import {removeLeftovers} from './host-leftovers.ts';

/** Removes what a gateway that was killed left in the kernel. Checkpoints and files stay. @returns the exit status */
export async function cleanup(files: readonly string[] | undefined): Promise<number> {
  const config = await loadValid(files, {quiet: true});
  await mkdir(config.global.stateDir, {recursive: true, mode: 0o700});
  using _lock = lockFile(join(config.global.stateDir, 'lock'), `state directory "${config.global.stateDir}"`);
  await removeLeftovers(config);
  return 0;
}
