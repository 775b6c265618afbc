/** Pools behind a real frontend, with real servers that come and go. */
import {createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../../src/config/proxy-defaults.ts';
import type {BackendConfig, ServerConfig, Target} from '../../../src/config/proxy-value.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {createLog} from '../../../src/core/log.ts';
import {type Edge, openEdge} from '../../../src/edge/edge.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {FakeApps, testClient, testServer} from '../edge-fixture.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

function server(name: string, target: Target | number, settings: Partial<ServerConfig> = {}): ServerConfig {
  const where: Target = typeof target === 'number' ? {kind: 'address', host: '127.0.0.1', port: target} : target;
  return {...bareServer({name, target: where, position}), ...settings};
}

async function openFront(servers: readonly ServerConfig[], backend: Partial<BackendConfig> = {}): Promise<Edge & {readonly port: number}> {
  const edge = await openEdge({
    frontends: [
      {...bareFrontend({name: 'front', position}), binds: [bareBind({protocol: 'tcp', host: '127.0.0.1', port: 0, position})], defaultBackend: 'back'},
    ],
    backends: [{...bareBackend({name: 'back', position}), servers, ...backend}],
    apps: new FakeApps(true),
    log: createLog('silent'),
    clock: systemClock,
  });
  return Object.assign(edge, {port: edge.addresses()[0]?.port ?? 0});
}

const named = (name: string): Promise<Awaited<ReturnType<typeof testServer>>> => testServer((socket) => void socket.end(name));

async function ask(port: number): Promise<string> {
  using client = await testClient(port);
  return await Promise.race([client.ended, client.over.then((code) => code ?? 'closed')]);
}

test('sessions take turns, and one whose server refuses goes on to the next at once', async (t) => {
  await using a = await named('a');
  await using b = await named('b');
  const gone = await named('gone');
  await gone[Symbol.asyncDispose]();
  await using edge = await openFront([server('a', a.port), server('b', b.port), server('gone', gone.port)]);
  const beganMs = performance.now();
  const answers = [];
  for (let count = 0; count < 9; count++) answers.push(await ask(edge.port));
  t.deepEqual([...new Set(answers)].sort(), ['a', 'b']);
  t.true(performance.now() - beganMs < 900, 'without the pause before a second attempt on one server');
  t.is(edge.counters().get('front')?.connectFailures, 0);
});

test('a backup server serves when no other is in use', async (t) => {
  await using backup = await named('backup');
  await using edge = await openFront([server('s1', 1, {disabled: true}), server('b1', backup.port, {backup: true})]);
  t.is(await ask(edge.port), 'backup');
});

test('beyond maxconn a client waits, and is served when another one has left', async (t) => {
  await using echo = await testServer((socket) => void socket.pipe(socket));
  await using edge = await openFront([server('s1', echo.port, {maxconn: 1})]);
  using first = await testClient(edge.port);
  first.socket.write('1');
  await until(() => first.text() === '1');
  using second = await testClient(edge.port);
  second.socket.write('2');
  await until(() => edge.counters().get('front')?.waiting === 1);
  t.is(echo.sockets.size, 1);
  first.socket.end();
  await first.ended;
  await until(() => second.text() === '2');
  t.is(edge.counters().get('front')?.waiting, 0);
});

test('a backend without servers ends the sessions of its clients', async (t) => {
  await using edge = await openFront([]);
  t.is(await ask(edge.port), '');
});

test('a server on a unix socket', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'server.sock');
  const listener = createServer((socket) => void socket.end('by path'));
  await new Promise<void>((resolve) => void listener.listen(path, resolve));
  await using edge = await openFront([server('s1', {kind: 'unix', path, abstract: false})]);
  t.is(await ask(edge.port), 'by path');
  await new Promise((resolve) => void listener.close(resolve));
});
