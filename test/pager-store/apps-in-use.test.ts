import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {pino} from 'pino';
import {appName} from '../../src/core/ids.ts';
import {AppsInUse} from '../../src/pager/apps-in-use.ts';
import {openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

test('what an app has open while it is prepared stays when the disk is full, from before it is served on', async (t) => {
  await using directory = await temporaryDirectory();
  const {path} = directory;
  const remote = await openDirectoryStore(join(path, 'remote'));
  const data = Buffer.alloc(300_000, 7);
  for (const app of ['a', 'b']) await remote.put(`apps/${app}/segments/00000001`, data);
  const used = new AppsInUse(() => []);
  const log = pino({level: 'silent'});
  const options = {remote, pendingDir: join(path, 'p'), cacheDir: join(path, 'c'), cacheBytes: 1024, log, inUse: () => used.keys()};
  await using objects = await openCachedStore(options);
  const preparing = [used.prepare(appName('a')), used.prepare(appName('a'))];
  preparing.pop()?.[Symbol.dispose]();
  const copy = await objects.openLocal('apps/a/segments/00000001');
  for (const app of ['a', 'b']) await objects.ensureLocal(`apps/${app}/segments/00000001`);
  const gone = (app: string) => async (): Promise<boolean> => {
    await objects.freeAtOnce();
    return (await objects.localBytes(`apps/${app}/segments/00000001`)) === 0;
  };
  await until(gone('b'), {timeoutMs: 10_000});
  t.true((await readFile(copy.path)).equals(data));
  t.true(used.has(appName('a')));
  preparing.pop()?.[Symbol.dispose]();
  t.false(used.has(appName('a')));
  await until(gone('a'), {timeoutMs: 10_000});
});
