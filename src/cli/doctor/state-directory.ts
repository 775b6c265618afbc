import {stat} from 'node:fs/promises';
import {dirname} from 'node:path';
import {errorCode} from '../../core/errors.ts';

/** Where a gateway keeps its state when the configuration names no other place. */
export const defaultStateDirectory = '/var/lib/picogate';

/** `path`, or the nearest directory above it that exists. */
export async function nearestDirectory(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || path === '/') throw error;
    return nearestDirectory(dirname(path));
  }
}
