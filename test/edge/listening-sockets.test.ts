import {once} from 'node:events';
import {mkdtemp, rm, stat, writeFile} from 'node:fs/promises';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {bareBind} from '../../src/config/proxy-defaults.ts';
import type {Bind} from '../../src/config/proxy-value.ts';
import {run} from '../../src/core/command.ts';
import {close, duplicate, socket, socketType} from '../../src/core/libc.ts';
import {tryConnect} from '../../src/edge/datagrams/datagram-calls.ts';
import {openListeningSockets} from '../../src/edge/listening-sockets.ts';
import {family, ipv4SocketAddress} from '../../src/edge/socket-address.ts';
import type {StreamSocket} from '../../src/edge/streams/stream-socket.ts';
import {openTcpListener, type TcpListener} from '../../src/edge/tcp-listener.ts';
import {freePort} from '../helpers/gateway.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

/** Nobody reads them, so that nothing tells them of the end of their clients. */
const accepted: StreamSocket[] = [];

test.after.always(() => {
  for (const client of accepted) client.destroy();
});

function bindTo(facts: Partial<Bind>): Bind {
  return {...bareBind({protocol: 'tcp', host: '127.0.0.1', port: 0, position}), ...facts};
}

function listen(bind: Bind, greeting: string, sockets = openListeningSockets(), clients: StreamSocket[] = []): Promise<TcpListener> {
  return openTcpListener({
    frontend: 'f',
    bind,
    ipv6Only: false,
    sockets,
    onConnection: (client) => {
      clients.push(client);
      accepted.push(client);
      client.on('error', () => undefined);
      client.write(greeting);
    },
    onError: () => undefined,
  });
}

async function greetingOf(where: {readonly path: string} | {readonly port: number; readonly host: string}): Promise<string> {
  const socket = connect(where);
  const [data] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return data.toString();
}

test('two listeners of one address share a socket, which stays open until both are gone', async (t) => {
  const sockets = openListeningSockets();
  const port = await freePort();
  const bind = bindTo({port});
  const old = await listen(bind, 'old', sockets);
  const young = await listen(bind, 'young', sockets);
  t.is(sockets.size, 1);
  t.true(['old', 'young'].includes(await greetingOf({port, host: '127.0.0.1'})));
  old[Symbol.dispose]();
  old[Symbol.dispose]();
  t.is(await greetingOf({port, host: '127.0.0.1'}), 'young');
  young[Symbol.dispose]();
  t.is(sockets.size, 0);
  await t.throwsAsync(greetingOf({port, host: '127.0.0.1'}), {code: 'ECONNREFUSED'});
});

test('what waits in the backlog of the last listener is accepted before it goes, unless another process has the socket too', async (t) => {
  for (const isHandedOver of [false, true]) {
    const sockets = openListeningSockets();
    const port = await freePort();
    const clients: StreamSocket[] = [];
    const listener = await listen(bindTo({port}), 'last', sockets, clients);
    const other = isHandedOver ? duplicate(sockets.handOver()[0]?.fd ?? -1) : -1;
    const client = socket(family.ipv4, socketType.stream | socketType.closeOnExec, 0);
    t.is(tryConnect(client, ipv4SocketAddress('127.0.0.1', port)), 0);
    listener[Symbol.dispose]();
    t.is(clients.length, isHandedOver ? 0 : 1);
    close(client);
    if (other !== -1) close(other);
  }
});

test('what waits in the backlog of a listener that goes is accepted by the one that comes', async (t) => {
  const sockets = openListeningSockets();
  const port = await freePort();
  const bind = bindTo({port});
  const old = await listen(bind, 'old', sockets);
  old.pause();
  const waiting = Promise.all(Array.from({length: 20}, () => greetingOf({port, host: '127.0.0.1'})));
  using _young = await listen(bind, 'young', sockets);
  old[Symbol.dispose]();
  t.deepEqual(await waiting, new Array(20).fill('young'));
});

test('an inherited descriptor is listened on, and stays open for the next configuration', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const handle: unknown = '_handle' in server ? server._handle : null;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle) || typeof handle.fd !== 'number') throw new Error('no descriptor');
  const fd = duplicate(handle.fd);
  server.close();
  t.teardown(() => close(fd));
  if (address === null || typeof address !== 'object') throw new Error('no address');
  for (const greeting of ['first', 'second']) {
    const listener = await listen(bindTo({inheritedFd: fd}), greeting);
    t.is(listener.port, address.port);
    t.is(await greetingOf({port: address.port, host: '127.0.0.1'}), greeting);
    listener[Symbol.dispose]();
  }
  await t.throwsAsync(listen(bindTo({inheritedFd: 9999}), ''), {
    code: 'ERR_BIND',
    message: 'Cannot bind frontend "f" to tcp fd@9999: no such descriptor is open',
  });
});

