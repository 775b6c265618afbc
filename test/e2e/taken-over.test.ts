/** kill -9 of the gateway while apps are awake: the next one takes them over as they are, with all that they did since their checkpoints. */
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, leftovers, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {appPids, killed} from '../helpers/gateway-processes.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

function pidsOf(gateway: TestGateway, app = 'a'): Promise<number[]> {
  return appPids(gatewayIdentity(gateway.stateDir), app);
}

async function lostLayers(gateway: TestGateway): Promise<string[]> {
  return (await readdir(join(gateway.stateDir, 'apps', 'a', 'layers'))).filter((layer) => layer.startsWith('lost-'));
}

rootTest('an app that was ahead of its checkpoint goes on, and nothing that it did is lost', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  // CRIU works in the groups of the app, and ends a little after its answer.
  await until(async () => (await pidsOf(gateway)).length === 1, {what: 'the end of CRIU'});
  const pids = await pidsOf(gateway);
  for (const expected of ['3', '4']) {
    await gateway.stop('SIGKILL');
    await gateway.start();
    t.like(await gateway.app('a'), {state: 'running', residency: 'hot', generation: 1});
    t.is(await ask(port, 'count'), expected);
  }
  t.is(await ask(port, 'verify'), verified, 'pages that were missing are paged by the next pager');
  t.deepEqual(await pidsOf(gateway), pids, 'the processes are the same');
  t.deepEqual(await lostLayers(gateway), []);

  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '4 4');
  t.is((await gateway.app('a')).generation, 2);
  t.is(await ask(port, 'verify'), verified);
  await gateway.stop();
  t.deepEqual(await leftovers(gateway.stateDir), []);
});

rootTest('an app that never had a checkpoint goes on too, prints to its log meanwhile, and its end is seen', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `${await durableApp('a', ['hibernate-after never'])}
frontend f
    mode nat
    bind 127.0.0.1:${port}
    default_backend b
backend b
    server s app:a:80`,
  );
  await gateway.start();
  using client = await lineClient(port, {timeoutMs: 60_000});
  t.is(await client.request('count'), '1');
  await gateway.stop('SIGKILL');
  // Nobody carries packets or reads the log now: the request reaches the app once a gateway is there.
  const said = client.request('say something');
  await gateway.start();
  t.is(await said, 'something');
  t.is(await client.request('agree'), '1 1', 'the connection through the kernel is the same');
  await until(async () => (await gateway.cli('logs', 'a')).includes('something'), {what: 'the line in the log'});

  const [pid = 0] = await pidsOf(gateway);
  await killed(pid);
  await gateway.reaches('a', 'stopped');
  t.is(await ask(port, 'agree'), '0 1');
});

rootTest('an app that ended while there was no gateway goes back to its checkpoint', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  const [pid = 0] = await pidsOf(gateway);
  await gateway.stop('SIGKILL');
  await killed(pid);
  await gateway.start();
  t.is((await gateway.app('a')).state, 'hibernated');
  t.is(await ask(port, 'agree'), '1 1');
  t.is((await lostLayers(gateway)).length, 1);
});

rootTest('an app that another one joins, or that is not configured any more, is what the configuration says', async (t) => {
  t.timeout(120_000);
  const [portA, portB] = [await freePort(), await freePort()];
  const [a, b] = [await durableApp('a', ['hibernate-after never']), await durableApp('b', ['hibernate-after never'])];
  const gateway = await testGateway(t, `${a}${listen('a', portA)}`);
  await gateway.start();
  const with_ = await readFile(gateway.configFile, 'utf8');
  t.is(await ask(portA, 'count'), '1');
  await gateway.stop('SIGKILL');

  await writeFile(gateway.configFile, with_.replace(`${a}${listen('a', portA)}`, `${b}${listen('b', portB)}`));
  await gateway.start();
  t.is(await ask(portB, 'count'), '1');
  await until(async () => (await pidsOf(gateway)).length === 0, {what: 'the app that is gone to be put to sleep'});
  await gateway.stop('SIGKILL');

  await writeFile(gateway.configFile, with_.replace('hibernate-after never', 'hibernate-after 200ms'));
  await gateway.start();
  t.is(await ask(portA, 'agree'), '1 1', 'what it did before it was gone is in its checkpoint');
  await gateway.reaches('a', 'hibernated');
});

rootTest('cleanup ends what could be taken over', async (t) => {
  t.timeout(120_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await gateway.stop('SIGKILL');
  await gateway.cli('cleanup');
  t.deepEqual(await leftovers(gateway.stateDir), []);
  await gateway.start();
  t.is(await ask(port, 'agree'), '1 1');
});
