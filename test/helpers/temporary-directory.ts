import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

/** A new empty directory, removed with all it holds when disposed. */
export async function temporaryDirectory(): Promise<{path: string} & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'picogate-test-'));
  return {path, [Symbol.asyncDispose]: async () => rm(path, {recursive: true, force: true})};
}
