import {createHash, randomBytes} from 'node:crypto';
import {connect} from 'node:net';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {until} from '../helpers/until.ts';
import {echo, FakeApps, openTestEdge, testClient, testServer} from './edge-fixture.ts';

test('an awake app answers through the frontend, byte for byte', async (t) => {
  await using server = await testServer(echo);
  const apps = new FakeApps(true);
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  using client = await testClient(edge.port);
  client.socket.write('hello');
  await until(() => client.text() === 'hello');
  client.socket.end();
  t.is(await client.ended, 'hello');
  t.is(await client.over, undefined);
  await until(() => apps.sessions === 0);
  t.deepEqual(apps.triggers, [{kind: 'connection', protocol: 'tcp', port: server.port, source: '127.0.0.1'}]);
  t.like(edge.counters().get('front'), {accepted: 1, sessions: 0, waiting: 0, bytesIn: 5, bytesOut: 5});
});

test('fifty sessions that wait share the result of one wake', async (t) => {
  await using server = await testServer(echo);
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  const clients = await Promise.all(Array.from({length: 50}, () => testClient(edge.port)));
  for (const [at, client] of clients.entries()) client.socket.write(`request ${at}`);
  await until(() => apps.triggers.length === 50);
  t.is(server.sockets.size, 0);
  t.like(edge.counters().get('front'), {waiting: 50, sessions: 50});
  apps.finish();
  for (const [at, client] of clients.entries()) {
    await until(() => client.text() === `request ${at}`);
    client.socket.destroy();
  }
  t.is(apps.triggers.length, 50);
});

test('a thousand connections are held while the app wakes, and all are answered', async (t) => {
  await using server = await testServer(echo);
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  const clients = await Promise.all(Array.from({length: 1000}, () => testClient(edge.port)));
  for (const client of clients) client.socket.write('x');
  await until(() => apps.triggers.length === 1000);
  apps.finish();
  await until(() => clients.every((client) => client.text() === 'x'));
  for (const client of clients) client.socket.destroy();
  await until(() => apps.sessions === 0);
  t.is(edge.counters().get('front')?.sessions, 0);
});

test('one more than maxqueue is reset at once, and the others are served', async (t) => {
  await using server = await testServer(echo);
  const apps = new FakeApps();
  const logged: unknown[] = [];
  await using edge = await openTestEdge({target: {port: server.port}, apps, maxqueue: 2, logged});
  using first = await testClient(edge.port);
  using second = await testClient(edge.port);
  await until(() => apps.triggers.length === 2);
  using third = await testClient(edge.port);
  t.is(await third.over, 'ECONNRESET');
  t.like(logged[0], {frontend: 'front', server: 'back/s1', reason: 'Cannot hold another session for app "blog": 2 wait already (maxqueue)'});
  apps.finish();
  for (const client of [first, second]) {
    client.socket.write('x');
    await until(() => client.text() === 'x');
  }
  t.is(edge.counters().get('front')?.refused, 1);
});

test('a client that leaves while it is held frees its place', async (t) => {
  await using server = await testServer(echo);
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps, maxqueue: 1});
  using silent = await testClient(edge.port);
  await until(() => apps.triggers.length === 1);
  silent.socket.destroy();
  await until(() => apps.sessions === 0);
  using reset = await testClient(edge.port);
  reset.socket.write('request');
  await until(() => apps.triggers.length === 2);
  reset.socket.resetAndDestroy();
  await until(() => apps.sessions === 0);
  t.is(apps.aborted.length, 2);
  using last = await testClient(edge.port);
  await until(() => apps.triggers.length === 3);
  apps.finish();
  last.socket.write('x');
  await until(() => last.text() === 'x');
  t.like(edge.counters().get('front'), {abandoned: 2, waiting: 0, refused: 0});
});

test('a wake that fails resets all who wait at once, with one log line and a count', async (t) => {
  const apps = new FakeApps();
  const logged: unknown[] = [];
  const edge = await openTestEdge({target: {port: 1}, apps, logged});
  const clients = await Promise.all(Array.from({length: 20}, () => testClient(edge.port)));
  await until(() => apps.triggers.length === 20);
  const failedAtMs = performance.now();
  apps.fail(new CodedError('ERR_WAKE', 'Cannot wake app "blog": no space left', {source: 'host'}));
  for (const client of clients) t.is(await client.over, 'ECONNRESET');
  t.true(performance.now() - failedAtMs < 1000);
  await edge[Symbol.asyncDispose]();
  t.is(logged.length, 2);
  t.like(logged[0], {server: 'back/s1', reason: 'Cannot wake app "blog": no space left'});
  t.like(logged[1], {sessions: 19});
  t.is(edge.counters().get('front')?.wakeFailures, 20);
});

