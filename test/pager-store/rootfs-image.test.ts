import {existsSync} from 'node:fs';
import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {hostname, tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {importImage} from '../../src/pager/images/rootfs-image-import.ts';
import {loadImage} from '../../src/pager/images/rootfs-image-object.ts';
import {listImages, removeImage, sweepImages} from '../../src/pager/images/rootfs-image-remove.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {until} from '../helpers/until.ts';

interface Lab {
  readonly directory: string;
  readonly source: string;
  readonly objects: ObjectStore;
}

async function lab(t: ExecutionContext): Promise<Lab> {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-image-'));
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const source = join(directory, 'source');
  await mkdir(join(source, 'usr'), {recursive: true});
  for (let n = 0; n < 300; n += 1) await writeFile(join(source, 'usr', `file-${n}`), `file ${n} `.repeat(n));
  return {directory, source, objects: await openDirectoryStore(join(directory, 'store'))};
}

const none = {neededDigests: async () => new Set<string>()};

function packs(objects: ObjectStore) {
  return objects.list('images/packs/');
}

test('importImage() packs many files into few objects, and adds nothing for what is there', async (t) => {
  const {directory, source, objects} = await lab(t);
  const options = {objects, source, temporaryDir: directory};
  const first = await importImage({...options, name: 'a'});
  t.is((await packs(objects)).length, 1);
  t.true(first.storedBytes < first.contentBytes);
  const again = await importImage({...options, name: 'b'});
  t.deepEqual([again.digest, again.storedBytes], [first.digest, 0]);
  await writeFile(join(source, 'usr', 'new'), 'a new file');
  const changed = await importImage({...options, name: 'a'});
  t.not(changed.digest, first.digest);
  t.true(changed.storedBytes < 100);
  t.deepEqual((await listImages(objects)).map(({name, digest}) => [name, digest]).sort(), [
    ['a', changed.digest],
    ['b', first.digest],
  ]);
});

test('removeImage() removes what nothing needs: not another name, a checkpoint, a mount or shared chunks', async (t) => {
  const {directory, source, objects} = await lab(t);
  const options = {objects, source, temporaryDir: directory};
  const {digest} = await importImage({...options, name: 'a'});
  await writeFile(join(source, 'usr', 'new'), 'a new file');
  await importImage({...options, name: 'b'});
  t.like(await removeImage('a', {objects, neededDigests: async () => new Set([digest])}), {images: 0, packs: 0, deferred: false});
  await objects.put(`images/uses/${digest}/host`, Buffer.from('{}'));
  t.like(await sweepImages({objects, ...none}), {images: 0, packs: 0, deferred: false});
  await objects.delete(`images/uses/${digest}/host`);
  // The other image has chunks in its pack.
  t.like(await sweepImages({objects, ...none, dryRun: true}), {images: 1, packs: 0, deferred: false});
  t.like(await sweepImages({objects, ...none}), {images: 1, packs: 0, deferred: false});
  t.like(await removeImage('b', {objects, ...none}), {images: 1, packs: 2, deferred: false});
  t.deepEqual(await objects.list('images/'), []);
  await t.throwsAsync(removeImage('b', {objects, ...none}), {code: 'ERR_NO_IMAGE'});
});

test('removeImage() leaves the name when it cannot be known what is needed', async (t) => {
  const {directory, source, objects} = await lab(t);
  await importImage({objects, source, temporaryDir: directory, name: 'a'});
  const neededDigests = async (): Promise<never> => Promise.reject(new Error('unknown'));
  await t.throwsAsync(removeImage('a', {objects, neededDigests}), {message: 'unknown'});
  t.is((await listImages(objects)).length, 1);
});

test('a removal leaves alone what an import under way may refer to, and what a killed one has left it removes', async (t) => {
  const {directory, source, objects} = await lab(t);
  const options = {objects, source, temporaryDir: directory};
  await importImage({...options, name: 'a'});
  let removed: Promise<unknown> | undefined;
  const onProgress = (): void => {
    removed ??= removeImage('a', {objects, ...none});
  };
  const imported = await importImage({...options, name: 'b', onProgress});
  t.like(await removed, {packs: 0, deferred: true});
  const image = await loadImage(objects, imported.digest);
  for (const key of image.layout.packs) t.true((await objects.size(key)) > 0);
  // Killed in the middle: a marker that is old, and a pack.
  await objects.put('images/imports/old', Buffer.from(JSON.stringify({at: Date.now() - 2 * 3_600_000})));
  await objects.put('images/packs/old-0', Buffer.from('a pack'));
  t.deepEqual(await sweepImages({objects, ...none, dryRun: true}), {images: 0, packs: 1, bytes: 6, deferred: false});
  t.deepEqual(await sweepImages({objects, ...none}), {images: 0, packs: 1, bytes: 6, deferred: false});
  // A moment ago, by a process of this host that is no more.
  const {pid} = await startDaemon(['true'], {stdio: 'ignore'});
  await until(() => !existsSync(`/proc/${pid}`));
  await objects.put('images/imports/new', Buffer.from(JSON.stringify({at: Date.now(), host: hostname(), pid})));
  await objects.put('images/packs/new-0', Buffer.from('a pack'));
  t.like(await sweepImages({objects, ...none}), {packs: 1, deferred: false});
  await objects.put('images/imports/elsewhere', Buffer.from(JSON.stringify({at: Date.now(), host: 'elsewhere', pid})));
  t.like(await sweepImages({objects, ...none}), {deferred: true});
  await objects.delete('images/imports/elsewhere');
  t.deepEqual(await objects.list('images/imports/'), []);
});

test('importImage() says what is wrong with a source or a name, and leaves nothing visible', async (t) => {
  const {directory, objects} = await lab(t);
  const options = {objects, temporaryDir: directory};
  await t.throwsAsync(importImage({...options, name: 'a', source: join(directory, 'nothing')}), {code: 'ERR_IMAGE_SOURCE', message: /nothing": ENOENT/});
  await writeFile(join(directory, 'no.tar'), 'this is no archive'.repeat(100));
  await t.throwsAsync(importImage({...options, name: 'a', source: join(directory, 'no.tar')}), {code: 'ERR_IMAGE_SOURCE', message: /neither a tar archive/});
  await t.throwsAsync(importImage({...options, name: '../a', source: directory}), {code: 'ERR_BAD_NAME'});
  t.deepEqual(await objects.list('images/'), []);
});
