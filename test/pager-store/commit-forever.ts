/** Commits generation after generation until killed: `commit-forever.ts STORE DUMP-DIRECTORY`. The meta of a generation tells its content. */
import {fencingToken} from '../../src/core/ids.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {app, heapPages, heapProcess} from './checkpoint-bench.ts';
import {writeDump} from './synthetic-dump.ts';

const [, , root = '', dumpDir = ''] = process.argv;
const store = openCheckpointStore({objects: await openDirectoryStore(root)});
await store.sweep(app);
while (true) {
  const parent = await store.latestComplete(app);
  const seed = Date.now() % 1_000_000;
  await writeDump(dumpDir, {processes: [heapProcess(heapPages(500, seed))], files: {'core-1.img': Buffer.from(String(seed))}});
  await store.commit({app, token: fencingToken(1), dumpDir, parent, missing: new Map(), meta: seed});
  await store.prune(app, 2);
}
