import {readdir} from 'node:fs/promises';
import {createServer} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {run, startDaemon} from '../../src/core/command.ts';
import {appName, type GatewayIdentity, gatewayIdentity} from '../../src/core/ids.ts';
import {tableName} from '../../src/nat/names.ts';
import {firstFreeRange, removeLeftovers} from '../../src/nat/nat.ts';
import {until} from '../helpers/until.ts';
import {test} from './serial-test.ts';
import {type Agent, startAgent, startApp, startClient, startGateway, startScene} from './topology.ts';

const timeoutMs = 10_000;

/** All kernel objects of a gateway. */
async function objectsOf(identity: GatewayIdentity): Promise<string[]> {
  const tables = await run(['nft', 'list', 'tables'], {timeoutMs});
  const interfaces = await readdir('/sys/class/net');
  const namespaces = await readdir('/run/netns');
  return [...tables.stdout.split('\n'), ...interfaces, ...namespaces].filter(
    (name) => name.includes(`picogate-${identity}`) || name.includes(`picogate_${identity}`) || name.startsWith(`pg${identity}`),
  );
}

test('disposing removes namespaces, interfaces, table and routes, also those of apps', async (t) => {
  const gateway = await startGateway();
  const first = await startApp(gateway, 0);
  const second = await startApp(gateway, 1);
  second.network.wake();
  t.is((await objectsOf(gateway.identity)).length, 6);
  await second.agent[Symbol.asyncDispose]();
  await second.network[Symbol.asyncDispose]();
  await second.network[Symbol.asyncDispose]();
  t.is((await objectsOf(gateway.identity)).length, 4);
  await first.agent[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
  t.deepEqual(await objectsOf(gateway.identity), []);
  t.false((await run(['ip', 'route', 'show', 'table', 'all'], {timeoutMs})).stdout.includes(gateway.range.address.replace(/0$/, '')));
  first.network.wake();
  first.network.sleep([]);
  await first.network[Symbol.asyncDispose]();
});

test('an app has no namespace before it is to run, and one that is made meanwhile goes with the gateway', async (t) => {
  const gateway = await startGateway();
  const network = gateway.nat.addApp({name: appName('app'), index: 0, expose: []});
  t.is((await objectsOf(gateway.identity)).length, 2);
  network.sleep([]);
  network.setFlows([]);
  t.throws(() => network.wake(), {message: /was not prepared/});
  await Promise.all([network.prepare(), network.prepare()]);
  t.is((await objectsOf(gateway.identity)).length, 4);
  network.wake();
  const other = gateway.nat.addApp({name: appName('other'), index: 1, expose: []});
  const preparing = other.prepare();
  await gateway[Symbol.asyncDispose]();
  await preparing;
  t.deepEqual(await objectsOf(gateway.identity), []);
});

test('an app can be added again after it was removed', async (t) => {
  await using gateway = await startGateway();
  {
    await using app = await startApp(gateway);
    await t.throwsAsync(startApp(gateway), {code: 'ERR_DUPLICATE_APP'});
    t.true(app.network.address.endsWith('.2'));
  }
  await using again = await startApp(gateway);
  t.is(again.network.netnsPath, `/run/netns/picogate-${gateway.identity}-0`);
});

test('two gateways work side by side', async (t) => {
  await using scope = new AsyncDisposableStack();
  const one = await startScene(scope);
  const two = await startScene(scope);
  for (const {client, gateway, app, port} of [one, two]) {
    gateway.onWanted = () => app.network.wake();
    t.deepEqual(await client.call('ask udp', {host: client.hostAddress, port, text: 'hello'}), {text: 'hello!'});
    t.is(gateway.wanted.length, 1);
  }
});

test('a second gateway of the same identity is refused', async (t) => {
  await using gateway = await startGateway();
  await t.throwsAsync(startGateway({}, gateway), {code: 'ERR_NO_TUN'});
  t.is((await objectsOf(gateway.identity)).length, 2);
});

for (const how of ['killed', 'exit', 'throw'] as const) {
  test(`removeLeftovers() cleans up after a gateway that ended by ${how}, at once`, async (t) => {
    const identity = gatewayIdentity(`${how} ${process.pid} ${Math.random()}`);
    const program = fileURLToPath(new URL('./crashing-gateway.ts', import.meta.url));
    await using daemon = await startDaemon([process.execPath, program, identity, how], {stdio: ['ignore', 'pipe', 'ignore']});
    await new Promise((resolve) => daemon.child.stdout?.once('data', resolve));
    if (how === 'killed') process.kill(daemon.pid, 'SIGKILL');
    const {exitCode} = await daemon.exited;
    t.is(exitCode, {killed: null, exit: 3, throw: 1}[how]);
    t.true((await objectsOf(identity)).length > 0);
    await removeLeftovers(identity);
    t.deepEqual(await objectsOf(identity), []);
    await removeLeftovers(identity);
  });
}

test('setFrontends() replaces frontends and keeps what was there when it fails', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app, port} = await startScene(scope);
  app.network.wake();
  const other = createServer();
  scope.defer(() => void other.close());
  await new Promise<void>((resolve) => other.listen(0, '0.0.0.0', resolve));
  const taken = other.address();
  const frontend = {protocol: 'tcp', host: client.hostAddress, port: port + 1, targetHost: app.network.address, targetPort: 80} as const;
  const inUse = {...frontend, host: '', port: typeof taken === 'object' ? (taken?.port ?? 0) : 0};
  await t.throwsAsync(gateway.nat.setFrontends([frontend, inUse]), {code: 'ERR_BIND_FAILED', message: /in use/});
  await t.throwsAsync(gateway.nat.setFrontends([{...frontend, host: '192.0.2.77'}]), {code: 'ERR_BIND_FAILED', message: /no address of this host/});
  await t.throwsAsync(gateway.nat.setFrontends([{...frontend, host: '::1'}]), {code: 'ERR_BAD_ADDRESS'});
  await t.throwsAsync(gateway.nat.setFrontends([{...frontend, targetHost: '127.0.0.1'}]), {code: 'ERR_BAD_TARGET'});
  await t.throwsAsync(gateway.nat.setFrontends([{...frontend, host: '127.0.0.1', targetHost: client.address}]), {code: 'ERR_BAD_TARGET'});
  const reaches = async (to: number): Promise<boolean> => 'connection' in ((await client.call('connect', {host: client.hostAddress, port: to})) as object);
  t.deepEqual([await reaches(port), await reaches(port + 1)], [true, false]);
  await gateway.nat.setFrontends([frontend]);
  t.deepEqual([await reaches(port), await reaches(port + 1)], [false, true]);
  await gateway.nat.setFrontends([]);
  t.deepEqual([await reaches(port), await reaches(port + 1)], [false, false]);
});

