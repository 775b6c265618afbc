/** Which images the stored checkpoints of apps need: an app must wake on the root that it fell asleep with. */
import {errorCode} from '../../core/errors.ts';
import {appName} from '../../core/ids.ts';
import type {ListedObject, ObjectStore} from '../../store/object-store.ts';
import {readManifest} from '../checkpoints/checkpoint.ts';
import {numberInKey} from '../checkpoints/checkpoint-keys.ts';

const manifestKey = /^apps\/([^/]+)\/manifests\//;

/** @throws CodedError when a generation cannot be read: what it needs is not known, so nothing may go */
export async function imagesOfCheckpoints(objects: ObjectStore): Promise<ReadonlySet<string>> {
  return imagesIn(objects, await objects.list('apps/'));
}

/** The same of those manifests that are among these objects. */
export async function imagesIn(objects: ObjectStore, listed: readonly ListedObject[]): Promise<ReadonlySet<string>> {
  const digests = new Set<string>();
  for (const {key} of listed) {
    const name = manifestKey.exec(key)?.[1];
    const generation = numberInKey(key);
    if (name === undefined || generation === undefined) continue;
    try {
      const {rootImage} = await readManifest(objects, appName(name), generation);
      if (rootImage !== null) digests.add(rootImage);
    } catch (error) {
      // One that was pruned meanwhile needs nothing.
      if (errorCode(error) !== 'ERR_NO_OBJECT') throw error;
    }
  }
  return digests;
}
