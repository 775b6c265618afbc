/** Commits and uploads generation after generation until killed: `upload-forever.ts DIRECTORY`. The meta of a generation tells its content. */
import {join} from 'node:path';
import {pino} from 'pino';
import {fencingToken} from '../../src/core/ids.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {Uploads} from '../../src/pager/remote/uploads.ts';
import {openCachedStore} from '../../src/store/cached-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {unreliableStore} from '../helpers/unreliable-store.ts';
import {app, heapPages, heapProcess} from './checkpoint-bench.ts';
import {writeDump} from './synthetic-dump.ts';

const [, , path = ''] = process.argv;
const log = pino({level: 'silent'});
const remote = unreliableStore(await openDirectoryStore(join(path, 'remote')));
remote.delayMs = 3;
const objects = await openCachedStore({remote, pendingDir: join(path, 'pending'), cacheDir: join(path, 'cache'), cacheBytes: 2 ** 22, log});
const store = openCheckpointStore({objects});
const uploads = new Uploads({objects, log, cold: null, onChange: () => undefined, onEvent: () => undefined});
await store.sweep(app);
const dumpDir = join(path, 'dump');
while (true) {
  const parent = await store.latestComplete(app);
  const seed = Date.now() % 1_000_000;
  await writeDump(dumpDir, {processes: [heapProcess(heapPages(200, seed))]});
  await store.commit({app, token: fencingToken(1), dumpDir, parent, missing: new Map(), meta: seed});
  uploads.kick(app);
  if (seed % 3 === 0) await uploads.finish(app);
  await store.prune(app, 2);
}