test('apps reach the world, other apps, and themselves through a frontend', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app, port} = await startScene(scope);
  const other = scope.use(await startApp(gateway, 1));
  app.network.wake();
  other.network.wake();
  await client.call('listen', {port: 7000});
  const ask = async (host: string, to: number): Promise<unknown> => {
    const {connection} = (await app.agent.call('connect', {host, port: to})) as {connection: number};
    return app.agent.call('ask', {connection, text: 'hello'});
  };
  t.is(await ask(client.address, 7000), 'hello');
  t.deepEqual(await client.call('accepted'), [client.hostAddress]);
  t.is(await ask(other.network.address, 80), 'hello');
  t.deepEqual(await other.agent.call('accepted'), [app.network.address]);
  t.is(await ask(client.hostAddress, port), 'hello');
  t.deepEqual(await app.agent.call('accepted'), [gateway.nat.gatewayAddress]);
});

test('a frontend may lead to an ordinary server', async (t) => {
  await using gateway = await startGateway();
  await using server = await startClient();
  await using client = await startClient();
  await server.call('listen', {port: 7000});
  const port = 30_000 + Math.floor(Math.random() * 1000);
  await gateway.nat.setFrontends([{protocol: 'tcp', host: '', port, targetHost: server.address, targetPort: 7000}]);
  await using local = await startAgent(null);
  for (const [agent, host] of [[client, client.hostAddress] as const, [local, client.hostAddress] as const]) {
    const {connection} = (await agent.call('connect', {host, port})) as {connection: number};
    t.is(await agent.call('ask', {connection, text: 'hello'}), 'hello');
  }
});

test('lastTraffic() follows data in both data paths', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, app, port} = await startScene(scope);
  app.network.wake();
  const startedAtMs = performance.now();
  t.true((await app.network.lastTraffic()) <= startedAtMs);
  await client.call('ask udp', {host: client.hostAddress, port, text: 'hello'});
  await until(async () => (await app.network.lastTraffic()) > startedAtMs);
  const local = scope.use(await startAgent(null));
  const againAtMs = performance.now();
  await local.call('ask udp', {host: app.network.address, port: 80, text: 'hello'});
  await until(async () => (await app.network.lastTraffic()) > againAtMs);
  t.true((await app.network.lastTraffic()) <= performance.now());
});

test('connections to an unnoticed frontend, from this host and another one, are no traffic, and wake nobody', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app, port: taken} = await startScene(scope);
  const port = taken + 1;
  const frontend = {protocol: 'tcp', targetHost: app.network.address, targetPort: 80, host: client.hostAddress} as const;
  await gateway.nat.setFrontends([
    {...frontend, port},
    {...frontend, port: port + 1, isUnnoticed: true},
  ]);
  app.network.wake();
  const local = scope.use(await startAgent(null));
  const ask = async (agent: Agent, to: number): Promise<unknown> => {
    const {connection} = (await agent.call('connect', {host: client.hostAddress, port: to})) as {connection: number};
    return agent.call('ask', {connection, text: 'hello'});
  };
  const startedAtMs = performance.now();
  t.deepEqual([await ask(client, port + 1), await ask(local, port + 1)], ['hello', 'hello']);
  // As long as it takes the others below at most.
  await sleep(200);
  t.true((await app.network.lastTraffic()) <= startedAtMs);
  for (const agent of [client, local]) {
    const againAtMs = performance.now();
    t.is(await ask(agent, port), 'hello');
    await until(async () => (await app.network.lastTraffic()) > againAtMs);
  }
  app.network.sleep([]);
  for (const agent of [client, local]) void agent.call('connect', {host: client.hostAddress, port: port + 1});
  // Longer than it takes to hold a packet and to ask for its app, as the one that follows does.
  await sleep(300);
  t.deepEqual(gateway.wanted, []);
  void client.call('connect', {host: client.hostAddress, port});
  await until(() => gateway.wanted.length === 1);
});

test('firstFreeRange() avoids the range of a running gateway', async (t) => {
  const range = await firstFreeRange();
  await using gateway = await startGateway({}, {range});
  t.notDeepEqual(await firstFreeRange(), gateway.range);
});

test('firstFreeRange() avoids the range of a gateway that was killed, whose table still refuses what goes there', async (t) => {
  const range = await firstFreeRange();
  const gateway = await startGateway({}, {range});
  const table = tableName(gateway.identity);
  const {stdout: text} = await run(['nft', 'list', 'table', 'ip', table], {timeoutMs});
  await gateway[Symbol.asyncDispose]();
  await run(['nft', '-f', '-'], {timeoutMs, input: text});
  try {
    t.notDeepEqual(await firstFreeRange(), range);
  } finally {
    await removeLeftovers(gateway.identity);
  }
});
