import {mkdir, readdir, readFile, stat, utimes, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {ObjectStoreError} from '../../src/store/object-store.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {objectStoreConformance} from './object-store-conformance.ts';

objectStoreConformance(test, 'directory', async () => {
  const directory = await temporaryDirectory();
  const store = await openDirectoryStore(join(directory.path, 'store'));
  return {store, [Symbol.asyncDispose]: async () => directory[Symbol.asyncDispose]()};
});

test('directory: directories are mode 700 and files 600', async (t) => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'store');
  const store = await openDirectoryStore(root);
  await store.put('apps/a/x', Buffer.from('secret'));
  const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);
  t.deepEqual(
    [await mode(root), await mode(join(root, 'apps')), await mode(join(root, 'apps/a')), await mode(join(root, 'apps/a/x'))],
    ['700', '700', '700', '600'],
  );
  t.is(await store.localFile('apps/a/x'), join(root, 'apps/a/x'));
});

test('directory: opening removes what dead writers left, not what living ones write', async (t) => {
  await using directory = await temporaryDirectory();
  await openDirectoryStore(directory.path);
  const incoming = join(directory.path, '.incoming');
  await mkdir(incoming, {recursive: true});
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const names = {dead: `${boot.slice(0, 8)}-4194999-aa`, living: `${boot.slice(0, 8)}-${process.pid}-bb`, otherHost: '01234567-1-cc', old: '01234567-1-dd'};
  for (const name of Object.values(names)) await writeFile(join(incoming, name), 'half');
  await utimes(join(incoming, names.old), 1, 1);
  const store = await openDirectoryStore(directory.path);
  t.deepEqual((await readdir(incoming)).sort(), [names.living, names.otherHost].sort());
  t.deepEqual(await store.list(''), []);
});

rootTest('directory: a full disk is ERR_STORE_FULL and leaves nothing behind', async (t) => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'small');
  await using _mounted = await tinyFileSystem(root, 1024 * 1024);
  const store = await openDirectoryStore(root);
  await store.put('kept', Buffer.alloc(200_000, 1));
  const error = await t.throwsAsync(store.put('big', Buffer.alloc(2_000_000, 2)), {instanceOf: ObjectStoreError});
  t.is(error.code, 'ERR_STORE_FULL');
  t.is(error.source, 'host');
  t.is(error.message, 'Cannot write object "big": the disk is full');
  t.deepEqual(await store.list(''), [{key: 'kept', sizeBytes: 200_000}]);
  t.deepEqual(await readdir(join(root, '.incoming')), []);
  await store.put('later', Buffer.alloc(200_000, 3));
});