test('a wake that takes longer than its time-out is given up', async (t) => {
  const apps = new FakeApps();
  const logged: unknown[] = [];
  await using edge = await openTestEdge({target: {port: 1}, apps, wakeTimeoutMs: 50, logged});
  using client = await testClient(edge.port);
  t.is(await client.over, 'ECONNRESET');
  t.is(apps.aborted.length, 1);
  t.like(logged[0], {reason: 'Cannot wake app "blog": not ready within 50 ms'});
});

test('a server that speaks first is heard without a byte from the client', async (t) => {
  await using server = await testServer((socket) => void socket.end('220 ready\r\n'));
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  using client = await testClient(edge.port);
  await until(() => apps.triggers.length === 1);
  apps.finish();
  t.is(await client.ended, '220 ready\r\n');
});

test('a client that closes its half early still gets the whole answer, held or not', async (t) => {
  await using server = await testServer((socket) => {
    let request = '';
    socket.on('data', (data: Buffer) => {
      request += data.toString();
    });
    socket.on('end', () => void socket.end(`answer to ${request}`));
  });
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  using held = await testClient(edge.port);
  held.socket.end('first');
  await until(() => apps.triggers.length === 1);
  apps.finish();
  t.is(await held.ended, 'answer to first');
  using open = await testClient(edge.port);
  open.socket.write('sec');
  await until(() => server.sockets.size === 1);
  open.socket.end('ond');
  t.is(await open.ended, 'answer to second');
});

test('a server that closes its half early still gets what the client goes on to send', async (t) => {
  let received = '';
  await using server = await testServer((socket) => {
    socket.end('bye');
    socket.on('data', (data: Buffer) => {
      received += data.toString();
    });
  });
  await using edge = await openTestEdge({target: {port: server.port}});
  using client = await testClient(edge.port);
  t.is(await client.ended, 'bye');
  client.socket.write('still here, ');
  client.socket.end('and now gone');
  await until(() => received === 'still here, and now gone');
  t.is(await client.over, undefined);
});

test('64 MiB arrive intact in both directions', async (t) => {
  const data = randomBytes(64 * 1024 * 1024);
  const wanted = createHash('sha256').update(data).digest('hex');
  await using server = await testServer(echo);
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  const socket = connect({port: edge.port, host: '127.0.0.1', allowHalfOpen: true});
  socket.end(data);
  await until(() => apps.triggers.length === 1);
  apps.finish();
  const hash = createHash('sha256');
  for await (const chunk of socket as AsyncIterable<Buffer>) hash.update(chunk);
  t.is(hash.digest('hex'), wanted);
});

test('a side that is silent for its time-out ends the session', async (t) => {
  await using server = await testServer(echo);
  await using byClient = await openTestEdge({target: {port: server.port}, clientTimeoutMs: 600});
  using idle = await testClient(byClient.port);
  for (let at = 0; at < 4; at++) {
    idle.socket.write('x');
    await until(() => idle.text().length === at + 1);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  t.false(idle.socket.destroyed);
  await idle.ended;
  t.is(byClient.counters().get('front')?.timeouts, 1);

  await using mute = await testServer((socket) => void socket.resume());
  const apps = new FakeApps(true);
  await using byServer = await openTestEdge({target: {port: mute.port}, serverTimeoutMs: 80, apps});
  using asking = await testClient(byServer.port);
  asking.socket.end('half closed');
  await asking.over;
  await until(() => apps.sessions === 0);
  t.is(byServer.counters().get('front')?.timeouts, 1);
});

test('a session is busy from the request to the answer, and while it waits', async (t) => {
  await using server = await testServer(
    (socket) =>
      void socket.on('data', (data: Buffer) => {
        if (data.toString() === 'now') socket.write('answer');
      }),
  );
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, apps});
  using client = await testClient(edge.port);
  await until(() => apps.busy === 1);
  apps.finish();
  await until(() => apps.busy === 0);
  const [before] = [...edge.sessions()];
  client.socket.write('ask');
  await until(() => apps.busy === 1);
  const [asked] = [...edge.sessions()];
  t.like(asked, {frontend: 'front', app: 'blog', source: '127.0.0.1', busy: true});
  t.true((asked?.lastActivityMs ?? 0) > (before?.lastActivityMs ?? 0));
  client.socket.write('now');
  await until(() => apps.busy === 0);
  await until(() => client.text() === 'answer');
  client.socket.write('ask');
  await until(() => apps.busy === 1);
  client.socket.resetAndDestroy();
  await until(() => apps.busy === 0 && apps.sessions === 0);
});

test('a reset of the server reaches the client as a reset, and the other way round', async (t) => {
  await using server = await testServer((socket) => void socket.on('data', () => socket.resetAndDestroy()));
  await using edge = await openTestEdge({target: {port: server.port}});
  using client = await testClient(edge.port);
  client.socket.write('x');
  t.is(await client.over, 'ECONNRESET');
  let serverSaw = '';
  await using other = await testServer((socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      serverSaw = error.code ?? '';
    });
    socket.write('hello');
    socket.resume();
  });
  await using second = await openTestEdge({target: {port: other.port}});
  using leaving = await testClient(second.port);
  await until(() => leaving.text() === 'hello');
  leaving.socket.resetAndDestroy();
  await until(() => serverSaw === 'ECONNRESET');
});

