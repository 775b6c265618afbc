/** Apps behind several threads: the first one has them, and each of the others wakes them and keeps them awake. */
import {join} from 'node:path';
import {askSocket} from '../admin/stats-client.ts';
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {type LineClient, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

/** Of each thread. */
async function activity(socket: string, name: string): Promise<readonly number[]> {
  const line = new RegExp(`^${name}: \\d+ \\[ (.*) \\]$`, 'm').exec(await askSocket(socket, 'show activity\n'))?.[1] ?? '';
  return line.split(' ').map(Number);
}

/** A session that is one of another thread than the first; those that came before it are closed. */
async function elsewhere(socket: string, port: number): Promise<LineClient> {
  for (let attempts = 0; attempts < 100; attempts++) {
    const [, before = 0] = await activity(socket, 'sessions');
    const client = await lineClient(port);
    await until(async () => (await activity(socket, 'sessions')).some((count) => count > 0), {what: 'the session'});
    const [, after = 0] = await activity(socket, 'sessions');
    if (after > before) return client;
    client[Symbol.dispose]();
    // One whose app is being woken ends when it is awake.
    await until(async () => (await activity(socket, 'sessions')).every((count) => count === 0), {what: 'no session'});
  }
  throw new Error('the other thread takes no session');
}

rootTest('sessions of each thread wake an app that sleeps, and reach the same instance', async (t) => {
  t.timeout(120_000);
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'admin.sock');
  const port = await freePort();
  const globals = `    nbthread 2\n    stats socket ${socket} mode 600 level admin`;
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never'], {mebibytes: 1})}${listen('a', port)}`, {globals});
  await gateway.start();
  using first = await lineClient(port);
  t.is(await first.request('count'), '1');
  first[Symbol.dispose]();
  const waking = {count: 1, byEach: false};
  // A crowd may go to one thread, when the other one has none of the processors.
  for (let round = 0; round < 10 && !waking.byEach; round++) {
    await gateway.hibernate('a');
    const before = await activity(socket, 'accepted');
    const clients = await Promise.all(Array.from({length: 24}, () => lineClient(port)));
    const answers = await Promise.all(clients.map((client) => client.request('count')));
    const after = await activity(socket, 'accepted');
    const expected = Array.from({length: 24}, () => ++waking.count);
    t.deepEqual(
      answers.map(Number).sort((x, y) => x - y),
      expected,
    );
    waking.byEach = after.every((count, thread) => count > (before[thread] ?? 0));
    for (const client of clients) client[Symbol.dispose]();
  }
  t.true(waking.byEach, 'sessions of both threads were held');
});

/** Answers a line after as many seconds as it says. */
const slow =
  'import socketserver,time\\nclass H(socketserver.StreamRequestHandler):\\n def handle(self):\\n  for line in self.rfile:\\n   time.sleep(float(line)); self.wfile.write(line)\\n' +
  'socketserver.ThreadingTCPServer((\\"\\",80),H).serve_forever()';

rootTest('a client of another thread that waits for its answer keeps the app awake, and no longer', async (t) => {
  t.timeout(120_000);
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'admin.sock');
  const port = await freePort();
  const app = `app a
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 -c 'exec("${slow}")'
    expose tcp 80
    hibernate-after 500ms
`;
  const globals = `    nbthread 2\n    stats socket ${socket} mode 600 level admin`;
  const gateway = await testGateway(t, `${app}${listen('a', port)}`, {globals});
  await gateway.start();
  using client = await elsewhere(socket, port);
  t.is(await client.request('0'), '0');
  const asked = client.request('4');
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const during = await gateway.app('a');
  t.is(during.state, 'running');
  t.is(during.lastHibernate, null);
  t.is(await asked, '4');
  await gateway.reaches('a', 'hibernated');
  client[Symbol.dispose]();
  // Once more: from the checkpoint.
  using again = await elsewhere(socket, port);
  t.is(await again.request('0'), '0');
});
