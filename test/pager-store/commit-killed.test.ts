import {join} from 'node:path';
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import type {Generation} from '../../src/core/ids.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {app, heapPages, objectKeys, restored, samePages} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';

test('kill -9 at any moment of commits and prunes loses no complete generation and leaves nothing', async (t) => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'store');
  let newest: Generation | 0 = 0;
  for (let round = 0; round < 8; round++) {
    const objects = await openDirectoryStore(root);
    const store = openCheckpointStore({objects});
    const before: Generation | 0 = newest;
    {
      await using daemon = await startDaemon([process.execPath, join(import.meta.dirname, 'commit-forever.ts'), root, join(directory.path, 'dump')], {
        stdio: 'ignore',
        stopSignal: 'SIGKILL',
      });
      await until(async () => ((await store.generations(app)).at(-1) ?? 0) > before, {what: 'a new generation'});
      // Anywhere in the next one or two.
      const delayMs = round * 7 + Math.random() * 10;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      t.is(daemon.child.exitCode, null);
    }
    await store.sweep(app);
    const latest = (await store.latestComplete(app)) ?? t.fail();
    t.is(latest.generation, (await store.generations(app)).at(-1) ?? t.fail());
    t.true(latest.generation > before);
    newest = latest.generation;
    for (const generation of await store.generations(app)) {
      const checkpoint = await store.load(app, generation);
      t.true(samePages(await restored(checkpoint), heapPages(500, Number(checkpoint.meta))), `generation ${generation}`);
      t.is(fileBytes(await checkpoint.images('lazy'), 'core-1.img').toString(), String(checkpoint.meta));
    }
    const count = (await store.generations(app)).length;
    t.is((await objectKeys(objects)).filter((key) => key.includes('/images/')).length, count);
    t.is((await objectKeys(objects)).filter((key) => key.includes('/manifests/')).length, count);
  }
});
