import type {Flow} from '../../src/nat/flow.ts';
import {until} from '../helpers/until.ts';
import {test} from './serial-test.ts';
import {type Agent, type Scene, startAgent, startScene} from './topology.ts';

interface Connected {
  readonly connection: number;
  readonly ms: number;
  readonly error?: string;
}

async function connect(from: Agent, host: string, port: number): Promise<Connected> {
  return (await from.call('connect', {host, port})) as Connected;
}

/** Wakes the app as soon as a packet asks for it. */
function wakeWhenWanted({gateway, app}: Scene): void {
  gateway.onWanted = () => app.network.wake();
}

/** The client's connections as a checkpoint would list them. */
async function flows({client}: Scene): Promise<readonly Flow[]> {
  return ((await client.call('ports')) as number[]).map((remotePort) => ({protocol: 'tcp', localPort: 80, remoteAddress: client.address, remotePort}) as const);
}

/** A scene whose app is awake and has one connection, asked once. */
async function connected(scope: AsyncDisposableStack): Promise<{scene: Scene; connection: number; flows: readonly Flow[]}> {
  const scene = await startScene(scope);
  scene.app.network.wake();
  const {connection} = await connect(scene.client, scene.client.hostAddress, scene.port);
  await scene.client.call('ask', {connection, text: 'awake'});
  return {scene, connection, flows: await flows(scene)};
}

test('a SYN to a sleeping app is held: the connection is made without a retransmission', async (t) => {
  await using scope = new AsyncDisposableStack();
  const scene = await startScene(scope);
  const {client, gateway, app, port} = scene;
  const before = await client.call('retransmissions');
  const connecting = connect(client, client.hostAddress, port);
  await until(() => gateway.wanted.length === 1);
  t.deepEqual(gateway.wanted[0]?.trigger, {kind: 'connection', protocol: 'tcp', port: 80, source: client.address});
  t.is(app.network.wantedPackets(), 1);
  app.network.wake();
  const {connection} = await connecting;
  t.is(await client.call('ask', {connection, text: 'hello'}), 'hello');
  t.is(await client.call('retransmissions'), before);
  t.deepEqual(await app.agent.call('accepted'), [client.address]);
  t.like(app.network.counters(), {held: 1, refused: 0, overflowed: 0, expired: 0});
});

test('a client on this host reaches a sleeping app through a bind on 127.0.0.1', async (t) => {
  await using scope = new AsyncDisposableStack();
  const scene = await startScene(scope, {host: '127.0.0.1'});
  wakeWhenWanted(scene);
  const local = scope.use(await startAgent(null));
  const {connection} = await connect(local, '127.0.0.1', scene.port);
  t.is(await local.call('ask', {connection, text: 'hello'}), 'hello');
  t.deepEqual(await scene.app.agent.call('accepted'), [scene.gateway.nat.gatewayAddress]);
  scene.app.network.sleep([]);
  t.deepEqual(await local.call('ask udp', {host: '127.0.0.1', port: scene.port, text: 'hello'}), {text: 'hello!'});
  scene.app.network.sleep([]);
  const refused = connect(local, '127.0.0.1', scene.port);
  scene.gateway.onWanted = () => scene.app.network.refuse();
  t.is((await refused).error ?? (await connect(local, '127.0.0.1', scene.port)).error, 'ECONNREFUSED');
});

test('a socket of this host reaches a sleeping app by its address', async (t) => {
  await using scope = new AsyncDisposableStack();
  const scene = await startScene(scope);
  wakeWhenWanted(scene);
  const local = scope.use(await startAgent(null));
  const {connection} = await connect(local, scene.app.network.address, 80);
  t.is(await local.call('ask', {connection, text: 'hello'}), 'hello');
  t.is(scene.gateway.wanted.length, 1);
});

test('a datagram to a sleeping app is held and answered', async (t) => {
  await using scope = new AsyncDisposableStack();
  const scene = await startScene(scope);
  wakeWhenWanted(scene);
  const {client, port} = scene;
  t.deepEqual(await client.call('ask udp', {host: client.hostAddress, port, text: 'hello'}), {text: 'hello!'});
  scene.app.network.sleep([]);
  const large = 'x'.repeat(4000);
  t.deepEqual(await client.call('ask udp', {host: client.hostAddress, port, text: large}), {text: `${large}!`});
  t.is(scene.gateway.wanted.length, 2);
});

test('a closed port is refused at once and wakes nothing', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app} = await startScene(scope);
  t.is((await connect(client, app.network.address, 81)).error, 'ECONNREFUSED');
  t.deepEqual(await client.call('ask udp', {host: app.network.address, port: 81, text: 'hello'}), {error: 'ECONNREFUSED'});
  t.is(gateway.wanted.length, 0);
  t.is(app.network.wantedPackets(), 0);
});

