/** The files of apps on a worker whose `cache-size` is small. */
import {readdir} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {appsServer, layersOf, storedRow} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {until} from '../helpers/until.ts';

const s3Test = hasS3Server ? rootTest : test.skip;
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

s3Test('files of a sleeping app make room when they are stored, those of an awake one stay; a wake has all of them again', async (t) => {
  t.timeout(180_000);
  const {endpoint} = await appsServer();
  const [a, b] = [await freePort(), await freePort()];
  const rootfs = await rootfsWith('python3');
  const section = (name: string, port: number): string => `app ${name}
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/files-server.py 80
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
listen ${name}
    bind 127.0.0.1:${port}
    server s app:${name}:80
`;
  const globals = `    store s3://apps/limit-${a} endpoint ${endpoint} path-style\n    cache-size 1m`;
  const gateway = await testGateway(t, `${section('a', a)}${section('b', b)}`, {globals});
  await gateway.start();
  using clientA = await lineClient(a);
  using clientB = await lineClient(b);
  const layers = async (name: string): Promise<number> => (await readdir(layersOf(gateway, name))).filter((layer) => !layer.startsWith('.')).length;
  for (let round = 1; round <= 3; round++) {
    t.is(await clientB.request('change'), String(round));
    t.is(await clientA.request('change'), String(round));
    await gateway.hibernate('a');
    await until(async () => (await layers('a')) === 0, {timeoutMs: 30_000, what: 'room'});
    t.true((await storedRow(gateway)).stored);
    t.true((await layers('b')) > 0, 'those of an app that runs stay');
    t.is(await clientA.request('verify'), `ok ${round}`);
    t.is(await clientB.request('verify'), `ok ${round}`);
  }
  // Also what only the gateway before had counted.
  await gateway.hibernate('b');
  await gateway.stop();
  await gateway.start();
  await until(async () => (await layers('a')) + (await layers('b')) === 0, {timeoutMs: 60_000, what: 'room after a restart'});
  t.is(await ask(a, 'verify'), 'ok 3');
  t.is(await ask(b, 'verify'), 'ok 3');
});
