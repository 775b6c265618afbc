import {join} from 'node:path';
import type {Config} from '../config/value.ts';
import {createLog} from '../core/log.ts';
import {openDirectoryStore} from '../store/directory-store.ts';
import type {ObjectStore} from '../store/object-store.ts';

/** The object store of a configuration, for a command beside the gateway. @param scope closes it */
export async function openObjects({global: {store}}: Config, scope: AsyncDisposableStack): Promise<ObjectStore> {
  if (store.kind === 'directory') return openDirectoryStore(store.path);
  const {openS3Store} = await import('../store/s3-store.ts');
  const {bucket, prefix, endpoint, region, pathStyle} = store;
  return scope.use(await openS3Store({bucket, prefix, endpoint, region, pathStyle, log: createLog('silent')}));
}

/** What only this host has of a remote store: checkpoints that wait to be uploaded. Null: the store is here. */
export async function openPending({global: {store, stateDir}}: Config): Promise<ObjectStore | null> {
  return store.kind === 'directory' ? null : openDirectoryStore(join(stateDir, 'store'));
}
