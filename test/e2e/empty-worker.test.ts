/** Apps whose worker is gone: another one finds their memory and their files in the store. */
import {readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {createLog} from '../../src/core/log.ts';
import {openS3Store} from '../../src/store/s3-store.ts';
import {durableApp, listen, verified} from '../helpers/durable-app.ts';
import {freePort, type TestGateway} from '../helpers/gateway.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {appsServer, layersOf, s3Gateway, storedRow, untilStored} from '../helpers/s3-gateway.ts';
import {hasS3Server, startS3Server} from '../helpers/s3-server.ts';

const s3Test = hasS3Server ? rootTest : test.skip;
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function filesApp(name: string): Promise<string> {
  return `app ${name}
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/files-server.py 80
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
`;
}

/** Its disks are gone, and with them Redis. The configuration and the log are those of the test. */
async function lose(gateway: TestGateway): Promise<void> {
  await gateway.stop();
  for (const name of await readdir(gateway.stateDir)) {
    if (!name.endsWith('.cfg') && !name.endsWith('.log')) await rm(join(gateway.stateDir, name), {recursive: true});
  }
}

/** Without that of the next instance, which is prepared. */
async function writtenLayers(layersDir: string): Promise<number> {
  const sizes = await Promise.all((await readdir(layersDir)).map(async (layer) => (await readdir(join(layersDir, layer, 'upper'))).length));
  return sizes.filter((size) => size > 0).length;
}

/**
 * Puts what one server has below a prefix into the bucket of another: keys and contents, which is all that most backups keep of a bucket.
 * @returns how many objects there were
 */
async function copyObjects(from: string, to: string, prefix: string): Promise<number> {
  const store = {bucket: 'apps', prefix, region: null, pathStyle: true, log: createLog('silent')};
  await using source = await openS3Store({...store, endpoint: from});
  await using target = await openS3Store({...store, endpoint: to});
  const objects = await source.list('');
  for (const {key} of objects) await target.put(key, await source.get(key));
  return objects.length;
}

async function ask(port: number, ...requests: readonly string[]): Promise<string[]> {
  using client = await lineClient(port);
  const answers: string[] = [];
  for (const request of requests) answers.push(await client.request(request));
  return answers;
}

s3Test('an empty worker wakes apps with their memory and their files, and both agree', async (t: ExecutionContext) => {
  const store = {endpoint: (await appsServer()).endpoint, prefix: 'empty'};
  const [port, filesPort] = [await freePort(), await freePort()];
  const sections = `${await filesApp('files')}${listen('files', filesPort)}${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}`;
  const first = await s3Gateway(t, store, sections);
  await first.start();
  t.deepEqual(await ask(filesPort, 'change', 'verify'), ['1', 'ok 1']);
  await ask(port, 'count');
  for (const name of ['a', 'files']) await first.hibernate(name);
  // A second layer over the first one.
  t.deepEqual(await ask(filesPort, 'change', 'verify'), ['2', 'ok 2']);
  t.deepEqual(await ask(port, 'count', 'agree'), ['2', '2 2']);
  await first.stop();
  // On the way out they were put to sleep; what was not uploaded by then is uploaded by the same worker.
  await first.start();
  for (const name of ['a', 'files']) await untilStored(first, name);
  t.is(await writtenLayers(layersOf(first, 'files')), 2);
  await lose(first);

  // The other way round, so that numbers given in order would be wrong.
  const second = await s3Gateway(
    t,
    store,
    `${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}${await filesApp('files')}${listen('files', filesPort)}`,
  );
  await second.start();
  for (const name of ['a', 'files']) t.like(await storedRow(second, name), {state: 'hibernated', residency: 'cold', generation: 2, stored: true});
  await t.throwsAsync(readdir(layersOf(second, 'files')), {code: 'ENOENT'});
  const started = performance.now();
  t.deepEqual(await ask(filesPort, 'verify'), ['ok 2']);
  t.log(`first answer after ${Math.round(performance.now() - started)} ms`);
  t.deepEqual(await ask(port, 'agree', 'verify', 'count', 'agree'), ['2 2', verified, '3', '3 3']);
  t.deepEqual(await ask(filesPort, 'change', 'verify'), ['3', 'ok 3']);

  // Cold again: only the newest layer was new, and all of them go.
  for (const name of ['a', 'files']) await second.cli('hibernate', name, '--cold');
  t.deepEqual(await readdir(layersOf(second, 'files')), []);
  t.deepEqual(await ask(filesPort, 'verify'), ['ok 3']);
  t.deepEqual(await ask(port, 'agree', 'verify'), ['3 3', verified]);
});

s3Test('a worker on which the private range of the checkpoints is in use says so, and what to configure', async (t: ExecutionContext) => {
  const store = {endpoint: (await appsServer()).endpoint, prefix: 'range'};
  const port = await freePort();
  const sections = `${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}`;
  const first = await s3Gateway(t, store, sections);
  await first.start();
  await ask(port, 'count');
  await first.hibernate('a');
  await untilStored(first);
  await first.stop();
  // The first one only rests: the range is its own.
  const range = (await readFile(join(first.stateDir, 'private-range'), 'utf8')).trim();
  const second = await s3Gateway(t, store, sections);
  await t.throwsAsync(second.start(), {message: new RegExp(`Cannot use private range ${range}, which the checkpoint of app .*"a.*private-range`)});
  const config = await readFile(second.configFile, 'utf8');
  await writeFile(second.configFile, config.replace('global\n', 'global\n    private-range 10.254.253.0/24\n'));
  await second.start();
  await t.throwsAsync(second.cli('wake', 'a'), {message: new RegExp(`its checkpoint has the address .*"private-range ${range}"`)});
  t.like(await storedRow(second), {state: 'hibernated', generation: 1, stored: true});
  await second.stop();
  await lose(first);
  await writeFile(second.configFile, config.replace('global\n', `global\n    private-range ${range}\n`));
  await second.start();
  t.deepEqual(await ask(port, 'agree', 'verify'), ['1 1', verified]);
});

s3Test('a copy of the bucket is a backup: apps wake as they were then, on a host that has nothing else', async (t: ExecutionContext) => {
  const original = await appsServer();
  await using restored = await startS3Server();
  await restored.createBucket('apps');
  const prefix = 'kept';
  const [port, filesPort] = [await freePort(), await freePort()];
  const sections = `${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}${await filesApp('files')}${listen('files', filesPort)}`;
  const lost = await s3Gateway(t, {endpoint: original.endpoint, prefix}, sections);
  await lost.start();
  t.deepEqual(await ask(filesPort, 'change', 'verify'), ['1', 'ok 1']);
  t.deepEqual(await ask(port, 'count'), ['1']);
  for (const name of ['a', 'files']) {
    await lost.hibernate(name);
    await untilStored(lost, name);
  }
  t.log(`${await copyObjects(original.endpoint, restored.endpoint, prefix)} objects`);
  // What comes after the backup is lost with the host and its bucket.
  t.deepEqual(await ask(filesPort, 'change'), ['2']);
  t.deepEqual(await ask(port, 'count'), ['2']);
  await lost.stop();
  await lose(lost);

  const gateway = await s3Gateway(t, {endpoint: restored.endpoint, prefix}, sections);
  await gateway.start();
  for (const name of ['a', 'files']) t.like(await storedRow(gateway, name), {state: 'hibernated', residency: 'cold', generation: 1, stored: true});
  t.deepEqual(await ask(filesPort, 'verify', 'change'), ['ok 1', '2']);
  t.deepEqual(await ask(port, 'agree', 'verify', 'count'), ['1 1', verified, '2']);
  // And it is written to like any other bucket.
  for (const name of ['a', 'files']) await gateway.cli('hibernate', name, '--cold');
  t.deepEqual(await ask(filesPort, 'verify'), ['ok 2']);
  t.deepEqual(await ask(port, 'agree', 'verify'), ['2 2', verified]);
});
