import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import test from 'ava';
import {errorCode} from '../../../src/core/errors.ts';
import {until} from '../../helpers/until.ts';
import {blog, testServer} from '../edge-fixture.ts';
import {checkSource, probeEdge} from './probe-fixture.ts';

async function client(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({port, host: '127.0.0.1', localAddress});
  await once(socket, 'connect');
  return socket;
}

/** How a connection ends that nobody does anything with. */
async function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on('error', (error) => resolve(errorCode(error) ?? ''));
    socket.on('end', () => resolve('end'));
    socket.resume();
  });
}

/** Of a check by its address; a reset may come before its system has told it that it is connected. */
function checkFrom(port: number): Promise<string> {
  return endOf(connect({port, host: '127.0.0.1', localAddress: '127.0.0.9'}));
}

test('connections from the addresses of checks wake nobody, and end in good order; others wake the app', async (t) => {
  await using server = await testServer((socket) => socket.write('hello'));
  await using edge = await probeEdge(server.port, '    health-check src 127.0.0.9');
  t.is(await checkFrom(edge.port), 'end');
  edge.app.wakeable = false;
  t.is(await checkFrom(edge.port), 'ECONNRESET');
  t.deepEqual([edge.app.wakes, edge.app.answered, server.sockets.size], [0, 2, 0]);
  const other = await client(edge.port);
  t.is(String((await once(other, 'data'))[0]), 'hello');
  other.destroy();
  t.is(edge.app.wakes, 1);
});

test('such a connection is led to an app that is awake, counts for nothing, and ends when the app falls asleep', async (t) => {
  const sources: (string | undefined)[] = [];
  await using server = await testServer((socket) => {
    sources.push(socket.remoteAddress);
    socket.on('end', () => socket.destroy()).resume();
    socket.write('hello');
  });
  await using edge = await probeEdge(server.port, '    health-check src 127.0.0.9');
  edge.app.set(blog, true);
  const check = await client(edge.port, '127.0.0.9');
  t.is(String((await once(check, 'data'))[0]), 'hello');
  t.deepEqual([sources, edge.app.apps.sessions, edge.app.wakes], [[checkSource], 0, 0]);
  const end = endOf(check);
  edge.app.set(blog, false);
  await end;
  await until(() => server.sockets.size === 0);
  check.destroy();
  await until(() => edge.app.listeners === 1);
  t.is(edge.app.answered, 0);
});

test('answer-checks off refuses connections from such addresses while the app sleeps', async (t) => {
  await using server = await testServer(() => undefined);
  await using edge = await probeEdge(server.port, '    health-check src 127.0.0.9\n    answer-checks off');
  t.is(await checkFrom(edge.port), 'ECONNRESET');
  t.is(edge.app.wakes, 0);
});

test('a connection that says nothing and ends wakes nobody; one that speaks, or stays, does', async (t) => {
  await using server = await testServer((socket) => socket.pipe(socket));
  await using edge = await probeEdge(server.port, '    health-check tcp 300ms');
  const polite = await client(edge.port);
  polite.end();
  t.is(await endOf(polite), 'end');
  for (let at = 0; at < 3; at++) (await client(edge.port)).resetAndDestroy();
  await until(() => edge.app.answered === 4);
  t.deepEqual([edge.app.wakes, server.sockets.size], [0, 0]);
  t.deepEqual([edge.edge.counters().get('l')?.abandoned, edge.edge.counters().get('l')?.wakeFailures], [0, 0]);

  const talker = await client(edge.port);
  talker.write('anybody there?');
  t.is(String((await once(talker, 'data'))[0]), 'anybody there?');
  t.is(edge.app.wakes, 1);
  talker.destroy();
  const listener = await client(edge.port);
  await until(() => edge.app.wakes === 2);
  listener.destroy();
});

test('a sleeping app is not held awake by silent connections, and one that is awake is not asked', async (t) => {
  await using server = await testServer(() => undefined);
  await using edge = await probeEdge(server.port, '    health-check tcp');
  edge.app.set(blog, true);
  const check = await client(edge.port);
  check.end();
  t.is(await endOf(check), 'end');
  t.deepEqual([edge.app.wakes, edge.app.answered, server.sockets.size], [0, 0, 0]);
});

test('where no server is an app nothing is held', async (t) => {
  await using server = await testServer((socket) => socket.write('hello'));
  await using edge = await probeEdge(server.port, '    health-check tcp 1h', {hasApp: false});
  const listener = await client(edge.port);
  t.is(String((await once(listener, 'data'))[0]), 'hello');
  listener.destroy();
});
