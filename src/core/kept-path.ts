/** Paths of which there are thousands. */
import {join} from 'node:path';

/** As `join()`, whose result is a chain of the pieces that it was put together from, with ten times the memory of its characters, until somebody reads it. */
export function keptPath(...parts: readonly string[]): string {
  return Buffer.from(join(...parts)).toString();
}
