import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {pino} from 'pino';
import {startDaemon} from '../../src/core/command.ts';
import {keysOf} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {Uploads} from '../../src/pager/remote/uploads.ts';
import {openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {app, heapPages, restored, samePages} from './checkpoint-bench.ts';

const log = pino({level: 'silent'});

test('kill -9 at any moment of commits, uploads and prunes: what was committed reaches the store, and the store is enough', async (t) => {
  await using directory = await temporaryDirectory();
  const {path} = directory;
  const remote = await openDirectoryStore(join(path, 'remote'));
  let newest = 0;
  for (let round = 0; round < 6; round++) {
    {
      await using daemon = await startDaemon([process.execPath, join(import.meta.dirname, 'upload-forever.ts'), path], {
        stdio: 'ignore',
        stopSignal: 'SIGKILL',
      });
      const stored = async (): Promise<number> => (await openCheckpointStore({objects: remote}).generations(app)).at(-1) ?? 0;
      const before = await stored();
      await until(async () => (await stored()) > before, {what: 'a stored generation', timeoutMs: 30_000});
      await new Promise((resolve) => setTimeout(resolve, round * 11 + Math.random() * 15));
      t.is(daemon.child.exitCode, null);
    }
    const directories = {pendingDir: join(path, 'pending'), cacheDir: join(path, 'cache')};
    await using objects = await openCachedStore({remote, ...directories, cacheBytes: 2 ** 30, log});
    const store = openCheckpointStore({objects});
    await using uploads = new Uploads({objects, log, cold: null, onChange: () => undefined, onEvent: () => undefined});
    const committed = (await store.generations(app)).at(-1) ?? t.fail();
    t.true(committed > newest);
    newest = committed;
    await uploads.finish(app);
    // Another host, which has the remote store only.
    await rm(join(path, 'other'), {recursive: true, force: true});
    await using elsewhere = await openCachedStore({
      remote,
      pendingDir: join(path, 'other/pending'),
      cacheDir: join(path, 'other/cache'),
      cacheBytes: 2 ** 30,
      log,
    });
    const there = openCheckpointStore({objects: elsewhere});
    t.is((await there.generations(app)).at(-1), committed);
    for (const generation of await there.generations(app)) {
      const checkpoint = await there.load(app, generation);
      for (const {segment} of checkpoint.manifest.segments) await elsewhere.ensureLocal(keysOf(app).segment(segment));
      t.true(samePages(await restored(checkpoint), heapPages(200, Number(checkpoint.meta))), `generation ${generation}`);
    }
  }
});
