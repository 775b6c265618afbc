/** Apps that are added to a running gateway: reached, kept over restarts and losses of Redis, removed; the file of the configuration goes first. */
import {existsSync} from 'node:fs';
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {Redis} from 'ioredis';
import {errorMessage} from '../../src/core/errors.ts';
import {durableApp, durableOptions} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';

serialRootTest('an app is added to a running gateway, survives its restart and the loss of Redis, and is removed', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  // It begins without apps, and so without Redis.
  const gateway = await testGateway(t, `listen plain\n    bind 127.0.0.1:${await freePort()}\n    server s 127.0.0.1:9\n`);
  await gateway.start();
  const reload = async (change: (file: string) => string): Promise<void> => {
    await writeFile(gateway.configFile, change(await readFile(gateway.configFile, 'utf8')));
    process.kill(gateway.pid, 'SIGUSR2');
  };
  await reload((file) => file.replace('global\n', 'global\n    dynamic-apps\n'));
  await until(async () => (await gateway.log()).includes('configuration taken over'), {what: 'the reload'});
  const options = durableOptions(await rootfsWith('python3'));
  const add = (...more: readonly string[]): Promise<string> => gateway.cli('app', 'add', 'wiki', ...options, ...more);
  const listed = async (): Promise<unknown> => JSON.parse(await gateway.cli('app', 'list', '--json'));

  // As the parser says it, and nothing is there then.
  await t.throwsAsync(add('--publish', `127.0.0.1:${port}:81`), {
    message: /Cannot add app "wiki":\n\[ALERT\].*\[app add wiki:\d+:\d+\].*port 81 \(tcp\) of app 'wiki' is not exposed/,
  });
  await t.throwsAsync(gateway.cli('app', 'add', 'x', '--image', 'none'), {message: /there is no image "none"/});
  t.deepEqual(await listed(), []);

  t.is(await add('--publish', `127.0.0.1:${port}:80`), 'wiki: added\n');
  t.is(await ask(port, 'count'), '1');
  t.regex(await gateway.cli('apps'), /^\s*wiki +running +added /m);
  t.is((JSON.parse(await gateway.cli('show', 'wiki', '--json')) as {origin: string}).origin, 'added');
  await t.throwsAsync(add(), {message: /Cannot add app "wiki": there is one of this name/});

  await gateway.stop();
  await gateway.start();
  t.is(await ask(port, 'count'), '2');

  // Redis has lost everything: what is known here goes back.
  const redis = new Redis(join(gateway.stateDir, 'run', 'redis', 'redis.sock'));
  t.teardown(() => redis.disconnect());
  await redis.flushall();
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until(async () => (await redis.hexists('picogate:{added}:apps', 'app:wiki')) === 1, {what: 'the app in Redis'});

  // Another gateway has added one: told by an event.
  await redis.hset(
    'picogate:{added}:apps',
    'version',
    Date.now() + 1000,
    'app:other',
    JSON.stringify({name: 'other', text: await durableApp('other', []), at: 1}),
  );
  await redis.xadd('picogate:events', '*', 'event', JSON.stringify({at: Date.now(), app: 'other', kind: 'app-added', by: 'another'}));
  await until(async () => JSON.stringify(await gateway.cli('apps', '--json')).includes('other'), {what: 'the other app'});

  // The file has one of the name, which counts from the reload on.
  const other = await durableApp('other', ['pin']);
  await reload((file) => `${file}${other}`);
  await until(async () => /other +\S+ \(pinned\)/.test(await gateway.cli('apps')), {what: 'the app of the file'});
  t.regex(await gateway.cli('app', 'list'), /^other +file \(also added\) /m);
  t.is(await ask(port, 'count'), '3');
  await gateway.cli('app', 'rm', 'other', '--yes');
  t.like(await listed(), [
    {name: 'other', origin: 'file', added: null},
    {name: 'wiki', origin: 'added'},
  ]);
  await t.throwsAsync(gateway.cli('app', 'rm', 'other', '--yes'), {message: /it is in the configuration file/});

  await t.throwsAsync(gateway.cli('app', 'rm', 'wiki'), {message: /no terminal; --yes/});
  await gateway.cli('app', 'rm', 'wiki', '--yes');
  await t.throwsAsync(ask(port, 'count'), {code: 'ECONNREFUSED'});
  // It was put to sleep, and goes on from there.
  await add('--publish', `127.0.0.1:${port}:80`);
  t.is(await ask(port, 'count'), '4');
  t.is(await gateway.cli('app', 'rm', 'wiki', '--yes', '--purge'), 'wiki: removed, with all that was kept of it\n');
  t.false(existsSync(join(gateway.stateDir, 'apps', 'wiki')));
  t.deepEqual(
    [...(await gatewayObjects(gateway.stateDir))].filter((name) => name.includes('wiki')),
    [],
  );
  await add('--publish', `127.0.0.1:${port}:80`).catch((error: unknown) => t.fail(errorMessage(error)));
  t.is(await ask(port, 'count'), '1');
});

async function gatewayObjects(stateDir: string): Promise<readonly string[]> {
  const {readdir} = await import('node:fs/promises');
  return (await readdir(join(stateDir, 'store'), {recursive: true, withFileTypes: true})).filter((entry) => entry.isFile()).map((entry) => entry.parentPath);
}

serialRootTest('a configuration without apps leaves alone what was added in its state directory', async (t) => {
  const gateway = await testGateway(t, `listen plain\n    bind 127.0.0.1:${await freePort()}\n    server s 127.0.0.1:9\n`);
  const added = JSON.stringify({version: 1, apps: [{name: 'other', text: await durableApp('other', []), at: 1}]});
  const file = join(gateway.stateDir, 'added-apps.json');
  await writeFile(file, added);
  await gateway.start();
  t.regex(await gateway.log(), /"apps":0,/);
  t.false(existsSync(join(gateway.stateDir, 'redis')));
  t.is(await readFile(file, 'utf8'), added);
});
