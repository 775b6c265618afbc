import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {until} from '../helpers/until.ts';
import {peer} from './datagram-peer.ts';
import {FakeApps, openTestEdge} from './edge-fixture.ts';

test('datagrams are held while the app wakes, in order, and answers come from the bound address', async (t) => {
  await using server = await peer({answers: true});
  const apps = new FakeApps();
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps});
  await using client = await peer();
  for (let at = 0; at < 5; at++) client.socket.send(`q${at}`, edge.port, '127.0.0.1');
  await until(() => edge.counters().get('front')?.bytesIn === 10);
  t.deepEqual(apps.triggers, [{kind: 'datagram', protocol: 'udp', port: server.port, source: '127.0.0.1'}]);
  t.is(apps.busy, 1);
  apps.finish();
  await until(() => client.received.length === 5);
  t.deepEqual(client.received, ['re: q0', 're: q1', 're: q2', 're: q3', 're: q4']);
  t.deepEqual([...client.ports], [edge.port]);
  t.is(server.ports.size, 1);
  t.is(apps.busy, 0);
});

test('each client has a session of its own, and answers do not mix', async (t) => {
  await using server = await peer({answers: true});
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}});
  await using scope = new AsyncDisposableStack();
  const clients = await Promise.all(Array.from({length: 20}, () => peer()));
  for (const [at, client] of clients.entries()) scope.use(client).socket.send(`${at}`, edge.port, '127.0.0.1');
  await until(() => clients.every((client) => client.received.length === 1));
  t.deepEqual(
    clients.map((client) => client.received),
    clients.map((_, at) => [`re: ${at}`]),
  );
  t.is(server.ports.size, 20);
});

test('what is held for a session is bounded', async (t) => {
  await using server = await peer();
  const apps = new FakeApps();
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps});
  await using client = await peer();
  for (let at = 0; at < 100; at++) client.socket.send(`${at}`, edge.port, '127.0.0.1');
  await until(() => edge.counters().get('front')?.datagramsDropped === 36);
  apps.finish();
  await until(() => server.received.length === 64);
  t.is(server.received[63], '63');
});

test('a session ends after its time-out, and the next datagram begins another', async (t) => {
  await using server = await peer({answers: true});
  const apps = new FakeApps(true);
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps, clientTimeoutMs: 100});
  await using client = await peer();
  client.socket.send('a', edge.port, '127.0.0.1');
  await until(() => client.received.length === 1);
  t.is(apps.sessions, 1);
  await until(() => apps.sessions === 0);
  t.is(edge.counters().get('front')?.sessions, 0);
  client.socket.send('b', edge.port, '127.0.0.1');
  await until(() => client.received.length === 2);
  t.is(server.ports.size, 2);
});

test('at maxconn the session that was silent for longest makes room', async (t) => {
  await using server = await peer({answers: true});
  const apps = new FakeApps(true);
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps, maxconn: 2});
  await using a = await peer();
  await using b = await peer();
  await using c = await peer();
  for (const [client, count] of [
    [a, 1],
    [b, 1],
    [a, 2],
    [c, 1],
    [a, 3],
  ] as const) {
    client.socket.send('x', edge.port, '127.0.0.1');
    await until(() => client.received.length === count);
  }
  t.is(edge.counters().get('front')?.sessions, 2);
  t.is(server.ports.size, 3);
  b.socket.send('x', edge.port, '127.0.0.1');
  await until(() => b.received.length === 2);
  t.is(server.ports.size, 4);
});

test('sessions that wait are not pushed out by new ones', async (t) => {
  const apps = new FakeApps();
  await using server = await peer({answers: true});
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps, maxconn: 1});
  await using first = await peer();
  await using second = await peer();
  first.socket.send('1', edge.port, '127.0.0.1');
  await until(() => apps.triggers.length === 1);
  second.socket.send('2', edge.port, '127.0.0.1');
  await until(() => edge.counters().get('front')?.refused === 1);
  apps.finish();
  await until(() => first.received.length === 1);
  t.is(apps.triggers.length, 1);
});

