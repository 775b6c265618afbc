import {once} from 'node:events';
import {connect, createServer, type Socket} from 'node:net';
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {becomesQuiet} from '../../src/supervisor/quiet.ts';
import {rootTest} from '../helpers/root-test.ts';

rootTest('becomesQuiet() is true for a process that waits, false for one that computes', async (t) => {
  await using waits = await startDaemon(['unshare', '--net', 'sleep', '60'], {stdio: 'ignore'});
  await using computes = await startDaemon(['sh', '-c', 'while :; do :; done'], {stdio: 'ignore'});
  t.true(await becomesQuiet(() => [waits.pid], 2000));
  t.false(await becomesQuiet(() => [waits.pid, computes.pid], 50));
});

test('becomesQuiet() is false while a socket holds what nobody has read', async (t) => {
  const server = createServer({pauseOnConnect: true}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const client = connect(address.port, '127.0.0.1');
  t.teardown(() => client.destroy());
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => accepted.destroy());
  client.write('unread');
  // The waiting process shares our network namespace, and with it the socket tables.
  await using waits = await startDaemon(['sleep', '60'], {stdio: 'ignore'});
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.false(await becomesQuiet(() => [waits.pid], 50));
});
