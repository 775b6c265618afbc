/** What decides on a session of datagrams: its first datagram, the PROXY header in it, and the time-outs of its backend. */
import test from 'ava';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../src/config/proxy-defaults.ts';
import type {ServerConfig} from '../../src/config/proxy-value.ts';
import {systemClock} from '../../src/core/clock.ts';
import {createLog} from '../../src/core/log.ts';
import type {Frontend} from '../../src/edge/frontend.ts';
import type {Pool} from '../../src/edge/pool/pool.ts';
import {openPools} from '../../src/edge/pool/pools.ts';
import {openRefusalLog} from '../../src/edge/refusal-log.ts';
import {openUdpFrontend} from '../../src/edge/udp-frontend.ts';
import type {DatagramProxyCodec, FirstDatagram} from '../../src/edge/udp-proxy-header.ts';
import {until} from '../helpers/until.ts';
import {peer} from './datagram-peer.ts';
import {FakeApps} from './edge-fixture.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

function backendOf(port: number, {serverTimeoutMs = 60_000, sendProxy = null}: {serverTimeoutMs?: number; sendProxy?: ServerConfig['sendProxy']} = {}): Pool {
  const server = bareServer({name: 's1', target: {kind: 'address', host: '127.0.0.1', port}, position});
  const backend = {...bareBackend({name: 'back', position}), serverTimeoutMs, servers: [{...server, sendProxy}]};
  const pools = openPools({backends: [backend], frontends: [], apps: new FakeApps(true), clock: systemClock, report: () => undefined});
  const pool = pools.get('back');
  if (pool === null) throw new Error('there is no pool');
  return pool;
}

interface TestFrontend extends AsyncDisposable {
  readonly frontend: Frontend;
  readonly port: number;
}

async function openFrontend(choosePool: (first: FirstDatagram) => Pool | null, {acceptProxy = false, maxconn = 100} = {}): Promise<TestFrontend> {
  const log = createLog('silent');
  const refusals = openRefusalLog(log, systemClock);
  const frontend = await openUdpFrontend({
    config: {
      ...bareFrontend({name: 'front', position}),
      mode: 'udp',
      maxconn,
      binds: [{...bareBind({protocol: 'udp', host: '127.0.0.1', port: 0, position}), acceptProxy}],
    },
    choosePool,
    proxyCodec: plainCodec,
    ipv6Only: () => false,
    clock: systemClock,
    log,
    refusals,
  });
  return {
    frontend,
    port: frontend.addresses[0]?.port ?? 0,
    async [Symbol.asyncDispose]() {
      frontend.stopAccepting();
      frontend.cut();
      await frontend.ended();
      refusals[Symbol.dispose]();
    },
  };
}

/** In the place of the PROXY protocol: `<host port>` and the payload, or `<>` for what tells no addresses. */
const plainCodec: DatagramProxyCodec = {
  read(datagram) {
    const [header, host, port] = /^<(?:([0-9.]+) (\d+))?>/.exec(Buffer.from(datagram).toString('latin1')) ?? [];
    if (header === undefined) return null;
    const destination = {host: '203.0.113.1', port: 53};
    return {addresses: host === undefined ? null : {source: {host, port: Number(port)}, destination}, headerBytes: header.length};
  },
  write: ({source}, server) => Buffer.from(`[${source.host} to ${server.name}]`),
};

test('the first datagram of a session chooses the server, and what no rule wants is dropped', async (t) => {
  await using a = await peer({answers: true});
  await using b = await peer({answers: true});
  const seen: FirstDatagram[] = [];
  await using front = await openFrontend((first) => {
    seen.push({...first, payload: Buffer.from(first.payload)});
    const text = Buffer.from(first.payload).toString();
    if (text === 'refused') return null;
    return backendOf(text.startsWith('a') ? a.port : b.port);
  });
  await using first = await peer();
  await using second = await peer();
  for (const text of ['a1', 'b2']) first.socket.send(text, front.port, '127.0.0.1');
  for (const text of ['refused', 'b1']) second.socket.send(text, front.port, '127.0.0.1');
  await until(() => first.received.length === 2 && second.received.length === 1);
  t.deepEqual([a.received, b.received], [['a1', 'b2'], ['b1']]);
  t.is(front.frontend.counters.refused, 1);
  t.deepEqual(seen[0], {
    source: {host: '127.0.0.1', port: first.port},
    destination: {host: '127.0.0.1', port: front.port},
    payload: Buffer.from('a1'),
    receivedProxy: false,
  });
});

test('behind a load balancer each client of the header is a session, and answers go to the load balancer', async (t) => {
  await using server = await peer({answers: true});
  const seen: FirstDatagram[] = [];
  await using front = await openFrontend(
    (first) => {
      seen.push(first);
      return backendOf(server.port);
    },
    {acceptProxy: true},
  );
  await using balancer = await peer();
  for (const datagram of ['<192.0.2.1 1000>x', '<192.0.2.2 1000>y', '<192.0.2.1 1000>z', '<>local', 'no header', '']) {
    balancer.socket.send(datagram, front.port, '127.0.0.1');
  }
  await until(() => balancer.received.length === 4);
  t.deepEqual(server.received.toSorted(), ['local', 'x', 'y', 'z']);
  t.is(server.ports.size, 3);
  t.is(front.frontend.counters.datagramsDropped, 2);
  t.deepEqual(
    seen.map(({source, receivedProxy}) => [source.host, receivedProxy]),
    [
      ['192.0.2.1', true],
      ['192.0.2.2', true],
      ['127.0.0.1', true],
    ],
  );
  t.deepEqual([...front.frontend.sessions()].map(({source}) => source).toSorted(), ['127.0.0.1', '192.0.2.1', '192.0.2.2']);
});

test('send-proxy-v2 puts the header before every datagram', async (t) => {
  await using server = await peer({answers: true});
  await using front = await openFrontend(() => backendOf(server.port, {sendProxy: 'v2'}));
  await using client = await peer();
  for (const text of ['x', 'y']) client.socket.send(text, front.port, '127.0.0.1');
  await until(() => client.received.length === 2);
  t.deepEqual(server.received, ['[127.0.0.1 to s1]x', '[127.0.0.1 to s1]y']);
});

test('a session ends with the time-out of its backend, others go on', async (t) => {
  await using short = await peer({answers: true});
  await using long = await peer({answers: true});
  await using front = await openFrontend(({payload}) =>
    Buffer.from(payload).toString() === 'short' ? backendOf(short.port, {serverTimeoutMs: 150}) : backendOf(long.port),
  );
  await using a = await peer();
  await using b = await peer();
  a.socket.send('long', front.port, '127.0.0.1');
  b.socket.send('short', front.port, '127.0.0.1');
  await until(() => front.frontend.counters.sessions === 2);
  await until(() => front.frontend.counters.sessions === 1);
  a.socket.send('again', front.port, '127.0.0.1');
  await until(() => a.received.length === 2);
  t.is(long.ports.size, 1);
});
