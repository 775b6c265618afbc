import {lstat, readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode} from '../core/errors.ts';
import {droppableLayers} from './layer-chain.ts';

/** What the layers of an app take on this worker's disk. */
export async function layerBytes(layersDir: string): Promise<number> {
  let sum = 0;
  for (const layer of await droppableLayers(layersDir)) sum += await bytesIn(join(layersDir, layer));
  return sum;
}

/** What a directory takes on the disk, with all that is in it; what vanishes meanwhile counts as nothing. */
async function bytesIn(path: string): Promise<number> {
  try {
    const found = await lstat(path);
    if (!found.isDirectory()) return found.blocks * 512;
    let sum = found.blocks * 512;
    for (const name of await readdir(path)) sum += await bytesIn(join(path, name));
    return sum;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 0;
    throw error;
  }
}
