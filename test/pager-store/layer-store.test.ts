/** Layers of files beside the generations that name them: stored once, before the manifest, removed with the last that needs them. */
import {access, mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {pino} from 'pino';
import {fencingToken} from '../../src/core/ids.ts';
import {openAppKeys} from '../../src/pager/checkpoints/app-keys.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {type CheckpointStore, openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {LayerStore} from '../../src/pager/checkpoints/layer-store.ts';
import {Uploads} from '../../src/pager/remote/uploads.ts';
import {type CachedStore, openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {type UnreliableStore, unreliableStore} from '../helpers/unreliable-store.ts';
import {until} from '../helpers/until.ts';
import {app, heapPages, heapProcess} from './checkpoint-bench.ts';
import {writeDump} from './synthetic-dump.ts';

// Attributes of overlayfs are root's.
const rootTest = process.getuid?.() === 0 ? test : test.skip;
const log = pino({level: 'silent'});
const keys = keysOf(app);

interface Worker {
  readonly objects: CachedStore;
  readonly store: CheckpointStore;
  readonly layers: LayerStore;
  readonly uploads: Uploads;
  readonly layersDir: string;
  /** Makes a layer with one file. */
  readonly write: (layer: string, content: string) => Promise<void>;
  readonly commit: (layers: readonly string[], token?: number) => Promise<void>;
}

interface Lab {
  readonly path: string;
  readonly remote: UnreliableStore;
  readonly scope: AsyncDisposableStack;
  readonly worker: (name: string) => Promise<Worker>;
  /** Keys of an app, in the store. */
  readonly stored: (prefix: string) => Promise<string[]>;
}

async function lab(t: ExecutionContext): Promise<Lab> {
  const scope = new AsyncDisposableStack();
  t.teardown(() => scope.disposeAsync());
  const {path} = scope.use(await temporaryDirectory());
  const behind = await openDirectoryStore(join(path, 'remote'));
  const remote = unreliableStore(behind);
  return {
    path,
    remote,
    scope,
    worker: (name) => worker({path: join(path, name), remote, scope}),
    stored: async (prefix) => (await behind.list(prefix)).map(({key}) => key.slice(prefix.length)),
  };
}

async function worker({path, remote, scope}: Pick<Lab, 'path' | 'remote' | 'scope'>): Promise<Worker> {
  const objects = scope.use(await openCachedStore({remote, pendingDir: join(path, 'pending'), cacheDir: join(path, 'cache'), cacheBytes: 2 ** 30, log}));
  const store = openCheckpointStore({objects});
  const layers = new LayerStore({objects, keys: openAppKeys(objects, null), appsDir: join(path, 'apps'), log});
  const layer: LayerStore['upload'] = async (...args) => layers.upload(...args);
  const uploads = scope.use(new Uploads({objects, log, firstRetryMs: 10, cold: null, layer, onChange: () => undefined, onEvent: () => undefined}));
  const layersDir = join(path, 'apps', app, 'layers');
  return {
    objects,
    store,
    layers,
    uploads,
    layersDir,
    async write(name, content) {
      await mkdir(join(layersDir, name, 'upper'), {recursive: true});
      await writeFile(join(layersDir, name, 'upper/file'), content);
    },
    async commit(names, token = 1) {
      const dumpDir = join(path, 'dump');
      await writeDump(dumpDir, {processes: [heapProcess(heapPages(4))], files: {}});
      await store.commit({app, token: fencingToken(token), dumpDir, parent: null, missing: new Map(), layers: names, meta: {}});
    },
  };
}

rootTest('a generation is in the store only with its layers, each of which is stored once', async (t) => {
  const {remote, stored, worker: open} = await lab(t);
  const {commit, uploads, write} = await open('one');
  await write('1-a', 'first');
  await commit(['1-a']);
  remote.fails = (method, key) => method === 'put' && key.startsWith(keys.layers);
  await t.throwsAsync(uploads.finish(app), {code: 'ERR_NOT_STORED'});
  t.deepEqual(await stored(keys.manifests), []);
  remote.fails = () => false;
  await uploads.finish(app);
  t.deepEqual(await stored(keys.layers), ['1-a']);
  await write('2-b', 'second');
  await commit(['1-a', '2-b']);
  remote.requests.length = 0;
  await uploads.finish(app);
  t.deepEqual(
    remote.requests.filter((request) => request.startsWith(`put ${keys.layers}`)),
    [`put ${keys.layers}2-b`],
  );
  const puts = remote.requests.filter((request) => request.startsWith('put '));
  t.is(puts.at(-1), `put ${keys.manifest(2)}`);
});

rootTest('a generation that may be taken back is not uploaded: its files may change', async (t) => {
  const {stored, worker: open} = await lab(t);
  const {commit, uploads, write} = await open('one');
  await write('1-a', 'before');
  uploads.hold(app, 'uncertain');
  await commit(['1-a']);
  uploads.kick(app);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.deepEqual(await stored(''), []);
  await write('1-a', 'after');
  uploads.release(app, 'uncertain');
  await uploads.finish(app);
  const {layers, layersDir} = await open('two');
  await layers.fetch(app, ['1-a']);
  t.is(await readFile(join(layersDir, '1-a/upper/file'), 'utf8'), 'after');
});

rootTest('layers go with the last generation that names them, but not while another worker may be uploading one', async (t) => {
  const {remote, stored, worker: open} = await lab(t);
  const one = await open('one');
  for (const [number, layer] of ['1-a', '2-b', '3-c'].entries()) {
    await one.write(layer, layer);
    await one.commit(number === 2 ? ['1-a+2-b', '3-c'] : ['1-a', '2-b'].slice(0, number + 1));
    if (number === 1) await one.write('1-a+2-b', 'both');
    await one.uploads.finish(app);
  }
  t.deepEqual(await stored(keys.layers), ['1-a', '1-a:2-b', '2-b', '3-c']);
  // Another worker has come as far as its layers.
  const two = await open('two');
  for (const layer of ['1-a+2-b', '3-c', '4-d']) await two.write(layer, layer);
  await two.commit(['1-a+2-b', '3-c', '4-d'], 2);
  remote.fails = (method, key) => method === 'put' && key.startsWith(keys.segments);
  await t.throwsAsync(two.uploads.finish(app), {code: 'ERR_NOT_STORED'});
  remote.fails = () => false;
  await remote.put(keys.layer('4-d'), Buffer.from('a layer'));
  one.objects.refresh(`apps/${app}/`);
  await one.store.prune(app, 1);
  t.deepEqual(await stored(keys.layers), ['1-a', '1-a:2-b', '2-b', '3-c', '4-d']);
  await two.uploads.finish(app);
  one.objects.refresh(`apps/${app}/`);
  await one.store.prune(app, 1);
  t.deepEqual(await stored(keys.layers), ['1-a:2-b', '3-c', '4-d']);
});

rootTest('a layer that was fetched is whole or not there; damage names object and byte and deletes nothing', async (t) => {
  const {path, remote, stored, worker: open} = await lab(t);
  const one = await open('one');
  await one.write('1-a', 'x'.repeat(100_000));
  await one.layers.upload(app, '1-a', new AbortController().signal);
  const {layers, layersDir} = await open('two');
  t.false(layers.areLocal(app, ['1-a']));
  const object = join(path, 'remote', keys.layer('1-a'));
  const data = await readFile(object);
  data[data.length - 3] = (data[data.length - 3] ?? 0) ^ 1;
  await writeFile(object, data);
  await t.throwsAsync(layers.fetch(app, ['1-a']), {code: 'ERR_DAMAGED_CHECKPOINT', message: /apps\/shop\/layers\/1-a.*at byte \d+/});
  await t.throwsAsync(access(join(layersDir, '1-a')), {code: 'ENOENT'});
  t.deepEqual(await stored(keys.layers), ['1-a']);
  data[data.length - 3] = (data[data.length - 3] ?? 0) ^ 1;
  await writeFile(object, data);
  remote.fails = (method) => method === 'get';
  await t.throwsAsync(layers.fetch(app, ['1-a']), {code: 'ERR_STORE_FAILED'});
  await t.throwsAsync(access(join(layersDir, '1-a')), {code: 'ENOENT'});
  remote.fails = () => false;
  await Promise.all([layers.fetch(app, ['1-a']), layers.fetch(app, ['1-a'])]);
  t.is((await readFile(join(layersDir, '1-a/upper/file'), 'utf8')).length, 100_000);
  t.true(layers.areLocal(app, ['1-a']));
});

rootTest('a layer that does not fit is an error that says so, and nothing of it stays', async (t) => {
  const {path, scope, worker: open} = await lab(t);
  const one = await open('one');
  await one.write('1-a', 'x'.repeat(3_000_000));
  await one.layers.upload(app, '1-a', new AbortController().signal);
  scope.use(await tinyFileSystem(join(path, 'two'), 1_000_000));
  const {layers, layersDir} = await open('two');
  await t.throwsAsync(layers.fetch(app, ['1-a']), {code: 'ERR_STORE_FULL', message: /1-a.*disk is full/});
  await t.throwsAsync(access(join(layersDir, '1-a')), {code: 'ENOENT'});
  await rm(layersDir, {recursive: true, force: true});
});

rootTest('a layer that was fetched shortly before the system went down is fetched again; others are not', async (t) => {
  const one = await lab(t);
  const first = await one.worker('one');
  for (const layer of ['1-a', '2-b', '3-c']) await first.write(layer, `content of ${layer}`);
  await first.commit(['1-a', '2-b', '3-c']);
  await first.uploads.finish(app);
  const {layers, layersDir} = await one.worker('two');
  const marks = async (): Promise<string[]> => {
    const marked = await Promise.all(
      ['1-a', '2-b', '3-c'].map(async (layer) =>
        access(join(layersDir, layer, 'unsynced')).then(
          () => [layer],
          () => [],
        ),
      ),
    );
    return marked.flat();
  };
  await layers.fetch(app, ['1-a', '2-b', '3-c']);
  t.deepEqual(await marks(), ['1-a', '2-b', '3-c']);
  await layers.removeUncertain();
  t.true(layers.areLocal(app, ['1-a', '2-b', '3-c']), 'the system did not go down');
  await until(async () => (await marks()).length === 0, {what: 'the layers to be on the disk'});
  // As after a boot: of one the mark is left, of another also its content is lost.
  await writeFile(join(layersDir, '1-a/unsynced'), 'another-boot');
  await writeFile(join(layersDir, '2-b/unsynced'), '');
  await writeFile(join(layersDir, '2-b/upper/file'), '');
  await layers.removeUncertain();
  await t.throwsAsync(access(join(layersDir, '1-a')));
  await t.throwsAsync(access(join(layersDir, '2-b')));
  t.is(await readFile(join(layersDir, '3-c/upper/file'), 'utf8'), 'content of 3-c');
  await layers.fetch(app, ['1-a', '2-b', '3-c']);
  t.is(await readFile(join(layersDir, '2-b/upper/file'), 'utf8'), 'content of 2-b');
});
