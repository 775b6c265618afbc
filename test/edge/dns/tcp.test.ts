import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import test from 'ava';
import {run} from '../../../src/core/command.ts';
import {frame, readFrames} from '../../../src/edge/dns/frames.ts';
import {until} from '../../helpers/until.ts';
import {openTestDns, question} from './dns-fixture.ts';

const blog = 'blog.apps.example.com';

interface Stream extends Disposable {
  readonly socket: Socket;
  readonly received: Buffer[];
  closed(): boolean;
}

async function openStream(port: number): Promise<Stream> {
  const socket = connect({port, host: '127.0.0.1', noDelay: true});
  const received: Buffer[] = [];
  let closed = false;
  const frames = readFrames((message) => {
    received.push(message);
    return true;
  });
  socket.on('data', frames);
  socket.on('error', () => {
    // Told by `closed`.
  });
  socket.on('close', () => {
    closed = true;
  });
  await once(socket, 'connect');
  return {socket, received, closed: () => closed, [Symbol.dispose]: () => void socket.destroy()};
}

test('many questions on one connection, however the stream is cut', async (t) => {
  await using dns = await openTestDns();
  using client = await openStream(dns.tcpPort);
  const all = Buffer.concat(Array.from({length: 200}, (_, id) => frame(question(blog, {id}))));
  for (let at = 0; at < all.length; at += 37) client.socket.write(all.subarray(at, at + 37));
  await until(() => client.received.length === 200);
  t.deepEqual(
    client.received.map((answer) => answer.readUInt16BE(0)),
    Array.from({length: 200}, (_, id) => id),
  );
});

test('a question byte by byte, then the end of the stream: answered, then closed', async (t) => {
  await using dns = await openTestDns();
  using client = await openStream(dns.tcpPort);
  for (const byte of frame(question(blog))) client.socket.write(Buffer.from([byte]));
  client.socket.end();
  await until(() => client.closed());
  t.is(client.received.length, 1);
});

test('kdig keeps its connection for several questions', async (t) => {
  await using dns = await openTestDns();
  const {stdout} = await run(['kdig', '@127.0.0.1', '-p', String(dns.tcpPort), '+tcp', '+keepopen', '+short', blog, 'mail.apps.example.com'], {
    timeoutMs: 10_000,
  });
  t.is(stdout, '127.0.0.1\n192.0.2.25\n');
  t.is(dns.frontend.counters.accepted, 1);
});

test('a connection without questions is closed, and so is one that trickles', async (t) => {
  await using dns = await openTestDns({clientTimeoutMs: 150});
  using silent = await openStream(dns.tcpPort);
  using slow = await openStream(dns.tcpPort);
  slow.socket.write(Buffer.from([1]));
  const trickle = setInterval(() => slow.socket.write(Buffer.from([1])), 50);
  await until(() => silent.closed() && slow.closed());
  clearInterval(trickle);
  t.is(dns.frontend.counters.timeouts, 2);
  t.is(dns.frontend.counters.sessions, 0);
});

test('what is no question ends the connection', async (t) => {
  await using dns = await openTestDns();
  using client = await openStream(dns.tcpPort);
  client.socket.write(frame(Buffer.alloc(5)));
  await until(() => client.closed());
  t.is(client.received.length, 0);
});

test('connections of one source are bounded, and more than maxconn wait', async (t) => {
  await using dns = await openTestDns({maxconn: 1000});
  using scope = new DisposableStack();
  const clients = await Promise.all(Array.from({length: 70}, () => openStream(dns.tcpPort)));
  for (const client of clients) scope.use(client);
  await until(() => clients.filter((client) => client.closed()).length === 6);
  t.is(dns.frontend.counters.refused, 6);

  await using small = await openTestDns({maxconn: 1});
  const first = await openStream(small.tcpPort);
  using second = await openStream(small.tcpPort);
  second.socket.write(frame(question(blog)));
  first.socket.write(frame(question(blog)));
  await until(() => first.received.length === 1);
  t.is(second.received.length, 0);
  first[Symbol.dispose]();
  await until(() => second.received.length === 1);
});

test('a client that does not read its answers is not read from', async (t) => {
  await using dns = await openTestDns();
  using client = await openStream(dns.tcpPort);
  client.socket.pause();
  const big = frame(question('big.apps.example.com', {type: 16}));
  const sent = Buffer.concat(Array.from({length: 5000}, () => big));
  client.socket.write(sent);
  await until(() => dns.frontend.counters.bytesOut > 1_000_000);
  let before = -1;
  await until(
    () => {
      const still = dns.frontend.counters.bytesOut === before;
      before = dns.frontend.counters.bytesOut;
      return still;
    },
    {intervalMs: 200},
  );
  t.true(before < 14_000_000);
  client.socket.resume();
  await until(() => client.received.length === 5000);
});
