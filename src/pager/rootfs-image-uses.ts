/** Which images the stored checkpoints of apps need: an app must wake on the root that it fell asleep with. */
import {appName, generation} from '../core/ids.ts';
import {createLog} from '../core/log.ts';
import type {ObjectStore} from '../store/object-store.ts';
import {openCheckpointStore} from './checkpoint-store.ts';

/** @throws CodedError when a generation cannot be read: what it needs is not known, so nothing may go */
export async function imagesOfCheckpoints(objects: ObjectStore): Promise<ReadonlySet<string>> {
  const store = openCheckpointStore({objects, log: createLog('silent')});
  const apps = new Set((await objects.list('apps/')).map(({key}) => key.split('/')[1] ?? ''));
  const digests = new Set<string>();
  for (const name of apps) {
    const app = appName(name);
    for (const number of await store.generations(app)) {
      const {meta} = await store.meta(app, generation(number));
      if (typeof meta === 'object' && meta !== null && 'image' in meta && typeof meta.image === 'string') digests.add(meta.image);
    }
  }
  return digests;
}