test('a listener that refuses just after the wake is tried again', async (t) => {
  const placeholder = await testServer(echo);
  const {port} = placeholder;
  await placeholder[Symbol.asyncDispose]();
  await using edge = await openTestEdge({target: {port}, apps: new FakeApps(true)});
  using client = await testClient(edge.port);
  client.socket.write('x');
  await using _server = await testServer(echo, {port});
  await until(() => client.text() === 'x');
  t.is(edge.counters().get('front')?.connectFailures, 0);
});

test('an ordinary server that refuses ends the session of the client, with the reason in the log', async (t) => {
  const logged: unknown[] = [];
  await using edge = await openTestEdge({target: {app: false, port: 1}, logged});
  using client = await testClient(edge.port);
  t.is(await client.ended, '');
  t.like(logged[0], {reason: 'Cannot connect to server "back/s1" at 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1'});
});

test('beyond maxconn clients wait in the backlog until a session ends', async (t) => {
  await using server = await testServer(echo);
  await using edge = await openTestEdge({target: {port: server.port}, maxconn: 2});
  const clients = await Promise.all(Array.from({length: 6}, () => testClient(edge.port)));
  for (const client of clients) client.socket.write('x');
  for (let served = 2; served <= 6; served += 2) {
    await until(() => clients.filter((client) => client.text() === 'x').length === served);
    t.is(edge.counters().get('front')?.sessions, 2);
    for (const client of clients) if (client.text() === 'x') client.socket.destroy();
  }
  await until(() => edge.counters().get('front')?.sessions === 0);
  t.is(edge.counters().get('front')?.accepted, 6);
});

test('several binds, IPv4 and IPv6, and an IPv6 server', async (t) => {
  await using server = await testServer(echo, {host: '::1'});
  const binds = [
    {host: '127.0.0.1', port: 0},
    {host: '::1', port: 0},
  ];
  const apps = new FakeApps();
  await using edge = await openTestEdge({target: {port: server.port}, binds, apps});
  const [v4, v6] = edge.addresses();
  t.like(v6, {frontend: 'front', protocol: 'tcp', host: '::1'});
  apps.finish('::1');
  for (const [host, port] of [
    ['127.0.0.1', v4?.port ?? 0],
    ['::1', v6?.port ?? 0],
  ] as const) {
    using client = await testClient(port, host);
    client.socket.write('x');
    await until(() => client.text() === 'x');
  }
  t.deepEqual(
    apps.triggers.map((trigger) => ('source' in trigger ? trigger.source : '')),
    ['127.0.0.1', '::1'],
  );
});

test('all IPv4 and all IPv6 addresses can be bound to one port', async (t) => {
  await using free = await testServer(echo);
  const {port} = free;
  await free[Symbol.asyncDispose]();
  await using server = await testServer(echo);
  const binds = [
    {host: '', port},
    {host: '::', port},
  ];
  await using edge = await openTestEdge({target: {port: server.port}, binds});
  t.deepEqual(
    edge.addresses().map(({host}) => host),
    ['0.0.0.0', '::'],
  );
});

test('a port in use is an error that names frontend and address, and nothing stays bound', async (t) => {
  await using taken = await testServer(echo);
  await using free = await testServer(echo);
  await free[Symbol.asyncDispose]();
  const binds = [
    {host: '127.0.0.1', port: free.port},
    {host: '127.0.0.1', port: taken.port},
  ];
  await t.throwsAsync(openTestEdge({target: {port: 1}, binds}), {
    code: 'ERR_BIND',
    message: `Cannot bind frontend "front" to tcp 127.0.0.1:${taken.port}: the port is in use`,
  });
  await using _again = await testServer(echo, {port: free.port});
});

test('drain() lets sessions end, refuses new ones, and cuts what remains at the deadline', async (t) => {
  await using server = await testServer(echo);
  const edge = await openTestEdge({target: {port: server.port}});
  using polite = await testClient(edge.port);
  using stubborn = await testClient(edge.port);
  await until(() => edge.counters().get('front')?.sessions === 2);
  const beganMs = performance.now();
  const drained = edge.drain(200);
  using late = await testClient(edge.port);
  t.is(await late.over, 'ECONNREFUSED');
  polite.socket.write('x');
  await until(() => polite.text() === 'x');
  polite.socket.end();
  await polite.ended;
  t.false(stubborn.socket.readableEnded);
  await drained;
  t.true(performance.now() - beganMs >= 190);
  await stubborn.ended;
  await edge[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
});
