/** What the sockets under `mode udp` do beyond the sessions: addresses, sizes, descriptors, sleeping. */
import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';
import {readdir} from 'node:fs/promises';
import test from 'ava';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../../src/config/proxy-defaults.ts';
import type {Bind} from '../../../src/config/proxy-value.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {bindSocket, close, socket, socketType} from '../../../src/core/libc.ts';
import {createLog} from '../../../src/core/log.ts';
import type {Frontend} from '../../../src/edge/frontend.ts';
import {type ListeningSockets, openListeningSockets} from '../../../src/edge/listening-sockets.ts';
import {openPools} from '../../../src/edge/pool/pools.ts';
import {openRefusalLog} from '../../../src/edge/refusal-log.ts';
import {family, ipv4SocketAddress} from '../../../src/edge/socket-address.ts';
import {openUdpFrontend} from '../../../src/edge/udp-frontend.ts';
import type {FirstDatagram} from '../../../src/edge/udp-proxy-header.ts';
import {freePort} from '../../helpers/gateway.ts';
import {until} from '../../helpers/until.ts';
import {FakeApps} from '../edge-fixture.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

interface Received {
  readonly datagram: Buffer;
  readonly from: string;
}

interface Peer extends AsyncDisposable {
  readonly socket: Socket;
  readonly port: number;
  readonly received: Received[];
}

async function peer({host = '127.0.0.1', answers = false} = {}): Promise<Peer> {
  const udp = createSocket({type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 * 1024 * 1024});
  udp.bind(0, host);
  await once(udp, 'listening');
  const received: Received[] = [];
  udp.on('message', (datagram, {address, port}) => {
    received.push({datagram, from: address});
    if (answers) udp.send(datagram, port, address);
  });
  return {
    socket: udp,
    port: udp.address().port,
    received,
    async [Symbol.asyncDispose]() {
      udp.close();
      await once(udp, 'close');
    },
  };
}

interface TestFrontend extends AsyncDisposable {
  readonly frontend: Frontend;
  readonly port: number;
  readonly seen: FirstDatagram[];
}

async function openFrontend(bind: Partial<Bind>, serverPort: number, sockets?: ListeningSockets): Promise<TestFrontend> {
  const log = createLog('silent');
  const refusals = openRefusalLog(log, systemClock);
  const server = bareServer({name: 's1', target: {kind: 'address', host: '127.0.0.1', port: serverPort}, position});
  const backend = {...bareBackend({name: 'back', position}), servers: [server]};
  const pools = openPools({backends: [backend], frontends: [], apps: new FakeApps(true), clock: systemClock, report: () => undefined});
  const seen: FirstDatagram[] = [];
  const frontend = await openUdpFrontend({
    config: {
      ...bareFrontend({name: 'front', position}),
      mode: 'udp',
      maxconn: 100,
      binds: [{...bareBind({protocol: 'udp', host: '127.0.0.1', port: 0, position}), ...bind}],
    },
    choosePool(first) {
      seen.push(first);
      return pools.get('back');
    },
    ipv6Only: () => false,
    sockets,
    clock: systemClock,
    log,
    refusals,
  });
  return {
    frontend,
    port: frontend.addresses[0]?.port ?? 0,
    seen,
    async [Symbol.asyncDispose]() {
      frontend.stopAccepting();
      frontend.cut();
      await frontend.ended();
      refusals[Symbol.dispose]();
    },
  };
}

for (const host of ['', '::']) {
  test(`answers leave from the address that was asked, bound to "${host}"`, async (t) => {
    await using server = await peer({answers: true});
    await using front = await openFrontend({host}, server.port);
    await using client = await peer();
    const asked = ['127.0.0.1', '127.0.0.2', '127.3.2.1'];
    for (const [at, address] of asked.entries()) {
      client.socket.send('x', front.port, address);
      await until(() => client.received.length === at + 1);
    }
    t.deepEqual(
      client.received.map(({from}) => from),
      asked,
    );
    t.deepEqual(
      front.seen.map(({source, destination}) => [source.host, destination.host, destination.port]),
      asked.map((address) => ['127.0.0.1', address, front.port]),
    );
  });
}

test('a dual-stack socket answers IPv6 clients, too', async (t) => {
  await using server = await peer({answers: true});
  await using front = await openFrontend({host: '::'}, server.port);
  await using client = await peer({host: '::1'});
  for (const text of ['x', 'y']) client.socket.send(text, front.port, '::1');
  await until(() => client.received.length === 2);
  t.deepEqual(front.seen, [{...front.seen[0], source: {host: '::1', port: client.port}, destination: {host: '::1', port: front.port}} as FirstDatagram]);
});

