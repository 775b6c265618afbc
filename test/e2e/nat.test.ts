/** `mode nat`: the kernel carries every packet, from clients on this host and on others. */
import {fileURLToPath} from 'node:url';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function memoryApp(): Promise<string> {
  return `app mem
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/memory-server.py 80 8
    volume ${fixtures}:/srv:ro
    expose tcp 80`;
}

rootTest('a connection through the kernel survives several sleeps, and each wake answers it without a new connection', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `${await memoryApp()}
frontend f
    mode nat
    bind 127.0.0.1:${port}
    default_backend b
backend b
    server s app:mem:80`,
  );
  await gateway.start();
  using client = await lineClient(port);
  t.is(await client.request('count'), '1');
  for (const expected of ['2', '3', '4']) {
    await gateway.reaches('mem', 'hibernated');
    t.is(await client.request('count'), expected);
  }
  t.is(await client.request('verify'), 'ok 2048');
  await gateway.reaches('mem', 'hibernated');
  const row = await gateway.app('mem');
  t.regex(row.lastWake?.trigger ?? '', /^tcp\/80 from /);
});

rootTest('many connections to one sleeping app share one wake, also while it falls asleep', async (t) => {
  t.timeout(120_000);
  const [edgePort, natPort] = [await freePort(), await freePort()];
  const gateway = await testGateway(
    t,
    `${await memoryApp()}
frontend edge
    bind 127.0.0.1:${edgePort}
    default_backend b
frontend kernel
    mode nat
    bind 127.0.0.1:${natPort}
    default_backend b
backend b
    server s app:mem:80`,
  );
  await gateway.start();
  t.is(await ask(edgePort, 'count'), '1');
  await gateway.reaches('mem', 'hibernated');
  const answers = await Promise.all(Array.from({length: 60}, (_, at) => ask(at % 2 === 0 ? edgePort : natPort, 'count')));
  t.deepEqual(
    answers.map(Number).toSorted((a, b) => a - b),
    Array.from({length: 60}, (_, at) => at + 2),
  );
  // Requests at every moment of going to sleep: none is lost, whatever the dump makes of it.
  let last = 61;
  for (let round = 0; round < 12; round += 1) {
    const hibernating = gateway.cli('hibernate', 'mem').catch((error: unknown) => String(error));
    await new Promise((resolve) => setTimeout(resolve, 25 * round));
    const answer = Number(await ask(round % 2 === 0 ? edgePort : natPort, 'count'));
    t.is(answer, last + 1, `round ${round}`);
    last = answer;
    await hibernating;
  }
  t.is(await ask(edgePort, 'verify'), 'ok 2048');
});

rootTest('a packet to a port that is not exposed is refused and wakes nothing', async (t) => {
  t.timeout(60_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `${await memoryApp()}
listen l
    bind 127.0.0.1:${port}
    server s app:mem:80`,
  );
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.reaches('mem', 'hibernated');
  const {address} = JSON.parse(await gateway.cli('show', 'mem', '--json')) as {address: string};
  await t.throwsAsync(lineClient(81, {host: address}), {code: 'ECONNREFUSED'});
  const row = await gateway.app('mem');
  t.is(row.state, 'hibernated');
  t.is(row.generation, 1);
  // The exposed port of the same address does wake it, without any frontend.
  using direct = await lineClient(80, {host: address});
  t.is(await direct.request('count'), '2');
});

rootTest('start eager starts the app with the gateway, on-stop kill ends it without a checkpoint, and its files stay', async (t) => {
  t.timeout(60_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app files
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 -u -c "import os, time; os.makedirs('/data', exist_ok=True); print('run', len(os.listdir('/data'))); open('/data/%d' % len(os.listdir('/data')), 'w'); time.sleep(1000)"
    volume ${fixtures}:/srv:ro
    hibernate-after never
    start eager
    on-stop kill
app other
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/memory-server.py 80 8
    volume ${fixtures}:/srv:ro
    expose tcp 80
listen l
    bind 127.0.0.1:${port}
    server s app:other:80`,
  );
  await gateway.start();
  await gateway.reaches('files', 'running');
  await gateway.stop();
  await gateway.start();
  await gateway.reaches('files', 'running');
  // The second run finds the file of the first.
  await until(async () => /run 0\n[\s\S]*run 1\n/.test(await gateway.cli('logs', 'files')), {what: 'the output of both runs'});
  t.is((await gateway.app('files')).generation, null);
});
