/** Images of root file systems in the object store: import, list, remove. Works beside a running gateway. */
import {mkdir} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import type {Config} from '../config/value.ts';
import {createLog} from '../core/log.ts';
import {importImage} from '../pager/images/rootfs-image-import.ts';
import {listImages, removeImage} from '../pager/images/rootfs-image-remove.ts';
import {imagesOfCheckpoints} from '../pager/images/rootfs-image-uses.ts';
import {openDirectoryStore} from '../store/directory-store.ts';
import type {ObjectStore} from '../store/object-store.ts';
import {loadValid} from './configuration.ts';
import {bytes, table} from './format.ts';
import {printJson} from './remote.ts';

const progressEveryMs = 500;

async function openStore({global: {store}}: Config, scope: AsyncDisposableStack): Promise<ObjectStore> {
  if (store.kind === 'directory') return openDirectoryStore(store.path);
  const {openS3Store} = await import('../store/s3-store.ts');
  const {bucket, prefix, endpoint, region, pathStyle} = store;
  return scope.use(await openS3Store({bucket, prefix, endpoint, region, pathStyle, log: createLog('silent')}));
}

/** @returns the exit status */
export async function imageImport(files: readonly string[] | undefined, name: string, source: string, {json}: {json: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const config = await loadValid(files, {quiet: true});
  const objects = await openStore(config, scope);
  const temporaryDir = join(config.global.stateDir, 'imports');
  await mkdir(temporaryDir, {recursive: true, mode: 0o700});
  let shownAt = 0;
  const imported = await importImage({
    objects,
    name,
    source: resolve(source),
    temporaryDir,
    onProgress(progress) {
      if (!process.stderr.isTTY || performance.now() - shownAt < progressEveryMs) return;
      shownAt = performance.now();
      process.stderr.write(`\r${progress.files} files, ${bytes(progress.bytes)} `);
    },
  });
  if (shownAt > 0) process.stderr.write('\r\x1b[K');
  if (json) printJson(imported);
  else {
    const {fileCount, contentBytes, storedBytes, digest} = imported;
    process.stdout.write(`${name}: ${fileCount} files, ${bytes(contentBytes)}, ${bytes(storedBytes)} of them new and stored; sha256:${digest}\n`);
  }
  return 0;
}

/** @returns the exit status */
export async function imageList(files: readonly string[] | undefined, {json}: {json: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const images = await listImages(await openStore(await loadValid(files, {quiet: true}), scope));
  if (json) printJson(images);
  else {
    const rows = images.map(({name, digest, fileCount, contentBytes, importedAt}) => [
      name,
      digest.slice(0, 12),
      String(fileCount),
      bytes(contentBytes),
      importedAt.slice(0, 16),
    ]);
    process.stdout.write(table(['NAME', 'DIGEST', 'FILES', 'SIZE', 'IMPORTED'], rows));
  }
  return 0;
}

/** Also of what waits here to be uploaded: read first, so that what is uploaded meanwhile is in one of both. */
async function neededDigests({global: {store, stateDir}}: Config, objects: ObjectStore): Promise<ReadonlySet<string>> {
  const pending = store.kind === 'directory' ? [] : await imagesOfCheckpoints(await openDirectoryStore(join(stateDir, 'store')));
  return new Set([...pending, ...(await imagesOfCheckpoints(objects))]);
}

/** @returns the exit status */
export async function imageRemove(files: readonly string[] | undefined, name: string, {json}: {json: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const config = await loadValid(files, {quiet: true});
  const objects = await openStore(config, scope);
  const removed = await removeImage(name, {objects, neededDigests: async () => neededDigests(config, objects)});
  if (json) printJson(removed);
  else {
    const later = removed.deferred ? '; an import is under way, so that the rest goes with the next removal' : '';
    process.stdout.write(`${name}: the name is gone, with ${removed.images} images and ${removed.packs} packs that nothing needs any more${later}\n`);
  }
  return 0;
}
