/** A gateway process that a test kills: makes a generation in the directory it is given, prepares its restore, and waits. */
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {appName, fencingToken, instanceId, newInstanceName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {startPager} from '../../src/pager/client.ts';
import {pageOf, writeDump} from '../pager-store/synthetic-dump.ts';
import {first, vpid} from './fault-lab.ts';

const path = process.argv[2] ?? '';
const app = appName('lab');
const workDir = join(path, 'work');
for (const directory of ['run', 'work']) await mkdir(join(path, directory), {recursive: true});
const pager = await startPager({storeDir: join(path, 'store'), runtimeDir: join(path, 'run'), log: createLog('silent'), onInstanceLost: () => undefined});
const dumpDir = join(path, 'dump');
const pages = new Map(Array.from({length: 64}, (_, n) => [first + n, pageOf(first + n)] as const));
await writeDump(dumpDir, {processes: [{pid: vpid, mappings: [{page: first, count: 64, lazy: true}], pages}]});
const {generation} = await pager.commit({instance: null, app, token: fencingToken(1), dumpDir, meta: null, processes: []});
await pager.prepareRestore({instance: instanceId(app, newInstanceName(Date.now())), app, generation, mode: 'lazy', prefetch: 'off', workDir});
process.stdout.write(`pager ${pager.pid}\nprepared\n`);
setInterval(() => undefined, 1000);