test('datagrams of every length, many at a time', async (t) => {
  await using server = await peer({answers: true});
  await using front = await openFrontend({}, server.port);
  await using client = await peer();
  const lengths = [0, 1, 1500, 9000, 65_507, 0, 65_507, 3];
  for (const [at, length] of lengths.entries()) client.socket.send(Buffer.alloc(length, at + 1), front.port, '127.0.0.1');
  await until(() => client.received.length === lengths.length);
  t.deepEqual(
    client.received.map(({datagram}) => datagram),
    lengths.map((length, at) => Buffer.alloc(length, at + 1)),
  );
  const total = lengths.reduce((sum, length) => sum + length, 0);
  t.like(front.frontend.counters, {bytesIn: total, bytesOut: total, datagramsDropped: 0, accepted: 1});
});

test('more than fits into one batch, from many clients, and nothing is mixed up', async (t) => {
  await using server = await peer({answers: true});
  await using front = await openFrontend({}, server.port);
  await using scope = new AsyncDisposableStack();
  const clients: Peer[] = [];
  for (let at = 0; at < 10; at++) clients.push(scope.use(await peer()));
  const rounds = 20;
  const perRound = 10;
  for (let round = 0; round < rounds; round++) {
    for (const [at, {socket: from}] of clients.entries()) {
      for (let index = 0; index < perRound; index++) from.send(`${at}:${round * perRound + index}`, front.port, '127.0.0.1');
    }
    await until(() => clients.every(({received}) => received.length === (round + 1) * perRound), {intervalMs: 1});
  }
  for (const [at, {received}] of clients.entries()) {
    t.deepEqual(
      received.map(({datagram}) => datagram.toString()),
      Array.from({length: rounds * perRound}, (_, index) => `${at}:${index}`),
    );
  }
});

test('a descriptor that was inherited', async (t) => {
  const fd = socket(family.ipv4, socketType.datagram | socketType.closeOnExec, 0);
  try {
    bindSocket(fd, ipv4SocketAddress('127.0.0.1', 0));
    await using server = await peer({answers: true});
    await using front = await openFrontend({inheritedFd: fd}, server.port);
    await using client = await peer();
    client.socket.send('x', front.port, '127.0.0.1');
    await until(() => client.received.length === 1);
    t.like(front.frontend.addresses[0], {host: '127.0.0.1', protocol: 'udp'});
  } finally {
    close(fd);
  }
});

test('a descriptor that is no socket of datagrams is refused', async (t) => {
  const fd = socket(family.ipv4, socketType.stream | socketType.closeOnExec, 0);
  try {
    await t.throwsAsync(openFrontend({inheritedFd: fd}, 1), {code: 'ERR_BIND', message: /is not a socket of datagrams/});
  } finally {
    close(fd);
  }
});

test.serial('frontends that come and go leave no thread and no descriptor', async (t) => {
  const count = async (what: 'fd' | 'task'): Promise<number> => (await readdir(`/proc/self/${what}`)).length;
  const cycle = async (): Promise<void> => {
    await using server = await peer({answers: true});
    await using front = await openFrontend({}, server.port);
    await using client = await peer();
    client.socket.send('x', front.port, '127.0.0.1');
    await until(() => client.received.length === 1);
    await t.throwsAsync(openFrontend({port: front.port}, server.port), {code: 'ERR_BIND'});
  };
  await cycle();
  const before = {fds: await count('fd'), threads: await count('task')};
  for (let turn = 0; turn < 5; turn++) await cycle();
  t.deepEqual({fds: await count('fd'), threads: await count('task')}, before);
});

test('a frontend that has slept wakes for each datagram', async (t) => {
  await using server = await peer({answers: true});
  await using front = await openFrontend({}, server.port);
  await using client = await peer();
  for (let at = 1; at <= 20; at++) {
    client.socket.send('x', front.port, '127.0.0.1');
    // The time between two looks is longer than the poller goes on asking after it has found something.
    await until(() => client.received.length === at);
  }
  t.is(front.frontend.counters.accepted, 1);
});

test('two generations share a socket: sessions stay where they are, new ones go to the new one', async (t) => {
  await using left = await peer({answers: true});
  await using right = await peer({answers: true});
  const sockets = openListeningSockets();
  const port = await freePort();
  const old = await openFrontend({port}, left.port, sockets);
  await using first = await peer();
  first.socket.send('1', port, '127.0.0.1');
  await until(() => first.received.length === 1);
  // It has a question that is not answered yet when the old generation stops accepting.
  let askedFrom = 0;
  left.socket.removeAllListeners('message');
  left.socket.once('message', (_datagram, {port: from}) => {
    askedFrom = from;
  });
  first.socket.send('2', port, '127.0.0.1');
  await until(() => askedFrom !== 0);
  await using young = await openFrontend({port}, right.port, sockets);
  old.frontend.stopAccepting();
  await using second = await peer();
  second.socket.send('3', port, '127.0.0.1');
  await until(() => second.received.length === 1);
  left.socket.send('late', askedFrom, '127.0.0.1');
  await until(() => first.received.length === 2);
  t.is(right.received.length, 1);
  await old.frontend.ended();
  first.socket.send('4', port, '127.0.0.1');
  await until(() => first.received.length === 3);
  t.deepEqual([young.frontend.counters.accepted, old.frontend.counters.accepted], [2, 1]);
  await old[Symbol.asyncDispose]();
});
