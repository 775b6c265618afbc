/** Started by the tests with an environment of its own: uses the bucket at the endpoint, and prints what came of it. */
import {errorMessage} from '../../src/core/errors.ts';
import {createLog} from '../../src/core/log.ts';
import {openS3Store} from '../../src/store/s3-store.ts';

const [endpoint = '', bucket = ''] = process.argv.slice(2);
const limits = {longestPauseMs: 1, attempts: 2};
try {
  const options = {bucket, prefix: '', endpoint: endpoint === '' ? null : endpoint, region: null, pathStyle: true, log: createLog('silent'), limits};
  await using store = await openS3Store(options);
  await store.check();
  await store.put('k', Buffer.from('hello'));
  process.stdout.write((await store.get('k')).toString());
} catch (error) {
  process.stdout.write(errorMessage(error));
}
