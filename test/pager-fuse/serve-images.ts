// Mounts the image of a digest and serves it until it is killed: argv is DIRECTORY DELAY_MS DIGEST (empty: only what is taken over).
import {join} from 'node:path';
import {createLog} from '../../src/core/log.ts';
import {ImageMounts} from '../../src/pager/images/fuse-images.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {mountsOptions, slowStore} from './image-lab.ts';

const [directory = '', delayMs = '0', digest = ''] = process.argv.slice(2);
const objects = slowStore(await openDirectoryStore(join(directory, 'store')), Number(delayMs));
const log = createLog('silent');
const mounts = await ImageMounts.open({...mountsOptions(directory), cacheBytes: 1e9, objects, log, onBroken: () => process.exit(9)});
if (digest !== '') await mounts.mount('app', {digest});
process.stdout.write('ready\n');
process.on('SIGTERM', () => void mounts[Symbol.asyncDispose]().then(() => process.exit(0)));
setInterval(() => undefined, 1000);
