/** An app of which most is in the store only, over many sleeps. */
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {segmentsMax} from '../../src/pager/checkpoints/compaction-plan.ts';
import {type Manifest, parseManifest} from '../../src/pager/checkpoints/manifest.ts';
import {freePort, type TestGateway} from '../helpers/gateway.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {appsServer, s3Gateway} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {until} from '../helpers/until.ts';

const s3Test = hasS3Server ? rootTest : test.skip;
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const kib = 1024;
const mebibytes = 16;
const sleeps = 30;

/** Of the newest generation, whether it is uploaded yet or not. */
async function newestManifest(gateway: TestGateway): Promise<Manifest> {
  const app = appName('mem');
  const found: {generation: number; path: string; object: string}[] = [];
  for (const place of ['store', 'cache']) {
    const directory = join(gateway.stateDir, place, 'apps/mem/manifests');
    for (const file of await readdir(directory).catch(() => []))
      found.push({generation: Number.parseInt(file, 10), path: join(directory, file), object: `apps/mem/manifests/${file}`});
  }
  const newest = found.reduce((best, one) => (one.generation > best.generation ? one : best));
  return parseManifest(await readFile(newest.path), {object: newest.object, app, generation: newest.generation});
}

/** Also that Redis points at it: a compaction that is interrupted before that leaves the chain as it was. */
async function isShort(gateway: TestGateway): Promise<boolean> {
  const {copyOf, generation, segments} = await newestManifest(gateway);
  return segments.length <= segmentsMax && (copyOf === null || (await gateway.app('mem')).generation === generation);
}

s3Test('an app that is woken in part only, thirty times: its chain stays short, and every byte right', async (t) => {
  t.timeout(240_000);
  const {endpoint} = await appsServer();
  const port = await freePort();
  const section = `app mem
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/memory-server.py 80 ${mebibytes}
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
    prefetch off
    background-fetch off
listen l
    bind 127.0.0.1:${port}
    server s app:mem:80
`;
  const gateway = await s3Gateway(t, {endpoint, prefix: `partly-${port}`}, section);
  await gateway.start();
  using client = await lineClient(port);
  let longest = 0;
  for (let sleep = 1; sleep <= sleeps; sleep++) {
    t.is(await client.request('count'), String(sleep));
    t.is(await client.request(`write ${256 * kib} ${((sleep * 7) % mebibytes) * kib * kib}`), 'ok');
    // What it was woken from goes out of reach again and again.
    await gateway.cli('hibernate', 'mem', ...(sleep % 6 === 1 ? ['--cold'] : []));
    if (sleep % 6 === 1) continue;
    longest = Math.max(longest, (await newestManifest(gateway)).segments.length);
    await until(async () => isShort(gateway).catch(() => false), {what: 'few segments'});
  }
  t.log(`longest chain: ${longest}`);
  t.true(longest <= segmentsMax + 1, `${longest} segments`);
  t.regex(await gateway.cli('metrics'), /^picogate_app_compactions_total\{app="mem"\} [1-9]/m);
  t.is(await client.request('verify'), `ok ${mebibytes * 256}`);
  await gateway.cli('hibernate', 'mem', '--cold');
  t.is(await client.request('count'), String(sleeps + 1));
  t.is(await client.request('verify'), `ok ${mebibytes * 256}`);
});
