/** Compacts a generation: `compact-once.ts STORE GENERATION`. */
import {fencingToken, generation} from '../../src/core/ids.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {app} from './checkpoint-bench.ts';

const [, , root = '', number = ''] = process.argv;
const store = openCheckpointStore({objects: await openDirectoryStore(root)});
await store.compact({app, generation: generation(Number(number)), token: fencingToken(9)});
