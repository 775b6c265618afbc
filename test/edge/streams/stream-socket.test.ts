import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {connect, createServer, type Server, type Socket} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {bareBind} from '../../../src/config/proxy-defaults.ts';
import {errorCode} from '../../../src/core/errors.ts';
import {libc} from '../../../src/core/libc.ts';
import type {ByteStream} from '../../../src/edge/streams/byte-stream.ts';
import {connectStream} from '../../../src/edge/streams/connect-stream.ts';
import type {StreamSocket} from '../../../src/edge/streams/stream-socket.ts';
import {openTcpListener, type TcpListener} from '../../../src/edge/tcp-listener.ts';
import {fc} from '../../helpers/properties.ts';
import {until} from '../../helpers/until.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

interface Listening {
  readonly listener: TcpListener;
  readonly accepted: StreamSocket[];
  readonly errors: Error[];
}

/** The connections that it accepts are not read until a test does. */
async function listening(t: ExecutionContext): Promise<Listening> {
  const accepted: StreamSocket[] = [];
  const errors: Error[] = [];
  const listener = await openTcpListener({
    frontend: 'f',
    bind: bareBind({protocol: 'tcp', host: '127.0.0.1', port: 0, position}),
    ipv6Only: false,
    onConnection: (client) => accepted.push(client),
    onError: (error) => errors.push(error),
  });
  t.teardown(() => {
    listener[Symbol.dispose]();
    for (const client of accepted) client.destroy();
  });
  return {listener, accepted, errors};
}

/** Both ends of one connection: ours, and one of Node's. */
async function pair(t: ExecutionContext): Promise<{readonly ours: StreamSocket; readonly peer: Socket; readonly told: string[]}> {
  const {listener, accepted} = await listening(t);
  const peer = connect({port: listener.port, host: '127.0.0.1', allowHalfOpen: true});
  t.teardown(() => peer.destroy());
  peer.on('error', () => undefined);
  await until(() => accepted.length > 0, {what: 'the connection'});
  const [ours] = accepted;
  if (ours === undefined) throw new Error('no connection');
  return {ours, peer, told: listen(ours)};
}

interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}

const descriptors = 7;
const getrlimit = libc.func('int getrlimit(int resource, void *limit)');
const setrlimit = libc.func('int setrlimit(int resource, void *limit)');

function descriptorLimit(): Limit {
  const limit = Buffer.alloc(16);
  getrlimit(descriptors, limit);
  return {soft: limit.readBigUInt64LE(0), hard: limit.readBigUInt64LE(8)};
}

function setDescriptorLimit({soft, hard}: Limit): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(soft, 0);
  limit.writeBigUInt64LE(hard, 8);
  setrlimit(descriptors, limit);
}

/** What a connection tells, but its bytes. */
function listen(stream: ByteStream): string[] {
  const told: string[] = [];
  stream.on('error', (error) => told.push(`error ${errorCode(error)}`));
  for (const event of ['connect', 'drain', 'end', 'close'] as const) stream.on(event, () => told.push(event));
  return told;
}

function textOf(stream: ByteStream): {text: string} {
  const read = {text: ''};
  stream.on('data', (chunk) => {
    read.text += chunk.toString();
  });
  return read;
}

async function startServer(t: ExecutionContext, where: {readonly path: string} | {readonly host: string; readonly port: number}): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(socket.remoteAddress ?? 'unix');
  });
  server.listen(where);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

test('that the other side ends is seen before anybody reads, and what it said stays', async (t) => {
  const silent = await pair(t);
  silent.peer.end();
  await until(() => silent.told.includes('end'), {what: 'the end'});

  const {ours, peer, told} = await pair(t);
  peer.end('last words');
  await until(() => ours.bytesRead === 10, {what: 'the bytes'});
  t.deepEqual(told, []);
  const read = textOf(ours);
  await until(() => told.includes('end'), {what: 'the end'});
  t.is(read.text, 'last words');
  ours.write(Buffer.from('answer'));
  ours.end();
  await until(() => told.includes('close'), {what: 'the close'});
  t.deepEqual(told, ['end', 'close']);
});

test('a reset is told at once where nobody has read, and after the bytes that a paused reader has still to get', async (t) => {
  const held = await pair(t);
  held.peer.write('hello');
  await until(() => held.ours.bytesRead === 5, {what: 'the bytes'});
  held.peer.resetAndDestroy();
  await until(() => held.told.includes('close'), {what: 'the close'});
  t.deepEqual(held.told, ['error ECONNRESET', 'close']);

  const {ours, peer, told} = await pair(t);
  const read = textOf(ours);
  ours.pause();
  peer.write('hello');
  await until(() => ours.bytesRead === 5, {what: 'the bytes'});
  peer.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.deepEqual([told, read.text], [[], '']);
  ours.resume();
  await until(() => told.includes('close'), {what: 'the close'});
  t.deepEqual([told, read.text], [['error ECONNRESET', 'close'], 'hello']);
});

