import {readFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** Resident memory of the processes whose command line has the word, in bytes. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

rootTest('a server with 64 MB of random memory sleeps and wakes, every byte as it was, over several sleeps and a restart of the gateway', async (t) => {
  t.timeout(180_000);
  const port = await freePort();
  const rootfs = await rootfsWith('python3');
  const gateway = await testGateway(
    t,
    `app mem
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/memory-server.py 80 64
    volume ${fixtures}:/srv:ro
    expose tcp 80
frontend f
    bind 127.0.0.1:${port}
    default_backend b
backend b
    server s app:mem:80`,
  );
  await gateway.start();
  t.is((await gateway.app('mem')).state, 'stopped');
  t.is(await ask(port, 'count'), '1');
  const first = await gateway.reaches('mem', 'hibernated');
  t.is(first.residency, 'warm');
  t.is(first.generation, 1);
  t.true((first.lastHibernate?.bytesWritten ?? 0) > 64 << 20, 'the first generation has all of the memory');

  for (let sleep = 2; sleep <= 4; sleep += 1) {
    t.is(await ask(port, 'count'), String(sleep));
    t.regex(await ask(port, 'touch 1048576'), /^\d+$/);
    const row = await gateway.reaches('mem', 'hibernated');
    t.is(row.generation, sleep);
    t.true((row.lastHibernate?.bytesWritten ?? Number.POSITIVE_INFINITY) < 1.5 * 2 ** 20, `sleep ${sleep} wrote ${row.lastHibernate?.bytesWritten} bytes`);
    t.is(row.lastWake?.trigger.split(' ')[0], 'tcp/80');
  }
  t.is(await ask(port, 'write 1048576'), 'ok');
  const changed = await gateway.reaches('mem', 'hibernated');
  t.true(
    (changed.lastHibernate?.bytesWritten ?? Number.POSITIVE_INFINITY) <= 1.5 * 2 ** 20,
    `1 MiB changed, ${changed.lastHibernate?.bytesWritten} bytes written`,
  );

  t.is(await ask(port, 'verify'), 'ok 16384');
  t.is((await gateway.stop()).exitCode, 0);
  await gateway.start();
  t.is((await gateway.app('mem')).state, 'hibernated', 'what ran was hibernated on the way out');
  t.is(await ask(port, 'count'), '5');
  t.is(await ask(port, 'verify'), 'ok 16384');
});

rootTest('a hibernated app has no process and no memory, and an idle client connection gets its answer on the same connection after the wake', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const rootfs = await rootfsWith('python3');
  const gateway = await testGateway(
    t,
    `app mem
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/memory-server.py 80 16
    volume ${fixtures}:/srv:ro
    expose tcp 80
listen l
    bind 127.0.0.1:${port}
    server s app:mem:80`,
  );
  await gateway.start();
  using client = await lineClient(port);
  t.is(await client.request('count'), '1');
  const shown = JSON.parse(await gateway.cli('show', 'mem', '--json')) as {pids: number[]};
  const [pid] = shown.pids;
  if (pid === undefined) return void t.fail('a running app has a process');
  t.true((await residentBytes(pid)) > 16 << 20);
  await gateway.reaches('mem', 'hibernated');
  await t.throwsAsync(readFile(`/proc/${pid}/status`), {code: 'ENOENT'});
  for (const expected of ['2', '3']) {
    t.is(await client.request('count'), expected);
    await gateway.reaches('mem', 'hibernated');
  }
});