test('a wake that fails ends the session with its reason in the log, and the next datagram asks again', async (t) => {
  const apps = new FakeApps();
  const logged: unknown[] = [];
  await using edge = await openTestEdge({mode: 'udp', target: {port: 1}, apps, logged});
  await using client = await peer();
  client.socket.send('x', edge.port, '127.0.0.1');
  await until(() => apps.triggers.length === 1);
  apps.fail(new CodedError('ERR_WAKE', 'Cannot wake app "blog": no memory', {source: 'host'}));
  await until(() => apps.sessions === 0);
  t.like(logged[0], {frontend: 'front', server: 'back/s1', reason: 'Cannot wake app "blog": no memory'});
  client.socket.send('x', edge.port, '127.0.0.1');
  await until(() => apps.triggers.length === 2);
  await until(() => edge.counters().get('front')?.wakeFailures === 2);
});

test('a server that nobody listens on is logged, and the session closed', async (t) => {
  const gone = await peer();
  await gone[Symbol.asyncDispose]();
  const apps = new FakeApps(true);
  const logged: unknown[] = [];
  await using edge = await openTestEdge({mode: 'udp', target: {port: gone.port}, apps, logged});
  await using client = await peer();
  client.socket.send('x', edge.port, '127.0.0.1');
  await until(() => edge.counters().get('front')?.connectFailures === 1);
  t.is(apps.sessions, 0);
  t.regex(JSON.stringify(logged[0]), /Cannot send to server \\"back\/s1\\" at 127.0.0.1:\d+: .*ECONNREFUSED/);
});

test('a server that cannot be sent to at all is logged, and the session closed', async (t) => {
  const logged: unknown[] = [];
  await using edge = await openTestEdge({mode: 'udp', target: {app: false, host: '255.255.255.255', port: 9}, logged});
  await using client = await peer();
  client.socket.send('x', edge.port, '127.0.0.1');
  await until(() => edge.counters().get('front')?.connectFailures === 1);
  t.regex(JSON.stringify(logged[0]), /Cannot send to server \\"back\/s1\\" at 255.255.255.255:9: .*EACCES/);
});

test('IPv6 clients and an IPv6 server', async (t) => {
  await using server = await peer({answers: true, host: '::1'});
  const apps = new FakeApps();
  apps.finish('::1');
  await using edge = await openTestEdge({mode: 'udp', target: {port: server.port}, apps, binds: [{host: '::1', port: 0}]});
  await using client = await peer({host: '::1'});
  client.socket.send('x', edge.port, '::1');
  await until(() => client.received.length === 1);
  t.like(apps.triggers[0], {source: '::1'});
});

test('a datagram port in use is an error that names frontend and address', async (t) => {
  await using taken = await peer();
  await t.throwsAsync(openTestEdge({mode: 'udp', target: {port: 1}, binds: [{host: '127.0.0.1', port: taken.port}]}), {
    code: 'ERR_BIND',
    message: `Cannot bind frontend "front" to udp 127.0.0.1:${taken.port}: the port is in use`,
  });
});

test('drain() waits for outstanding answers, and ends idle sessions at once', async (t) => {
  await using server = await peer();
  const edge = await openTestEdge({mode: 'udp', target: {port: server.port}});
  await using client = await peer();
  client.socket.send('x', edge.port, '127.0.0.1');
  await until(() => server.received.length === 1);
  const drained = edge.drain(5000);
  client.socket.send('y', edge.port, '127.0.0.1');
  await until(() => server.received.length === 2);
  const [port] = server.ports;
  server.socket.send('answer', port ?? 0, '127.0.0.1');
  await drained;
  await until(() => client.received.length === 1);
  t.deepEqual(client.received, ['answer']);
});
