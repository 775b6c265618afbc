/** Storage that fails under a running gateway: every message has its reason, and no good checkpoint is lost. */
import {copyFile, mkdtemp, open, readdir, readFile, rm, statfs, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../src/core/command.ts';
import {durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';
import {until} from '../helpers/until.ts';

/** Turns one byte of a file around. */
async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte.writeUInt8(byte.readUInt8(0) ^ 0xff);
  await file.write(byte, 0, 1, offset);
}

rootTest('a rootfs that changed under a checkpoint: the wake fails with the reason of CRIU, and works when the file is back', async (t) => {
  t.timeout(60_000);
  const directory = await mkdtemp('/var/tmp/picogate-rootfs-');
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const rootfs = join(directory, 'rootfs');
  await run(['cp', '-a', await rootfsWith('python3'), rootfs], {timeoutMs: 60_000});
  const port = await freePort();
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never'], {rootfs})}${listen('a', port)}`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  await gateway.stop();

  const [program = ''] = (await readdir(join(rootfs, 'usr', 'bin'))).filter((name) => /^python3\.[0-9]+$/.test(name));
  const path = join(rootfs, 'usr', 'bin', program);
  await copyFile(path, `${path}.kept`);
  await writeFile(path, 'another program', {flag: 'a'});
  await gateway.start();
  await t.throwsAsync(ask(port, 'count'));
  const wake = await runProgram(['wake', 'a', '-f', gateway.configFile]);
  t.is(wake.exitCode, 1);
  t.regex(wake.stderr, /Cannot restore app "a".*python3.*size/s);
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 1});

  await copyFile(`${path}.kept`, path);
  t.is(await ask(port, 'agree'), '1 1');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('a disk that is full during a checkpoint: the app goes on, and sleeps when there is room', async (t) => {
  t.timeout(90_000);
  const directory = await mkdtemp('/var/tmp/picogate-store-');
  const store = join(directory, 'store');
  const fileSystem = await tinyFileSystem(store, 64 << 20);
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  t.teardown(() => fileSystem[Symbol.asyncDispose]());
  const port = await freePort();
  const sections = `${await durableApp('a', ['hibernate-after 500ms'])}${listen('a', port)}`;
  const gateway = await testGateway(t, sections, {globals: `    store dir:${store}`});
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.reaches('a', 'hibernated');
  const {bavail, bsize} = await statfs(store);
  await writeFile(join(store, 'ballast'), Buffer.alloc(bavail * bsize - 64 * 1024, 1));
  t.is(await ask(port, 'count'), '2');
  await until(async () => (await gateway.log()).includes('the disk is full'), {timeoutMs: 10_000, what: 'a checkpoint that fails'});
  t.regex(
    await gateway.cli('explain', 'a'),
    /is awake.*\nIt does not sleep because of this: its checkpoint failed: .*the disk is full.*; it is looked at again in /s,
  );
  t.is((await gateway.app('a')).state, 'running');
  t.is(await ask(port, 'count'), '3');
  t.is(await ask(port, 'verify'), verified);

  // It is left alone for some seconds, and tried again.
  await rm(join(store, 'ballast'));
  const row = await gateway.reaches('a', 'hibernated');
  t.is(row.generation, 2);
  t.is(await ask(port, 'agree'), '3 3');
});

rootTest('a damaged page: the app is not given wrong bytes, and the message names object and byte', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await gateway.hibernate('a');
  const segments = join(gateway.stateDir, 'store', 'apps', 'a', 'segments');
  const sizes = await Promise.all((await readdir(segments)).sort().map(async (name) => ({name, size: (await readFile(join(segments, name))).length})));
  const [largest] = sizes.toSorted((a, b) => b.size - a.size);
  if (largest === undefined) return void t.fail('no segment');
  for (let offset = 4096; offset < largest.size - 8192; offset += 65_536) await flipByte(join(segments, largest.name), offset);

  const seen = await ask(port, 'verify').catch(() => 'the connection ended');
  t.notRegex(seen, /differs/, 'no wrong bytes');
  t.not(seen, verified);
  await until(async () => /Cannot read object \\"apps\/a\/segments\/\d+\\".*at byte \d+/.test(await gateway.log()), {what: 'a message that names the object'});
  await gateway.reaches('a', 'hibernated');
  t.is((await gateway.app('a')).generation, 2);
  t.deepEqual((await readdir(join(gateway.stateDir, 'store', 'apps', 'a', 'manifests'))).length, 2, 'no generation was deleted');
});

rootTest('a damaged manifest: that app says so, the others go on, also after a restart, and nothing of it is deleted', async (t) => {
  t.timeout(90_000);
  const [damaged, good] = [await freePort(), await freePort()];
  const options = ['hibernate-after never'];
  const sections = [await durableApp('damaged', options), listen('damaged', damaged), await durableApp('good', options), listen('good', good)];
  const gateway = await testGateway(t, sections.join(''));
  await gateway.start();
  for (const port of [damaged, good]) t.is(await ask(port, 'count'), '1');
  for (const name of ['damaged', 'good']) await gateway.hibernate(name);
  await gateway.stop();
  const manifest = join(gateway.stateDir, 'store', 'apps', 'damaged', 'manifests', '00000001.json');
  const kept = await readFile(manifest);
  await flipByte(manifest, Math.floor(kept.length / 2));
  const layers = await readdir(join(gateway.stateDir, 'apps', 'damaged', 'layers'));

  await gateway.start();
  t.is(await ask(good, 'agree'), '1 1');
  await t.throwsAsync(ask(damaged, 'count'));
  const wake = await runProgram(['wake', 'damaged', '-f', gateway.configFile]);
  t.is(wake.exitCode, 1);
  t.regex(wake.stderr, /Cannot read object "apps\/damaged\/manifests\/00000001\.json"/);
  const now = await readdir(join(gateway.stateDir, 'apps', 'damaged', 'layers'));
  t.deepEqual(
    layers.filter((layer) => !now.includes(layer)),
    [],
    'its files are where they were',
  );
  await gateway.stop();
  await writeFile(manifest, kept);
  await gateway.start();
  t.is(await ask(damaged, 'agree'), '1 1');
  t.is(await ask(damaged, 'verify'), verified);
});