test('refuse() tells TCP and UDP clients that the connection is refused; the next packet asks again', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app, port} = await startScene(scope);
  gateway.onWanted = () => app.network.refuse();
  t.is((await connect(client, client.hostAddress, port)).error, 'ECONNREFUSED');
  t.deepEqual(await client.call('ask udp', {host: client.hostAddress, port, text: 'hello'}), {error: 'ECONNREFUSED'});
  t.is(gateway.wanted.length, 2);
  t.is(app.network.wantedPackets(), 0);
  t.like(app.network.counters(), {held: 2, refused: 2});
});

test('what is held too long is refused without another packet', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, app, port} = await startScene(scope, {limits: {ageMs: 200}});
  const {error, ms} = await connect(client, client.hostAddress, port);
  t.is(error, 'ECONNREFUSED');
  t.true(ms >= 200 && ms < 900);
  t.like(app.network.counters(), {expired: 1, refused: 0});
});

test('a connection survives a sleep: its data is held and wakes the app', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {scene, connection, flows} = await connected(scope);
  const {client, gateway, app} = scene;
  app.network.sleep('unknown');
  t.is(app.network.wantedPackets(), 0);
  app.network.setFlows(flows);
  const asking = client.call('ask', {connection, text: 'again'});
  await until(() => gateway.wanted.length > 0);
  t.true(app.network.wantedPackets() > 0);
  t.is(gateway.wanted[0]?.trigger.kind, 'packet');
  app.network.wake();
  t.is(await asking, 'again');
  t.is(await client.call('retransmissions'), 0);
});

test('a packet during a dump asks for a wake', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {scene, connection} = await connected(scope);
  scene.app.network.sleep('unknown');
  const asking = scene.client.call('ask', {connection, text: 'again'});
  await until(() => scene.app.network.wantedPackets() === 1 && scene.gateway.wanted.length === 1);
  scene.app.network.wake();
  t.is(await asking, 'again');
});

test('data of a connection that the sleeping app does not have is answered with a RST', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {scene, connection} = await connected(scope);
  scene.app.network.sleep([]);
  t.is(await scene.client.call('ask', {connection, text: 'again'}), 'ECONNRESET');
  t.is(scene.gateway.wanted.length, 0);
});

test('keepalive probes are answered for the sleeping app, wake nothing, and are no traffic', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {scene, connection, flows} = await connected(scope);
  const {client, gateway, app} = scene;
  await until(async () => (await app.network.lastTraffic()) > 0);
  const lastMs = await app.network.lastTraffic();
  t.true(performance.now() - lastMs < 1000);
  app.network.sleep(flows);
  // One second to the first probe, one between probes; the second that goes unanswered would end the connection.
  await client.call('keepalive', {connection});
  await until(() => app.network.counters().answeredKeepalives >= 4, {timeoutMs: 9000});
  t.deepEqual(await client.call('events', {connection}), ['data awake']);
  t.deepEqual([gateway.wanted.length, app.network.wantedPackets()], [0, 0]);
  t.true(Math.abs((await app.network.lastTraffic()) - lastMs) < 100);
  wakeWhenWanted(scene);
  t.is(await client.call('ask', {connection, text: 'again'}), 'again');
  await until(async () => (await app.network.lastTraffic()) > lastMs + 3000);
});

test('the end of a connection is kept and delivered at the next wake', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {scene, connection, flows} = await connected(scope);
  const {client, gateway, app, port} = scene;
  app.network.sleep(flows);
  await client.call('end', {connection});
  await until(() => app.network.counters().held === 1);
  t.is(gateway.wanted.length, 0);
  wakeWhenWanted(scene);
  await connect(client, client.hostAddress, port);
  await until(async () => ((await app.agent.call('accepted')) as string[]).includes('end'));
  await until(async () => ((await client.call('events', {connection})) as string[]).includes('end'));
  t.pass();
});

test('a burst of clients is held and served in one wake; beyond the bound they come again', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {client, gateway, app, port} = await startScene(scope, {limits: {packetsPerApp: 20}});
  const connecting = Array.from({length: 30}, () => connect(client, client.hostAddress, port));
  await until(() => app.network.wantedPackets() >= 30);
  t.is(gateway.wanted.length, 1);
  t.like(app.network.counters(), {held: 20, overflowed: 10});
  app.network.wake();
  t.true((await Promise.all(connecting)).every((each) => each.error === undefined));
});