test('little is read that nobody wants, and a reader that is paused costs no processor when the other side goes', async (t) => {
  const {ours, peer, told} = await pair(t);
  ours.pause();
  peer.write(Buffer.alloc(1_000_000));
  await until(() => ours.bytesRead >= 16_384, {what: 'some bytes'});
  peer.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const {user, system} = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const used = process.cpuUsage({user, system});
  t.true(used.user + used.system < 150_000, `${used.user + used.system} µs`);
  t.true(ours.bytesRead <= 16_384 + 65_536);
  t.deepEqual(told, []);
  let bytes = 0;
  ours.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  ours.resume();
  await until(() => told.includes('close'), {what: 'the close'});
  t.is(bytes, ours.bytesRead);
});

test('what the other side said before it went is read, though writing to it has failed', async (t) => {
  const {ours, peer, told} = await pair(t);
  const read = textOf(ours);
  peer.write('an early answer');
  await until(() => read.text !== '', {what: 'the first bytes'});
  peer.resetAndDestroy();
  await once(peer, 'close');
  for (let written = 0; written < 3; written++) ours.write(Buffer.alloc(1000));
  await until(() => told.includes('close'), {what: 'the close'});
  t.is(told.at(-1), 'close');
  t.is(told.filter((event) => event.startsWith('error')).length, 1);
  t.false(ours.write('too late', 'latin1'));
});

test('a slow reader is waited for: nothing is lost, and "drain" comes when all is sent', async (t) => {
  const {ours, peer, told} = await pair(t);
  peer.pause();
  const piece = Buffer.alloc(100_000, 'a');
  let written = 0;
  while (written < 400) {
    written++;
    if (!ours.write(piece)) break;
  }
  t.true(ours.writableNeedDrain);
  t.deepEqual(told, []);
  let received = 0;
  peer.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  peer.resume();
  await until(() => told.includes('drain'), {what: 'drain'});
  await until(() => received === written * piece.length, {what: 'all bytes'});
  t.false(ours.writableNeedDrain);
});

test('what is written between cork and uncork, and before an end, arrives in its order', async (t) => {
  const {ours, peer} = await pair(t);
  const read = textOf(peer);
  ours.cork();
  ours.write('1', 'latin1');
  ours.write(Buffer.from('2'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(read.text, '');
  ours.uncork();
  ours.write('3', 'latin1');
  ours.cork();
  ours.write('4', 'latin1');
  ours.end();
  await once(peer, 'end');
  t.is(read.text, '1234');
});

/** Steps of both sides, in any order: the bytes come through unchanged. */
const steps = fc.array(
  fc.oneof(
    fc.record({kind: fc.constant('write' as const), side: fc.constantFrom('ours', 'peer'), bytes: fc.integer({min: 0, max: 200_000})}),
    fc.record({kind: fc.constantFrom('pause', 'resume', 'cork', 'uncork', 'turn', 'unshift'), side: fc.constant('ours'), bytes: fc.constant(0)}),
  ),
  {maxLength: 30},
);

test('whatever is written, paused and resumed in between: every byte arrives once and in its order', async (t) => {
  const {listener, accepted} = await listening(t);
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      accepted.length = 0;
      const peer = connect({port: listener.port, host: '127.0.0.1', allowHalfOpen: true});
      await until(() => accepted.length > 0, {what: 'the connection'});
      const ours = accepted[0] as StreamSocket;
      const sent = {ours: 0, peer: 0};
      const received: Record<'ours' | 'peer', Buffer[]> = {ours: [], peer: []};
      const counted = (side: 'ours' | 'peer', bytes: number): Buffer => {
        const data = Buffer.alloc(bytes);
        for (let at = 0; at < bytes; at++) data[at] = (sent[side] + at) % 251;
        sent[side] += bytes;
        return data;
      };
      let giveBack = false;
      ours.on('data', (chunk: Buffer) => {
        if (giveBack && chunk.length > 1) {
          giveBack = false;
          ours.unshift(chunk.subarray(1));
          received.peer.push(chunk.subarray(0, 1));
        } else received.peer.push(chunk);
      });
      peer.on('data', (chunk: Buffer) => received.ours.push(chunk));
      for (const {kind, side, bytes} of sequence) {
        if (kind === 'write') {
          if (side === 'ours') ours.write(counted('ours', bytes));
          else peer.write(counted('peer', bytes));
        } else if (kind === 'turn') await new Promise((resolve) => setImmediate(resolve));
        else if (kind === 'unshift') giveBack = true;
        else ours[kind]();
      }
      ours.resume();
      const ended = Promise.all([once(peer, 'end'), new Promise<void>((resolve) => void ours.on('end', resolve))]);
      ours.end();
      peer.end();
      await ended;
      for (const side of ['ours', 'peer'] as const) {
        const bytes = Buffer.concat(received[side]);
        if (bytes.length !== sent[side] || bytes.some((byte, at) => byte !== at % 251))
          throw new Error(`${side}: ${bytes.length} of ${sent[side]} bytes, or not the same`);
      }
      if (!ours.destroyed) throw new Error('a connection that has ended on both sides is still there');
    }),
    {numRuns: 40},
  );
  t.pass();
});

