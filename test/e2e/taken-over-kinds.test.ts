/** kill -9 of the gateway while apps of all kinds are awake, and starts that fail afterwards. */
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {durableApp, durableGateway, durableGatewayWith, durableOptions, listen, verified} from '../helpers/durable-app.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {faultProxy} from '../helpers/fault-proxy.ts';
import {freePort, leftovers, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {appPids, killed, pagerPid, processesWith} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {rounds} from '../helpers/rounds.ts';
import {runProgram} from '../helpers/run-program.ts';
import {appsServer, s3Gateway} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

function pidsOf(gateway: TestGateway, app = 'a'): Promise<number[]> {
  return appPids(gatewayIdentity(gateway.stateDir), app);
}

async function imageGateway(t: ExecutionContext, globals = ''): Promise<{gateway: TestGateway; port: number}> {
  const port = await freePort();
  const section = (await durableApp('a', ['hibernate-after never', 'prefetch off'])).replace(/rootfs .*/, 'image py');
  const gateway = await testGateway(t, `${section}${listen('a', port)}`, {globals});
  await gateway.cli('image', 'import', 'py', await rootfsWith('python3'));
  return {gateway, port};
}

/** Reads files of the root that nobody has read before. */
async function readsRoot(gateway: TestGateway): Promise<string> {
  return (await runProgram(['exec', 'a', '-f', gateway.configFile, '--', 'python3', '-c', 'import json, http.client, decimal; print(json.dumps(1))'])).stdout;
}

rootTest('an app whose root is an image goes on in it', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await imageGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '2');
  t.is(await readsRoot(gateway), '1\n');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '3');
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '4');
  t.is(await readsRoot(gateway), '1\n');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '4 4');
  t.is(await ask(port, 'verify'), verified);
});

for (const [root, made] of [
  ['a directory', (t: ExecutionContext, globals: string) => durableGatewayWith(t, {globals})],
  ['an image', imageGateway],
] as const) {
  rootTest(`a gateway that cannot start leaves an app with ${root} as root to the next one`, async (t) => {
    t.timeout(180_000);
    await using directory = await temporaryDirectory();
    const keyFile = join(directory.path, 'key');
    const key = randomBytes(32).toString('hex');
    await writeFile(keyFile, key, {mode: 0o600});
    const {gateway, port} = await made(t, `    encryption-key file:${keyFile}`);
    await gateway.start();
    t.is(await ask(port, 'count'), '1');
    await gateway.hibernate('a');
    t.is(await ask(port, 'count'), '2');
    const pids = await pidsOf(gateway);
    await gateway.stop('SIGKILL');
    await writeFile(keyFile, randomBytes(32).toString('hex'));
    await t.throwsAsync(gateway.start(), {message: /key/});
    await writeFile(keyFile, key);
    await gateway.start();
    t.is(await ask(port, 'count'), '3');
    t.deepEqual(await pidsOf(gateway), pids);
    t.is(await readsRoot(gateway), '1\n');
    t.is(await ask(port, 'verify'), verified);
    await gateway.hibernate('a');
    t.is(await ask(port, 'agree'), '3 3');
  });
}

rootTest('a gateway that cannot listen puts to sleep what it has taken over', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await gateway.stop('SIGKILL');
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  await t.throwsAsync(gateway.start());
  other.close();
  await once(other, 'close');
  await gateway.start();
  t.is((await gateway.app('a')).generation, 2);
  t.is(await ask(port, 'agree'), '2 2');
});

rootTest('all processes of an app go on', async (t) => {
  t.timeout(180_000);
  const [port, second] = [await freePort(), await freePort()];
  const one = '/usr/bin/python3 /srv/durable-server.py';
  const section = (await durableApp('a', ['expose tcp 81', 'hibernate-after never', 'prefetch off', 'memory 400m'])).replace(
    /exec .*/,
    `exec /bin/sh -c "cd /tmp; ${one} 80 8 & ${one} 81 8; wait"`,
  );
  const gateway = await testGateway(t, `${section}${listen('a', port)}${listen('b', second).replace('app:b:80', 'app:a:81')}`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  t.is(await ask(second, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const pids = await pidsOf(gateway);
  t.is(pids.length, 3);
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.deepEqual(await pidsOf(gateway), pids);
  t.is(await ask(second, 'count'), '2');
  t.is(await ask(port, 'verify'), verified);
  t.is(await ask(second, 'verify'), verified);
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '2 4');
  t.is(await ask(second, 'agree'), '2 4');
});

rootTest('a command that an operator runs in the app ends, and the app goes on', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  const guest = runProgram(['exec', 'a', '-f', gateway.configFile, '--', 'python3', '-c', 'import time; time.sleep(61.5)'], {timeoutMs: 60_000});
  await until(async () => (await processesWith('time.sleep(61.5)')).length >= 2, {what: 'the command'});
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '2');
  await guest;
  t.deepEqual(await processesWith('python3\0-c\0import time; time.sleep(61.5)'), []);
  t.is(await readsRoot(gateway), '1\n');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '2 2');
});

