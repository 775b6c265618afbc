// Serves one file at the given mount point until it is killed, or ends as told: argv is MOUNT_POINT stay|exit|throw|drain.
import {createLog} from '../../src/core/log.ts';
import {openFuse} from '../../src/pager/fuse/fuse.ts';

const [mountPoint = '', end = 'stay'] = process.argv.slice(2);
const fuse = await openFuse({mountPoint, log: createLog('silent'), onError: () => process.exit(9)});
await fuse.add('a', new Map([['f', [{length: 5, source: {kind: 'bytes', data: Buffer.from('first')}}]]]));
process.stdout.write('ready\n');
if (end === 'exit') process.exit(0);
if (end === 'throw') throw new Error('on purpose');
if (end === 'stay') setInterval(() => undefined, 1000);