test('as a socket of Node it goes on with what was not used, and both close together', async (t) => {
  const {ours, peer, told} = await pair(t);
  peer.write('first ');
  await until(() => ours.bytesRead === 6, {what: 'the bytes'});
  const {localPort} = ours;
  const node = ours.toNodeSocket();
  const read = textOf(node);
  peer.write('second');
  await until(() => read.text === 'first second', {what: 'all bytes'});
  t.deepEqual([node.localPort, ours.localPort, node.remotePort], [localPort, localPort, ours.remotePort]);
  node.write('back');
  const [back] = (await once(peer, 'data')) as [Buffer];
  t.is(back.toString(), 'back');
  t.deepEqual(told, []);
  ours.destroy();
  await until(() => told.includes('close'), {what: 'the close'});
  t.true(node.destroyed);
  t.deepEqual([ours.bytesRead, ours.bytesWritten], [12, 4]);
});

test('a connection to an address, a name, a path, from an address', async (t) => {
  const directory = await mkdtemp('/tmp/picogate-test-');
  t.teardown(() => rm(directory, {recursive: true}));
  const path = join(directory, 'socket');
  const name = `\0${`picogate-test-streams-${process.pid}`.padEnd(107, '\0')}`;
  const port = portOf(await startServer(t, {host: '127.0.0.1', port: 0}));
  await startServer(t, {path});
  await startServer(t, {path: name});
  const common = {source: null, keepAlive: true};
  for (const [request, answer] of [
    [{...common, endpoint: {host: '127.0.0.1', port, path: null}}, '127.0.0.1'],
    [{...common, endpoint: {host: 'localhost', port, path: null}}, '127.0.0.1'],
    [{...common, endpoint: {host: '127.0.0.1', port, path: null}, source: {host: '127.0.0.9', port: null}}, '127.0.0.9'],
    [{...common, endpoint: {host: '', port: 0, path}}, 'unix'],
    [{...common, endpoint: {host: '', port: 0, path: `\0picogate-test-streams-${process.pid}`}}, 'unix'],
  ] as const) {
    const stream = connectStream(request);
    const told = listen(stream);
    stream.end();
    const read = textOf(stream);
    await until(() => told.includes('close'), {what: `the end of a connection to ${JSON.stringify(request)}`});
    t.deepEqual([read.text, told], [answer, ['connect', 'end', 'close']]);
  }
});

test('a connection that cannot be made says why, later and once', async (t) => {
  const server = await startServer(t, {host: '127.0.0.1', port: 0});
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  const local = {host: '127.0.0.1', port, path: null};
  for (const [request, message] of [
    [{endpoint: local, source: null}, `connect ECONNREFUSED 127.0.0.1:${port}`],
    [{endpoint: local, source: {host: '192.0.2.1', port: null}}, 'bind EADDRNOTAVAIL'],
    [{endpoint: local, source: {host: '::1', port: null}}, 'bind EAFNOSUPPORT ::1'],
    [{endpoint: {host: '', port: 0, path: '/nowhere/at/all'}, source: null}, 'connect ENOENT /nowhere/at/all'],
    [{endpoint: {...local, host: 'picogate.invalid'}, source: null}, 'getaddrinfo'],
  ] as const) {
    const stream = connectStream({...request, keepAlive: false});
    const errors: string[] = [];
    stream.on('error', (error: Error) => errors.push(error.message));
    let closed = 0;
    stream.on('close', () => closed++);
    t.deepEqual(errors, [], 'not before it can be listened for');
    await until(() => closed > 0, {what: message});
    t.is(errors.length, 1);
    t.true(errors[0]?.startsWith(message), errors[0]);
  }
  const given = connectStream({endpoint: local, source: null, keepAlive: false});
  const told = listen(given);
  given.destroy();
  await until(() => told.includes('close'), {what: 'the close'});
  t.deepEqual(told, ['close']);
});

test.serial('a process that has no descriptor left accepts again when it has', async (t) => {
  const {listener, accepted, errors} = await listening(t);
  listener.pause();
  const peers = Array.from({length: 3}, () => connect(listener.port, '127.0.0.1'));
  t.teardown(() => {
    for (const peer of peers) peer.destroy();
  });
  await Promise.all(peers.map((peer) => once(peer, 'connect')));
  const before = descriptorLimit();
  setDescriptorLimit({...before, soft: 3n});
  try {
    listener.resume();
    await until(() => errors.length > 0, {what: 'the error'});
    t.is(errors[0]?.message, 'accept EMFILE');
    t.deepEqual(accepted, []);
  } finally {
    setDescriptorLimit(before);
  }
  await until(() => accepted.length === 3, {what: 'the connections'});
  t.true(errors.length < 20);
});