rootTest('an app that was added goes on', async (t) => {
  t.timeout(180_000);
  const gateway = await testGateway(t, '', {globals: '    dynamic-apps\n'});
  await gateway.start();
  await gateway.cli('app', 'add', 'a', ...durableOptions(await rootfsWith('python3')));
  await gateway.cli('wake', 'a');
  const pids = await pidsOf(gateway);
  for (let round = 1; round <= 2; round += 1) {
    await gateway.stop('SIGKILL');
    await gateway.start();
    t.is((await gateway.app('a')).state, 'running');
    t.deepEqual(await pidsOf(gateway), pids);
  }
  await gateway.hibernate('a');
  await gateway.cli('wake', 'a');
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is((await gateway.app('a')).state, 'running');
  await gateway.cli('app', 'rm', 'a', '--purge', '--yes');
  t.deepEqual(await pidsOf(gateway), []);
  await gateway.stop();
  t.deepEqual(await leftovers(gateway.stateDir), []);
});

rootTest('an app that was restored eagerly goes on, also when the next gateway and its pager are killed while they take it over', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'paging eager', 'start eager');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const pids = await pidsOf(gateway);
  await gateway.stop('SIGKILL');
  {
    await using point = await armFaultPoint('supervisor:wake:routed');
    await t.throwsAsync(gateway.start());
    t.true(point.hasKilled());
  }
  await gateway.start();
  t.is(await ask(port, 'count'), '3');
  t.deepEqual(await pidsOf(gateway), pids);
  t.is(await ask(port, 'verify'), verified);
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '3 3');
});

rootTest('an app whose keeper of page faults has ended with the gateway goes back to its checkpoint, and answers nobody before', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const pids = await pidsOf(gateway);
  const pager = await pagerPid(gateway.stateDir);
  await gateway.stop('SIGKILL');
  await until(async () => !(await processesWith('pager/main.ts')).includes(pager));
  for (const line of (await leftovers(gateway.stateDir)).filter((one) => one.includes('sleep 2147483647'))) {
    await killed(Number(/^process (\d+)/.exec(line)?.[1]));
  }
  await gateway.start();
  t.notDeepEqual(await pidsOf(gateway), pids);
  t.notRegex(await gateway.log(), /goes on/);
  t.is(await ask(port, 'agree'), '1 1');
  t.is(await ask(port, 'verify'), verified);
});

(hasS3Server ? rootTest : test.skip)('an app of a store on S3 goes on, also while the store cannot be reached', async (t) => {
  t.timeout(180_000);
  const {port: s3Port} = await appsServer();
  await using proxy = await faultProxy(s3Port);
  const port = await freePort();
  const where = {endpoint: proxy.endpoint, prefix: `taken-${port}`};
  const gateway = await s3Gateway(t, where, `${await durableApp('a', ['hibernate-after never', 'prefetch off'])}${listen('a', port)}`);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.cli('hibernate', 'a', '--cold');
  t.is(await ask(port, 'count'), '2');
  const pids = await pidsOf(gateway);
  await gateway.stop('SIGKILL');
  proxy.decide = () => ({kind: 'reset'});
  await gateway.start();
  t.is((await gateway.app('a')).state, 'running');
  const [counted, all] = [ask(port, 'count'), ask(port, 'verify')];
  await until(async () => (await gateway.log()).includes('the memory of the instance cannot be served now'), {what: 'an attempt of the pager'});
  proxy.decide = () => null;
  t.deepEqual(await Promise.all([counted, all]), ['3', verified], 'pages that are in the store only are waited for');
  t.deepEqual(await pidsOf(gateway), pids);
  await gateway.cli('hibernate', 'a', '--cold');
  t.is(await ask(port, 'agree'), '3 3');
  t.is((await gateway.app('a')).generation, 2);
});

rootTest('what a power failure has left of the records of the pager keeps no gateway from starting', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t);
  const records = join(gateway.stateDir, 'run', 'pager', 'instances');
  await mkdir(records, {recursive: true});
  await writeFile(join(records, 'a.1796092673863-aa295551.json'), '');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
});

rootTest('an app that ends after it was taken over is started again as it says, and taken over again', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'restart always', 'memory 300m', 'checkpoint-every 1h', 'timers on');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '2');
  const [pid = 0] = await pidsOf(gateway);
  await killed(pid);
  await until(async () => (await pidsOf(gateway)).some((other) => other !== pid), {timeoutMs: 30_000, what: 'another instance'});
  t.is(await ask(port, 'agree'), '0 2');
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
});

rootTest('an app is taken over by the last of several gateways that were killed at random moments of their starts, one after the other', async (t) => {
  t.timeout(240_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off', 'background-fetch off');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const pids = await pidsOf(gateway);
  await gateway.stop('SIGKILL');
  for (let round = 1; round <= rounds(4); round += 1) {
    const started = gateway.start().catch(() => undefined);
    await setTimeout(300 + Math.random() * 3000);
    await gateway.stop('SIGKILL');
    await started;
  }
  await gateway.start();
  t.is(await ask(port, 'count'), '3');
  t.deepEqual(await pidsOf(gateway), pids);
  t.is(await ask(port, 'verify'), verified);
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '3 3');
});

rootTest('an app goes on that a program has left which knew fewer settings', async (t) => {
  t.timeout(180_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.stop('SIGKILL');
  const path = join(gateway.stateDir, 'run', 'containers', '+running', 'a.json');
  const note = JSON.parse(await readFile(path, 'utf8')) as {config: Record<string, unknown>};
  const {wakeAt, awakeWhile, onRestoreFailure, ...known} = note.config;
  t.deepEqual([wakeAt, onRestoreFailure, awakeWhile !== undefined], [[], ['retry'], true]);
  await writeFile(path, JSON.stringify({...note, config: known}));
  await gateway.start();
  t.is(await ask(port, 'count'), '2');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '2 2');
});