test('a unix socket has its mode from the first moment, replaces an old one, and is removed at the end', async (t) => {
  const directory = await mkdtemp('/tmp/picogate-test-');
  t.teardown(() => rm(directory, {recursive: true}));
  const path = join(directory, 'socket');
  const bind = bindTo({unix: {path, abstract: false, mode: 0o640, user: null, group: null}});
  const left = await listen(bind, 'left');
  const listener = await listen(bind, 'hello');
  t.is((await stat(path)).mode & 0o777, 0o640);
  t.is(await greetingOf({path}), 'hello');
  left[Symbol.dispose]();
  t.is(await greetingOf({path}), 'hello', 'the one that went has not taken the file of the other');
  t.deepEqual([listener.host, listener.port], [`unix@${path}`, 0]);
  listener[Symbol.dispose]();
  await t.throwsAsync(stat(path), {code: 'ENOENT'});
  await writeFile(path, 'precious');
  await t.throwsAsync(listen(bind, ''), {message: `Cannot bind frontend "f" to tcp unix@${path}: there is a file that is no socket`});
  await t.throwsAsync(listen(bindTo({unix: {path: `/${'x'.repeat(200)}`, abstract: false, mode: null, user: null, group: null}}), ''), {code: 'ERR_BIND'});
});

test('an abstract socket is found by those who fill its name with zeros, as HAProxy does', async (t) => {
  const name = `picogate-test-${process.pid}`;
  using _listener = await listen(bindTo({unix: {path: name, abstract: true, mode: null, user: null, group: null}}), 'hello');
  t.is(await greetingOf({path: `\0${name}`.padEnd(108, '\0')}), 'hello');
});

test('a client of a unix socket that is refused is closed', async (t) => {
  const name = `picogate-test-refused-${process.pid}`;
  const clients: StreamSocket[] = [];
  using _listener = await listen(bindTo({unix: {path: name, abstract: true, mode: null, user: null, group: null}}), '', openListeningSockets(), clients);
  const socket = connect({path: `\0${name}`.padEnd(108, '\0')});
  await until(() => clients.length === 1);
  t.notThrows(() => clients[0]?.resetAndDestroy());
  await once(socket, 'close');
});

test('maxconn of a bind leaves more clients in the backlog', async (t) => {
  const port = await freePort();
  const clients: StreamSocket[] = [];
  using _listener = await listen(bindTo({port, maxconn: 2}), 'hello', openListeningSockets(), clients);
  const sockets = Array.from({length: 3}, () => connect(port, '127.0.0.1'));
  await until(() => clients.length === 2);
  await Promise.all(sockets.filter(({connecting}) => connecting).map((socket) => once(socket, 'connect')));
  t.is(clients.length, 2);
  clients[0]?.destroy();
  await until(() => clients.length === 3);
  for (const socket of [...sockets, ...clients]) socket.destroy();
});

rootTest('interface and transparent: the device counts, and addresses may be foreign', async (t) => {
  using listener = await listen(bindTo({interface: 'lo'}), 'hello');
  t.is(await greetingOf({port: listener.port, host: '127.0.0.1'}), 'hello');
  await t.throwsAsync(listen(bindTo({interface: 'nosuch0'}), ''), {message: /there is no such interface/});
  using foreign = await listen(bindTo({host: '192.0.2.77', transparent: true}), '');
  t.is(foreign.host, '192.0.2.77');
  await t.throwsAsync(listen(bindTo({host: '192.0.2.77'}), ''), {message: /this host has no such address/});
});

test('v4v6 and v6only', async (t) => {
  using both = await listen(bindTo({host: '::', v6only: false}), 'both');
  t.is(await greetingOf({port: both.port, host: '127.0.0.1'}), 'both');
  using only = await listen(bindTo({host: '::', v6only: true}), 'only');
  t.is(await greetingOf({port: only.port, host: '::1'}), 'only');
  await t.throwsAsync(greetingOf({port: only.port, host: '127.0.0.1'}), {code: 'ECONNREFUSED'});
});

test('a second program may listen beside the first one, as with HAProxy', async (t) => {
  const port = await freePort();
  using _listener = await listen(bindTo({port}), 'hello');
  const {stdout} = await run(['ss', '-Hltn', `sport = :${port}`], {timeoutMs: 5000});
  t.regex(stdout, new RegExp(`127.0.0.1:${port}`));
  using _other = await listen(bindTo({port}), 'hello');
  t.is(await greetingOf({port, host: '127.0.0.1'}), 'hello');
});
